"""The dashboard: one page with its data, script and style inside. It loads nothing, and its policy forbids it to."""
