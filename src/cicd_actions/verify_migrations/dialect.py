"""What SQLite's and MySQL's parts share: PostgreSQL's statements as others read them, and catalogs without identities.

These databases give tables and columns no identity but their names, so a rename reads as a drop and an addition.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

TOKEN = re.compile(r"""\bE'(?P<constant>(?:[^'\\]|''|\\.)*)'|'(?:[^']|'')*'|"(?P<name>(?:[^"]|"")*)\"""", re.DOTALL)
"""A constant or a quoted name of a statement; `constant` is one with backslashes, as `wire.literal` writes it."""

_OURS = re.compile(r"^cicd_vm|^sqlite_")


def plain(found: re.Match[str]) -> str:
    """Returns a constant as a database reads it for which a backslash means nothing; any other token as it is."""
    return found[0] if found["constant"] is None else "'" + found["constant"].replace("\\\\", "\\") + "'"


def ours(table: str) -> bool:
    """Returns whether the table belongs to the action or to the database itself."""
    return _OURS.match(table) is not None


def number(name: str) -> int:
    """Returns a column's number: its name's, which stays the same when a column before it goes."""
    return zlib.crc32(name.encode())


def constraint(kind: str, definition: str, columns: list[int], target: str = "", targets: list[int] | None = None) -> Any:
    """Returns a constraint of a catalog."""
    return {
        "type": kind,
        "definition": definition,
        "valid": True,
        "columns": columns,
        "target": target,
        "targets": targets or [],
    }


def named_in(text: str, columns: Any) -> list[int]:
    """Returns the numbers of the columns that a condition names."""
    return [int(at) for at, column in columns.items() if re.search(rf"\b{re.escape(column['name'])}\b", text)]


def table(kind: str, name: str, definition: str | None, **parts: Any) -> dict[str, Any]:
    """Returns a table of a catalog. `parts` are columns, constraints, indexes and triggers."""
    nothing: dict[str, Any] = dict.fromkeys(("file", "child", "rls", "bound", "parent", "key", "policies"))
    return {**nothing, "schema": "main", "name": name, "kind": kind, "definition": definition, **parts}
