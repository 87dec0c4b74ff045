"""Stand-ins for what is not available in a test."""
