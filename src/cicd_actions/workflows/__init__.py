"""Reads workflow and action files: their model with lines, and the expressions in them.

Reading order: `files` is the model. `templates` finds expressions, `expressions` parses them into the trees of `syntax`.
`values` and `matrix` say what they can stand for, `references` what they read, and `inspection` does both for a whole file.
`tree` reads the repository's files and tells the `place` of what it could not read, `repository_files` finds the file that a
`uses:` names, and `calls` follows the calls between them.
"""
