"""An environment's variables, from text in dotenv form."""

from __future__ import annotations

import re

from problems import UnusableInput

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_dotenv(text: str, *, source: str) -> dict[str, str]:
    """Read `NAME=value` lines; values plain, in '…' (as it stands) or "…" (with \\n, \\" and \\\\).

    Raises UnusableInput with the line's number, and never with its content.
    """
    variables: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise UnusableInput(f"{source}, line {number}: expected NAME=value")
        variables[match["name"]] = _value(match["value"], f"{source}, line {number}")
    return variables


def _value(text: str, where: str) -> str:
    if text.startswith('"'):
        match = _DOUBLE.fullmatch(text)
        if match:
            return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), match[1])
    elif text.startswith("'"):
        match = _SINGLE.fullmatch(text)
        if match:
            return match[1]
    else:
        return re.split(r"\s+#", text, maxsplit=1)[0].strip()
    raise UnusableInput(f"{where}: a quote is not closed, or something follows it")
