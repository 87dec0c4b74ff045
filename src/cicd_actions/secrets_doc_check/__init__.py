"""Holds together what is used, what is documented and what is set: secrets, variables and settings, by name."""
