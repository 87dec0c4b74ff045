"""Reads JSON that a stranger may have written: its size and depth are bounded, and its shape is checked on every step."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

LARGEST = 64 * 1024 * 1024
"""Bytes of one report. The report of a large image has some ten million; reading takes ten times the memory."""

LONGEST_TEXT = 1000
"""Characters of one text in a report that are kept."""


class Unreadable(Exception):
    """Raised where a report is not what its scanner documents; the text is a clause that says why."""


def load(path: Path) -> Any:
    """Returns the JSON document in the file, or a list of the documents of its lines as a `Lines`. Raises `Unreadable`."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable("the report does not exist" if isinstance(error, FileNotFoundError) else str(error.strerror)) from None
    if len(content) > LARGEST:
        raise Unreadable(f"the report is larger than {LARGEST // 1024 // 1024} MiB")
    if not content.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise Unreadable("the report is empty")
    try:
        return _parsed(content)
    except RecursionError:
        raise Unreadable("the report is nested too deeply") from None
    except ValueError as error:
        whole = error
    try:
        text = content.decode(json.detect_encoding(content))
        return Lines(_parsed(line) for line in text.splitlines() if line.strip())
    except (ValueError, RecursionError):
        if isinstance(whole, json.JSONDecodeError) and whole.msg == "Extra data":
            raise Unreadable("the report holds several JSON documents in a row; have the scanner write SARIF") from None
        begins = content.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
        if begins in {b"{", b"["}:
            raise Unreadable(f"the report is truncated, or is not JSON ({_shown(whole)})") from None
        raise Unreadable("the report does not begin with JSON; write only the scanner's standard output to it") from None


def _parsed(content: bytes | str) -> Any:
    return json.loads(content, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object. Of two values under one key other readers take another one, so neither can be trusted."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("the report has a key twice in one object")
    return found


def _shown(error: ValueError) -> str:
    # The rest of the message repeats nothing of the document.
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return f"byte {error.start} is not {error.encoding}" if isinstance(error, UnicodeDecodeError) else "a number is too long"


class Lines(list[Any]):
    """Documents that stood in one line each."""


def mapping(value: Any, where: str) -> dict[str, Any]:
    """Returns an object. Raises `Unreadable`."""
    if not isinstance(value, dict):
        raise Unreadable(f"`{where}` is not an object")
    return value


def items(value: Any, where: str) -> list[Any]:
    """Returns a list; `null` is an empty one, as Go's encoder writes it. Raises `Unreadable`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable(f"`{where}` is not a list")
    return value


def present(value: Any, where: str) -> list[dict[str, Any]]:
    """Returns a list of objects that the scanner always writes: without it nothing is proven absent. Raises `Unreadable`."""
    if value is None:
        raise Unreadable(f"`{where}` is missing")
    return objects(value, where)


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """Returns a list of objects. Raises `Unreadable`."""
    return [mapping(one, f"{where}[{number}]") for number, one in enumerate(items(value, where))]


def text(value: Any, where: str = "") -> str:
    """Returns a text of bounded length; where `where` names it, it has to be there. Raises `Unreadable`."""
    if isinstance(value, str) and (value.strip() or not where):
        # JSON can hold halves of UTF-16 pairs, which no file and no URL can.
        return value.strip()[:LONGEST_TEXT].encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:20]
    if where:
        raise Unreadable(f"`{where}` is missing")
    return ""


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Returns the texts of a list. Raises `Unreadable`."""
    return tuple(found for one in items(value, where) if (found := text(one)))


def whole(value: Any) -> int:
    """Returns a whole number from 0, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def time(value: Any) -> dt.datetime | None:
    """Returns a time of RFC 3339 with nanoseconds or without; `None` for anything else, and for Go's zero time."""
    match = (
        re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?.{0,40}", value)
        if isinstance(value, str)
        else None
    )
    if match is None or match[1].startswith("0001"):
        return None
    zone = match[3] or "Z"
    try:
        return dt.datetime.fromisoformat(f"{match[1]}T{match[2]}{'+00:00' if zone == 'Z' else zone[:3] + ':' + zone[-2:]}")
    except ValueError:
        return None
