"""The items service of the two-lane example."""
