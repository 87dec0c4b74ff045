"""Holds together what is used, what is documented and what is set: secrets, variables and settings, by name.

Reading order: `model` and `rules`, then the three lists: `uses` (with `guards`, and `code` for programs), `documentation`
(with `entry_text` and `example_files`), and `settings`. `inventory` joins them, and `run` ties everything together.
`reporting`, `commands`, `mentions` and `block` say what is missing and how to set it.
"""
