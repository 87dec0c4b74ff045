"""Reads what another service, program or person wrote as JSON or YAML, where any value may be of any type."""

from __future__ import annotations

from typing import Any


def objects(value: object) -> list[dict[str, Any]]:
    """Returns the objects of a list; none where it is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def members(value: object) -> dict[str, Any]:
    """Returns an object; an empty one where it is not an object."""
    return value if isinstance(value, dict) else {}
