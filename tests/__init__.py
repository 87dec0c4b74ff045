"""The tests. A package, because an installed library may bring its own package `tests`."""
