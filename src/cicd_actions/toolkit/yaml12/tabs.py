"""PyYAML's loader with tabs as separation (YAML 1.2.2, section 6.2), as GitHub reads them: PyYAML takes blanks only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

_SEPARATION = " \t"
_BREAKS = "\r\n\x85\u2028\u2029"


class Loader(yaml.SafeLoader):
    """Takes tabs between words. A tab in the indentation is an error, also behind a dash: `-<tab>- a` and `-<tab>a: b`."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and self._separates():
            while self.peek() in _SEPARATION:
                self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:
        length = self._white()
        white: str = self.prefix(length)
        if "\t" in white:
            self.forward(length)
            if self.peek() not in _BREAKS:
                return [white]
        found: list[str] | None = super().scan_plain_spaces(indent, start_mark)
        # The text goes on in this line, behind blanks and a tab.
        if found and self.peek() == "\t" and (self.flow_level or self.column >= indent):
            length = self._white()
            if self.peek(length) not in _BREAKS + "\0":
                self.forward(length)
        return found

    def scan_tag(self) -> Any:
        return self._tabs_as_blanks(super().scan_tag)

    def scan_block_scalar_indicators(self, start_mark: Any) -> Any:
        return self._tabs_as_blanks(super().scan_block_scalar_indicators, start_mark)

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> Any:
        return self._tabs_as_blanks(super().scan_block_scalar_ignored_line, start_mark)

    def add_indent(self, column: int) -> bool:
        """Begins a block collection at a column of this line."""
        start = self.pointer - self.column
        if "\t" in self.buffer[start : start + column]:
            raise yaml.scanner.ScannerError(None, None, "found a tab in the indentation", self.get_mark())
        begun: bool = super().add_indent(column)
        return begun

    def _tabs_as_blanks(self, scan: Callable[..., Any], *arguments: Any) -> Any:
        peek = self.peek
        self.__dict__["peek"] = lambda index=0: " " if (char := peek(index)) == "\t" else char
        try:
            return scan(*arguments)
        finally:
            del self.__dict__["peek"]

    def _white(self) -> int:
        length = 0
        while self.peek(length) in _SEPARATION:
            length += 1
        return length

    def _separates(self) -> bool:
        """Whether the tab stands behind something in its line, or in front of nothing but a comment."""
        behind = self.buffer[self.pointer - self.column : self.pointer]
        if self.flow_level or behind.strip(" "):
            return True
        return self.peek(self._white()) in "#\r\n\0"
