"""What code reads from its environment, by kind of file. Each scanner takes a path and a text, and never runs anything."""
