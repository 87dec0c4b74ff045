"""Reads the dotenv files that people keep in one secret: `NAME=value` lines, quotes, comments, `export`."""

from __future__ import annotations

import re

_NAME = re.compile(r"\s*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_BLANK = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:#[^\n]*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class NotDotenv(ValueError):
    """Raised for text that is not a dotenv file. Names the line by its number: the line itself may be a secret."""


def parse(text: str) -> dict[str, str]:
    """Returns the variables of a dotenv text. `$NAME` inside a value is not expanded: a password may hold one.

    Quoted values may span lines; in double quotes `\\n`, `\\r`, `\\t`, `\\"`, `\\\\` and `\\$` are escapes. The last of
    two equal names wins, as in a shell. Raises `NotDotenv`.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    found: dict[str, str] = {}
    at = 0
    while True:
        blank = _BLANK.match(text, at)
        at = blank.end() if blank else at
        if at >= len(text):
            return found
        line = text.count("\n", 0, at) + 1
        name = _NAME.match(text, at)
        if not name:
            raise NotDotenv(f"line {line} is not of the form NAME=value")
        found[name[1]], at = _value(text, name.end(), line)


def _value(text: str, at: int, line: int) -> tuple[str, int]:
    quote = text[at : at + 1]
    if quote in {"'", '"'}:
        match = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
        rest = _REST.match(text, match.end()) if match else None
        if not match or not rest:
            raise NotDotenv(f"the quote that opens in line {line} is not closed at the end of a line")
        value = match[1] if quote == "'" else re.sub(r"\\(.)", _unescaped, match[1], flags=re.DOTALL)
        return value, rest.end()
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    # As in every dotenv reader, an unquoted ` #` starts a comment; a `#` inside a word (a colour, a URL) does not.
    return re.split(r"(?:^|[ \t])#", text[at:end], maxsplit=1)[0].strip(), min(end + 1, len(text))


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1] if match[1] in '"\\$`\n' else match[0])
