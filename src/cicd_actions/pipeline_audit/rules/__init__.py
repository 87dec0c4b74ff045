"""The rules, each defined once: what it checks, why, how to fix it, and an example that breaks it and one that keeps it."""
