"""Reads JSON that is too large for Python as other programs do: a number that is too long is infinite, as in JavaScript.

Python raises `ValueError` for a whole number of more than 4,300 digits, and the whole document is lost, and `OverflowError`
where one of more than 308 becomes a float: https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
A payload that anyone may write would make a page of records unreadable, and hide a `package.json` that npm can read.
JSON that is nested too deeply raises `RecursionError`, which no caller of a library expects: here it is a `JSONDecodeError`.
"""

from __future__ import annotations

import json
import sys

LONGEST = sys.float_info.max_10_exp
"""Characters of a number that is certainly not larger than the largest float."""


def whole(text: str) -> int | float:
    """Returns a whole number of JSON: one that no float can hold as `1e5000`, infinite."""
    if len(text) <= LONGEST:
        return int(text)
    nearest = float(text)
    return int(text) if abs(nearest) <= sys.float_info.max else nearest


class _Decoder(json.JSONDecoder):
    def decode(self, s: str, *options: object) -> object:
        """Returns what the text says. Raises `JSONDecodeError`, also for JSON that is nested too deeply."""
        try:
            return super().decode(s, *options)  # type: ignore[arg-type]
        except RecursionError:
            raise json.JSONDecodeError("Nested too deeply", s, 0) from None


def install() -> None:
    """Makes each `json.loads` without options read so, that of a library too."""
    json._default_decoder = _Decoder(parse_int=whole)  # type: ignore[attr-defined]  # noqa: SLF001 - libraries use it
