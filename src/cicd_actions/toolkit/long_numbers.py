"""Reads JSON with a whole number that is too long for Python, as JavaScript does: the number is infinite.

Python raises `ValueError` for more than 4,300 digits, and the whole document is lost:
https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
A payload that anyone may write would make a page of records unreadable, and hide a `package.json` that npm can read.
"""

from __future__ import annotations

import json

LONGEST = 4300
"""Characters of a number that Python converts, whatever PYTHONINTMAXSTRDIGITS says."""


def whole(text: str) -> int | float:
    """Returns a whole number of JSON: a longer one as `1e5000`, infinite."""
    return int(text) if len(text) <= LONGEST else float(text)


def install() -> None:
    """Makes each `json.loads` without options read them, that of a library too."""
    json._default_decoder = json.JSONDecoder(parse_int=whole)  # type: ignore[attr-defined]  # noqa: SLF001 - libraries use it
