"""Values for a column of a PostgreSQL type: tame ones (distinct, valid) and hostile ones (longest, empty, least, duplicate)."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_START = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - text for the server, which has a time zone
_SIZE = re.compile(r"\(([0-9]{1,9})(?:,(-?[0-9]{1,9}))?\)$")
_MAXIMUM = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_LONG = 3000
"""Characters of a hostile text without a limit."""


@dataclass(frozen=True)
class Type:
    """A type as `format_type` writes it, taken apart."""

    base: str
    size: int | None
    scale: int
    array: bool

    @classmethod
    def of(cls, text: str) -> Type:
        base = text
        while base.endswith("[]"):
            base = base.removesuffix("[]")
        zone = next((zone for zone in (" with time zone", " without time zone") if base.endswith(zone)), "")
        base = base.removesuffix(zone)
        found = _SIZE.search(base)
        size, scale = (int(found[1]), int(found[2] or 0)) if found else (None, 0)
        return cls(base[: found.start() if found else None] + zone, size, scale, text.endswith("[]"))

    @property
    def text(self) -> bool:
        return self.base in {"character varying", "character", "text", "citext", "name", "bpchar"}

    @property
    def number(self) -> bool:
        return self.base in {*_MAXIMUM, "numeric", "real", "double precision", "money"}

    @property
    def moment(self) -> bool:
        return self.base == "date" or self.base.startswith("timestamp")


def tame(type_: Type, label: str, i: int, known: Mapping[str, Any]) -> str | None:
    """Returns the value of row `i` as text, distinct for each `i` where the type allows that; `None` for an unknown type.

    `label` is the column's name. `known` are the database's enums (lists of labels).
    """
    if type_.array:
        inner = tame(Type(type_.base, type_.size, type_.scale, array=False), label, i, known)
        return None if inner is None else '{"' + inner.replace("\\", "\\\\").replace('"', '\\"') + '"}'
    if type_.base in known:
        labels = known[type_.base]
        return str(labels[i % len(labels)]) if labels else None
    if type_.text:
        return _fitting(f"{label}_{i}", i, type_.size or (1 if type_.base == "character" else 63))
    make = _MAKERS.get(type_.base)
    return make(type_, i) if make else None


def hostile(type_: Type, label: str, i: int, known: Mapping[str, Any]) -> str | None:
    """Returns a value that is legal and unkind: the longest, the least, or the same as another row's."""
    kind = i % 3
    if kind == 2 or type_.array or type_.base in known:
        return tame(type_, label, 1, known)
    if type_.text:
        return "" if kind else "x" * (type_.size or _LONG)
    if type_.base in _MAXIMUM:
        return "0" if kind else str(_MAXIMUM[type_.base])
    if type_.base == "numeric":
        whole = (type_.size or 12) - type_.scale
        return "0" if kind else "9" * whole or "0"
    if type_.moment:
        return "0001-01-01" if kind else "9999-12-31"
    if type_.base in {"json", "jsonb"}:
        return "null" if kind else "[]"
    return tame(type_, label, 1, known)


def alternatives(type_: Type) -> Sequence[Callable[[int], str]]:
    """Returns other ways to make a value, for a column whose check refuses the usual one."""
    if type_.number:
        return (
            lambda i: str(i % 9 + 1),
            lambda _: "1",
            lambda _: "0",
            lambda i: str(i % 50 + 20),
            lambda i: str(100 + i),
            lambda i: str(2000 + i % 50),
            lambda _: "0.5",
            lambda i: str(-i - 1),
        )
    if type_.text:
        return (
            lambda i: f"user{i}@example.com",
            lambda i: f"a{i}",
            lambda i: f"{i:05d}",
            lambda i: f"https://example.com/{i}",
            lambda _: "US",
            lambda _: "EUR",
            lambda _: "a",
            lambda i: f"+4930{i:07d}",
            lambda i: f"long enough for a check of its length {i}",
        )
    if type_.moment:
        return (
            lambda i: str(_START.date() - dt.timedelta(days=i + 1)),
            lambda i: str(_START.date() + dt.timedelta(days=36_500 + i)),
        )
    if type_.base == "boolean":
        return (lambda _: "true", lambda _: "false")
    return ()


def _fitting(text: str, i: int, size: int) -> str:
    if len(text) <= size:
        return text
    digits = ""
    while i or not digits:
        i, rest = divmod(i, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits[-size:].rjust(min(size, 4), "0")


def _number(type_: Type, i: int) -> str:
    limit = 10 ** max((type_.size or 12) - type_.scale, 0) - 1
    return str(min(i, limit)) if limit else "0"


def _network(i: int) -> str:
    return f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"


_MAKERS: Mapping[str, Callable[[Type, int], str]] = {
    "smallint": lambda _, i: str(i % 2**15),
    "integer": lambda _, i: str(i),
    "bigint": lambda _, i: str(i),
    "oid": lambda _, i: str(i),
    "numeric": _number,
    "money": lambda _, i: str(i),
    "real": lambda _, i: str(i),
    "double precision": lambda _, i: str(i),
    "boolean": lambda _, i: "true" if i % 2 else "false",
    "date": lambda _, i: str(_START.date() + dt.timedelta(days=i)),
    "timestamp without time zone": lambda _, i: str(_START + dt.timedelta(hours=i)),
    "timestamp with time zone": lambda _, i: f"{_START + dt.timedelta(hours=i)}+00",
    "time without time zone": lambda _, i: f"{i // 60 % 24:02d}:{i % 60:02d}",
    "time with time zone": lambda _, i: f"{i // 60 % 24:02d}:{i % 60:02d}+00",
    "interval": lambda _, i: f"{i} minutes",
    "uuid": lambda _, i: str(uuid.UUID(int=0x10000000400080000000000000000000 + i)),
    "json": lambda _, i: f'{{"n": {i}}}',
    "jsonb": lambda _, i: f'{{"n": {i}}}',
    "bytea": lambda _, i: f"\\x{i:08x}",
    "inet": lambda _, i: _network(i),
    "cidr": lambda _, i: f"{_network(i)}/32",
    "macaddr": lambda _, i: f"02:00:00:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}",
    "bit": lambda type_, i: f"{i:b}"[-(type_.size or 1) :].rjust(type_.size or 1, "0"),
    "bit varying": lambda type_, i: f"{i:b}"[-(type_.size or 64) :],
    "point": lambda _, i: f"({i},{i})",
    "xml": lambda _, i: f"<n>{i}</n>",
    "tsvector": lambda _, i: f"word{i}",
    "tsquery": lambda _, i: f"word{i}",
    "hstore": lambda _, i: f'"n"=>"{i}"',
    "ltree": lambda _, i: f"n.n{i}",
    "int4range": lambda _, i: f"[{i},{i + 1})",
    "int8range": lambda _, i: f"[{i},{i + 1})",
    "numrange": lambda _, i: f"[{i},{i + 1})",
    "daterange": lambda _, i: f"[{_START.date() + dt.timedelta(days=i)},{_START.date() + dt.timedelta(days=i + 1)})",
    "tsrange": lambda _, i: f"[{_START + dt.timedelta(hours=i)},{_START + dt.timedelta(hours=i + 1)})",
    "tstzrange": lambda _, i: f"[{_START + dt.timedelta(hours=i)}+00,{_START + dt.timedelta(hours=i + 1)}+00)",
    '"char"': lambda _, i: chr(97 + i % 26),
}
