"""Patterns of paths, as `.gitignore` and GitHub's `paths` have them, in a match that no pattern can make long."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator


def path_pattern(glob: str) -> re.Pattern[str]:
    """Returns the regular expression whose `fullmatch` a path passes.

    `*` and `?` stay inside a folder, `**/` is any number of folders, another `**` any text, and a trailing `/` a whole folder.
    Everything else means itself. A wildcard takes the least that lets the text match up to the next wildcard that is at least
    as strong, and never gives it back: more would only be less for that one. So no number of wildcards multiplies the ways.
    """
    groups = itertools.count()
    first, *others = re.split(r"((?<![^/])\*\*/|\*\*)", glob + "**" * glob.endswith("/"))
    pieces = [_in_a_folder(first, groups)]
    for wildcard, text in zip(others[::2], others[1::2], strict=True):
        pieces.append((".*?" if wildcard == "**" else "(?:[^/]*/)*?") + _in_a_folder(text, groups))
    return re.compile(_settled(pieces, groups), re.DOTALL)


def _in_a_folder(text: str, groups: Iterator[int]) -> str:
    first, *others = (re.escape(part).replace(r"\?", "[^/]") for part in text.split("*"))
    return _settled([first, *(f"[^/]*?{other}" for other in others)], groups)


def _settled(pieces: list[str], groups: Iterator[int]) -> str:
    """Returns the pieces in a row, all but the outer ones as atomic groups, written in the way that Python 3.10 has."""
    *inner, last = pieces[1:] or [""]
    names = [f"g{next(groups)}" for _ in inner]
    return pieces[0] + "".join(f"(?=(?P<{name}>{piece}))(?P={name})" for name, piece in zip(names, inner, strict=True)) + last
