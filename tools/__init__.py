"""Programs that make and check what the project publishes."""
