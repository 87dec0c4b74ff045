"""A place in one of the repository's files, and what could not be read there."""

from __future__ import annotations

from typing import NamedTuple

from cicd_actions.toolkit.findings import Finding, Severity


class Place(NamedTuple):
    """A place in the repository; lines and columns count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def unread(rule: str, message: str, place: Place) -> Finding:
    """Returns the finding that something could not be read: a warning, to which each action gives its own weight."""
    text = message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
    return Finding(rule, Severity.WARNING, text, place.file, place.line or None)
