"""Pairs the things of two documents: by the exact key first, then by what covers them.

Everything of HTTP is paired here (operations, parameters, headers, status codes, media types), so no module pairs by a key
that two things of one document can share: a document always fits itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Paired(Generic[T]):
    """Things of both sides (`pairs`), and those that only the old (`removed`) or the new side has (`added`)."""

    pairs: list[tuple[T, T]]
    removed: list[T]
    added: list[T]


def one_to_one(old: Iterable[T], new: Iterable[T], *keys: Callable[[T], Hashable]) -> Paired[T]:
    """Pairs each thing with at most one of the other side. A later key decides only what the earlier keys left open."""
    left, right = dict(enumerate(old)), dict(enumerate(new))
    before = dict(left)
    chosen: dict[int, T] = {}
    for key in keys:
        waiting: dict[Hashable, list[int]] = {}
        for index, thing in right.items():
            waiting.setdefault(key(thing), []).append(index)
        for index, thing in list(left.items()):
            found = waiting.get(key(thing))
            if found:
                chosen[index] = right.pop(found.pop(0))
                del left[index]
    pairs = [(before[index], chosen[index]) for index in sorted(chosen)]
    return Paired(pairs, list(left.values()), list(right.values()))


@dataclass(frozen=True)
class Covered(Generic[T]):
    """What is sent and the known thing that handles it (`pairs`), what nothing handles, and what is never sent."""

    pairs: list[tuple[T, T]]
    unknown: list[T]
    missing: list[T]


def covering(sent: Sequence[T], known: Sequence[T], rank: Callable[[T, T], int], *, ranges: bool = False) -> Covered[T]:
    """Pairs each sent thing with the closest known one that covers it.

    `rank(wide, narrow)` is 0 where `wide` does not cover `narrow`, and higher the closer it is. With `ranges`, a sent range
    also stands for each known thing inside it.
    """
    pairs: list[tuple[T, T]] = []
    unknown: list[T] = []
    used: set[int] = set()
    for thing in sent:
        best = max(range(len(known)), key=lambda index: rank(known[index], thing), default=None)
        if best is None or not rank(known[best], thing):
            unknown.append(thing)
        else:
            pairs.append((thing, known[best]))
            used.add(best)
    missing: list[T] = []
    for index, thing in enumerate(known):
        if index in used:
            continue
        inside = max(sent, key=lambda wide: rank(wide, thing), default=None) if ranges else None
        if inside is not None and rank(inside, thing):
            pairs.append((inside, thing))
        else:
            missing.append(thing)
    return Covered(pairs, unknown, missing)
