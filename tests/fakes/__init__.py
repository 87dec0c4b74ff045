"""Stand-ins for what cannot be had in a test."""
