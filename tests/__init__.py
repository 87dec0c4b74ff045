"""The tests. A package, because an installed library may bring a package `tests` of its own."""
