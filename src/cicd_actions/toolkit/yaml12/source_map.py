"""A document: its text, its nodes, and the place in the text of every character of a scalar."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from cicd_actions.toolkit.yaml12.nodes import Node, Scalar

_BREAK = re.compile(r"\r\n?|\n")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|(?:\r\n?|\n)|.)", re.DOTALL)


@dataclass(frozen=True)
class Duplicate:
    """A key that stands twice in one mapping."""

    key: str
    line: int
    column: int
    first_line: int


@dataclass
class Document:
    """What was read. `root` is `None` for an empty text."""

    text: str
    root: Node | None = None
    duplicates: list[Duplicate] = field(default_factory=list)
    _breaks: list[int] = field(default_factory=list, repr=False)
    _walked: tuple[Scalar, list[int]] | None = field(default=None, repr=False)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of an offset into the text."""
        if not self._breaks:
            self._breaks += [0, *(match.end() for match in _BREAK.finditer(self.text))]
        line = bisect_right(self._breaks, offset)
        return line, offset - self._breaks[line - 1] + 1

    def place_in(self, scalar: Scalar, offset: int) -> tuple[int, int]:
        """Line and column of the character `offset` of a scalar's text, whatever folding, indentation or escapes lie between.

        Where a tag or an escape hides the way, the place is the nearest one before it.
        """
        quotes = 1 if scalar.style in {"'", '"'} else 0
        if scalar.end - scalar.start == len(scalar.text) + 2 * quotes and "\n" not in scalar.text:
            # Nothing was folded or escaped.
            return scalar.line, scalar.column + quotes + offset
        at = self._offset_in_source(scalar, offset)
        return self.place(_skip_space(self.text, at, scalar) if not scalar.text[offset : offset + 1].isspace() else at)

    def _offset_in_source(self, scalar: Scalar, offset: int) -> int:
        """Where the text before the character `offset` of a scalar's text ends in the source.

        Folding, indentation and line continuation only ever change white space, so the other characters are walked along.
        The way is kept: a block of 100,000 lines may be asked for a place in each of them.
        """
        if self._walked is None or self._walked[0] is not scalar:
            self._walked = (scalar, [_start_of_text(self.text, scalar)])
        way = self._walked[1]
        for char in scalar.text[len(way) - 1 : offset]:
            way.append(way[-1] if char.isspace() else _past(self.text, way[-1], scalar, char))
        return way[min(max(offset, 0), len(way) - 1)]


def _start_of_text(text: str, scalar: Scalar) -> int:
    """Where the text of a scalar starts: after the line of a block's sign, or after the quote."""
    if scalar.style in {"|", ">"}:
        found = _BREAK.search(text, scalar.start, scalar.end)
        return found.end() if found else scalar.start
    return scalar.start + (1 if scalar.style else 0)


def _skip_space(text: str, at: int, scalar: Scalar) -> int:
    while at < scalar.end:
        if scalar.style == '"' and text[at] == "\\":
            escape = _ESCAPE.match(text, at)
            if escape is None or escape[0][1] not in "nrt \n\r_N":
                return at
            at = escape.end()
        elif text[at].isspace():
            at += 1
        else:
            return at
    return min(at, scalar.end)


def _past(text: str, at: int, scalar: Scalar, char: str) -> int:
    """Past the next character that is not white space; it is `char`, or an escape for it."""
    at = _skip_space(text, at, scalar)
    if scalar.style == '"' and text[at : at + 1] == "\\":
        escape = _ESCAPE.match(text, at)
        return escape.end() if escape else at + 1
    if scalar.style == "'" and char == "'":
        return min(at + 2, scalar.end)
    return min(at + 1, scalar.end)
