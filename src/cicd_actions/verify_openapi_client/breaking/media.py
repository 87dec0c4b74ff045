"""Media types: what covers what (RFC 9110, sections 8.3.1 and 12.5.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

_EXACT = 1000
_SPOKEN_FOR = frozenset({"charset", "boundary", "q"})
"""Parameters that say how the same content is written, not what it is."""


class MediaType(NamedTuple):
    """`application/json;version=1` in parts; `parameters` without those that only say how the text is written."""

    kind: str
    subtype: str
    parameters: frozenset[tuple[str, str]]


@lru_cache(maxsize=1024)
def parsed(name: str) -> MediaType:
    """Returns the parts of a media type or range, in lower case."""
    essence, *rest = name.split(";")
    kind, _, subtype = essence.strip().lower().partition("/")
    pairs = (part.partition("=") for part in rest)
    parameters = ((key.strip().lower(), value.strip().strip('"').lower()) for key, _, value in pairs)
    return MediaType(kind, subtype, frozenset(pair for pair in parameters if pair[0] and pair[0] not in _SPOKEN_FOR))


def rank(wide: str, narrow: str) -> int:
    """Returns how closely `wide` covers `narrow`; 0 where it does not."""
    if wide == narrow:
        return _EXACT
    one, other = parsed(wide), parsed(narrow)
    if not one.parameters <= other.parameters:
        return 0
    if one == other:
        return _EXACT - 1
    if one[:2] == other[:2]:
        return 100 + len(one.parameters)
    if one.kind == other.kind and one.subtype == "*":
        return 10
    return 1 if (one.kind, one.subtype) == ("*", "*") else 0
