"""Ties comparisons of schemas together: which pairs do not fit, also through cycles, and what is wrong with each.

Every pair of schemas is looked at once. A pair does not fit when something is wrong with itself, when a pair that it
needs does not fit, or when none of the pairs that it may choose from does. What follows from that is the least set of
such pairs, found in time linear in the number of pairs; a cycle alone is never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
D = TypeVar("D")


@dataclass(frozen=True)
class Choice(Generic[K, D]):
    """One of `candidates` has to fit. Else `nearest` says best what is wrong, or `otherwise` does."""

    candidates: tuple[K, ...]
    otherwise: D
    nearest: K | None = None


@dataclass
class Looked(Generic[K, D]):
    """What one look at a pair finds."""

    wrong: list[D] = field(default_factory=list)
    needs: list[K] = field(default_factory=list)
    choices: list[Choice[K, D]] = field(default_factory=list)


class TooMuch(Exception):
    """The documents need more comparisons than `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit:,} comparisons of schemas")


class Graph(Generic[K, D]):
    """Pairs by their key. `look` is called once for each; at most `limit` of them."""

    def __init__(self, look: Callable[[K], Looked[K, D]], limit: int) -> None:
        self._look = look
        self._limit = limit
        self._looked: dict[K, Looked[K, D]] = {}
        self._waiting: list[K] = []
        self._bad: set[K] = set()

    def need(self, key: K) -> None:
        """Have the pair compared. Raises `TooMuch`."""
        if key not in self._looked:
            if len(self._looked) >= self._limit:
                raise TooMuch(self._limit)
            self._looked[key] = Looked()
            self._waiting.append(key)

    def solve(self) -> None:
        """Look at every pair that is needed, and find those that do not fit. Raises `TooMuch`."""
        while self._waiting:
            key = self._waiting.pop()
            found = self._looked[key] = self._look(key)
            for needed in found.needs:
                self.need(needed)
            for choice in found.choices:
                for candidate in choice.candidates:
                    self.need(candidate)
        self._spread()

    def _spread(self) -> None:
        needed_by: dict[K, list[K]] = {}
        chosen_by: dict[K, list[tuple[K, int]]] = {}
        left: dict[tuple[K, int], int] = {}
        queue: list[K] = []
        for key, found in self._looked.items():
            for needed in found.needs:
                needed_by.setdefault(needed, []).append(key)
            for index, choice in enumerate(found.choices):
                candidates = set(choice.candidates)
                left[key, index] = len(candidates)
                for candidate in candidates:
                    chosen_by.setdefault(candidate, []).append((key, index))
            if found.wrong or any(not choice.candidates for choice in found.choices):
                queue.append(key)
        self._bad = set(queue)
        while queue:
            key = queue.pop()
            above = list(needed_by.get(key, ()))
            for asker, index in chosen_by.get(key, ()):
                left[asker, index] -= 1
                if left[asker, index] == 0:
                    above.append(asker)
            for asker in above:
                if asker not in self._bad:
                    self._bad.add(asker)
                    queue.append(asker)

    def wrong(self, keys: Iterable[K]) -> list[D]:
        """All that is wrong with these pairs and with what they need, each once."""
        found: list[D] = []
        stack = [key for key in keys if key in self._bad]
        seen = set(stack)
        while stack:
            looked = self._looked[stack.pop()]
            found += looked.wrong
            below = [key for key in looked.needs if key in self._bad]
            for choice in looked.choices:
                if all(candidate in self._bad for candidate in choice.candidates):
                    if choice.nearest is None:
                        found.append(choice.otherwise)
                    else:
                        below.append(choice.nearest)
            for key in below:
                if key not in seen:
                    seen.add(key)
                    stack.append(key)
        return found
