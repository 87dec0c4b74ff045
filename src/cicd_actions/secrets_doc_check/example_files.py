"""Documentation in an example dotenv file: `NAME=` lines, commented or not, explained by the comment above or behind."""

from __future__ import annotations

import re

from cicd_actions.secrets_doc_check.entry_text import missing
from cicd_actions.secrets_doc_check.model import Entry, Missing, Subject
from cicd_actions.workflows.place import Place

LONGEST_LINE = 4_000
"""Characters of a line that are looked at: no name, and nothing that people write about one, stands further right."""

_NAME = re.compile(r"(?:^|/)[\w.-]*\.?env\.(?:example|sample|template|dist)$")
_LINE = re.compile(r"\s*(?:#\s*)?(?:export\s+)?([A-Z][A-Z0-9_]*)=([^#]*)(?:#\s*(.*))?")


def is_one(path: str) -> bool:
    """Returns whether a file is an example dotenv file by its name."""
    return _NAME.search(path) is not None


def entries(path: str, text: str, first_line: int) -> list[Entry]:
    """Returns the entries of the lines that a comment explains."""
    found: list[Entry] = []
    comment: list[str] = []
    for index, line in enumerate(text.splitlines()):
        match = _LINE.fullmatch(line[:LONGEST_LINE])
        if match:
            absent = missing("\n".join([*comment, match[3] or ""]).strip())
            if Missing.PURPOSE not in absent:
                # The application's settings stand here too: an entry counts only where the name is used.
                place = Place(path, first_line + index, match.start(1) + 1)
                found.append(Entry(match[1], place, absent, Subject.OTHER, example=True))
        elif line.lstrip().startswith("#"):
            comment.append(line.lstrip("# \t"))
            continue
        if not line.strip():
            comment = []
    return found
