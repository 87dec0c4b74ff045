"""Reads and writes accepted changes: fingerprint, reason, and the last day."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.errors import UnusableInput

_KEYS = {"fingerprint", "reason", "expires"}

_EXAMPLE = """Write a list such as:

    - fingerprint: 0123456789abcdef0123456789abcdef
      reason: The mobile app stopped reading it in 4.2.
      expires: 2027-01-31   # optional: the last day on which it holds"""

_LONGEST = 256 * 1024


@dataclass(frozen=True)
class Acknowledgement:
    """One accepted change. `line` is where it stands in the file."""

    fingerprint: str
    reason: str
    expires: dt.date | None
    line: int

    def holds(self, today: dt.date) -> bool:
        """Returns whether it counts on that day, its last day included."""
        return self.expires is None or today <= self.expires


def load(path: Path, shown: str) -> list[Acknowledgement]:
    """Reads the accepted changes of a YAML (or JSON) file. Raises `UnusableInput` for anything that is not clear."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise UnusableInput(
            f"Could not read {shown}, the file of the input `acknowledge`: {error.strerror}.", fix=_EXAMPLE
        ) from None
    if len(content) > _LONGEST:
        raise UnusableInput(f"The file {shown} of the input `acknowledge` is longer than {_LONGEST // 1024} KiB.")
    try:
        root = yaml12.read(content.decode("utf-8-sig")).root
    except (yaml12.NotYaml, UnicodeDecodeError) as error:
        raise UnusableInput(f"The file {shown} of the input `acknowledge` is not YAML: {error}", fix=_EXAMPLE) from None
    if root is None:
        return []
    if not isinstance(root, yaml12.Sequence):
        raise UnusableInput(f"{shown}:{root.line}: the accepted changes have to be a list.", fix=_EXAMPLE)
    found = [_entry(item, shown) for item in root.items]
    _no_doubles(found, shown)
    return found


def entry(fingerprint: str, what: str) -> str:
    """Returns the entry that accepts a change, as YAML to paste."""
    reason = json.dumps(f"TODO: say why this is right. {' '.join(what.split())}", ensure_ascii=False)
    return f"- fingerprint: {fingerprint}\n  reason: {reason}"


def _entry(node: yaml12.Node, shown: str) -> Acknowledgement:
    if not isinstance(node, yaml12.Mapping):
        raise UnusableInput(f"{shown}:{node.line}: an accepted change has `fingerprint` and `reason`.", fix=_EXAMPLE)
    for key, _ in node.entries:
        if key.text not in _KEYS:
            raise UnusableInput(f"{shown}:{key.line}: the key `{key.text}` is unknown.", fix=_EXAMPLE)
    fingerprint, reason = _text(node, "fingerprint", shown), _text(node, "reason", shown)
    if not re.fullmatch(r"[0-9a-f]{32}", fingerprint):
        raise UnusableInput(
            f"{shown}:{node.line}: `{fingerprint}` is not a fingerprint (32 hexadecimal digits, as in the report).",
            fix=_EXAMPLE,
        )
    expires = None
    if node.get("expires") is not None:
        written = _text(node, "expires", shown)
        try:
            expires = dt.date.fromisoformat(written)
        except ValueError:
            raise UnusableInput(f"{shown}:{node.line}: `expires` is not a date: {written}.", fix=_EXAMPLE) from None
    return Acknowledgement(fingerprint, reason, expires, node.line)


def _text(node: yaml12.Mapping, key: str, shown: str) -> str:
    value = node.get(key)
    if not isinstance(value, yaml12.Scalar) or not value.text.strip():
        why = " It tells later readers why the change is right." if key == "reason" else ""
        raise UnusableInput(f"{shown}:{node.line}: `{key}` is missing.{why}", fix=_EXAMPLE)
    return value.text.strip()


def _no_doubles(found: Sequence[Acknowledgement], shown: str) -> None:
    seen: dict[str, int] = {}
    for one in found:
        if one.fingerprint in seen:
            raise UnusableInput(f"{shown}:{one.line}: {one.fingerprint} is accepted in line {seen[one.fingerprint]} already.")
        seen[one.fingerprint] = one.line
