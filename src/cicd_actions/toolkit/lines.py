"""Hands a program's output over line by line, within bounds that no program can exceed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from cicd_actions.toolkit.redaction import Redactor

Line = Callable[[str, str], None]
"""Called with `stdout` or `stderr` and one line of it, as it arrives."""

LONGEST_LINE = 64 * 1024
"""Characters of one line; a longer one is handed over in pieces."""

MOST_LINES = 200_000
MOST_CHARACTERS = 32 * 1024 * 1024
"""What is handed over of one stream before the middle is left out: more than a person reads, and seconds of work."""

LAST = 100
"""Lines that are still handed over from the end of a stream that was too long."""


class Lines:
    """One stream's lines. A line without an end is cut where the cut splits no secret, and its rest is carried on."""

    def __init__(self, stream: str, on_line: Line, redactor: Redactor | None = None) -> None:
        self._stream = stream
        self._on_line = on_line
        self._redactor = redactor
        self._open = ""
        self._lines = 0
        self._characters = 0
        self._left_out = 0
        self._last: deque[str] = deque(maxlen=LAST)

    @property
    def full(self) -> bool:
        """Returns whether the bounds are reached: further lines only change which ones are the last."""
        return self._lines >= MOST_LINES or self._characters >= MOST_CHARACTERS

    def feed(self, text: str) -> None:
        """Takes the next text, of any length, and hands over the lines that it completes."""
        *whole, self._open = (self._open + text).split("\n")
        for line in whole:
            self._hand_over(self._shortened(line))
        self._open = self._shortened(self._open)

    def close(self) -> None:
        """Hands over a last line that no newline ended, and the last lines of a stream that was too long."""
        if self._open:
            self._hand_over(self._open)
            self._open = ""
        if self._left_out > len(self._last):
            left_out = self._left_out - len(self._last)
            self._on_line(self._stream, f"… {left_out} lines are left out here: the output is too long …")
        for line in self._last:
            self._on_line(self._stream, line)
        self._last.clear()

    def _shortened(self, line: str) -> str:
        """Hands over what exceeds the longest line; returns the rest."""
        longest = LONGEST_LINE + (self._redactor.reach if self._redactor else 0)
        while len(line) > longest:
            # Not less than the longest line, or a line that is full of secrets would be looked through again and again.
            cut = max(self._redactor.seam(line[:longest]), 1) if self._redactor else LONGEST_LINE
            self._hand_over(line[:cut])
            line = line[cut:]
        return line

    def _hand_over(self, line: str) -> None:
        line = line.rstrip("\r")
        if self.full:
            self._left_out += 1
            self._last.append(line)
            return
        self._lines += 1
        self._characters += len(line)
        self._on_line(self._stream, line)
