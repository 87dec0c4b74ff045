"""Ties comparisons of schemas together: which pairs do not fit, also through cycles, and what is wrong with each.

Every pair of schemas is looked at once. A pair does not fit when something is wrong with itself, when a pair that it
needs does not fit, or when none of the pairs that it may choose from does. What follows from that is the least set of
such pairs, found in time linear in the number of pairs; a cycle alone is never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
D = TypeVar("D", bound=Hashable)


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
        self._marks: dict[K, int] = {}
        self._differences: list[D] = []

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
        self._mark()

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

    def marks(self, keys: Iterable[K]) -> int:
        """What is wrong with these pairs and with all below them, as a set of bits; `differences` says what they mean."""
        found = 0
        for key in keys:
            found |= self._marks.get(key, 0)
        return found

    def differences(self, marks: int) -> list[D]:
        """What the bits stand for, each difference once."""
        found: list[D] = []
        while marks:
            lowest = marks & -marks
            found.append(self._differences[lowest.bit_length() - 1])
            marks ^= lowest
        return found

    def _mark(self) -> None:
        """Gather for each bad pair its own bits and those of what is below it.

        Pairs on a circle share them: those are the strongly connected components, which Tarjan's algorithm closes one
        after the other, each after all that it leads to (https://doi.org/10.1137/0201010). That takes time linear in the
        pairs, where a walk from each operation would take the product. Chains may be long, so nothing here recurses.
        """
        bits: dict[D, int] = {}
        numbers: dict[K, int] = {}
        lowest: dict[K, int] = {}
        waiting: list[K] = []
        closed: set[K] = set()
        for start in self._bad:
            way: list[tuple[K, Iterator[K]]] = []
            entering = None if start in numbers else start
            while entering is not None or way:
                if entering is not None:
                    numbers[entering] = lowest[entering] = len(numbers)
                    waiting.append(entering)
                    way.append((entering, iter(self._entered(entering, bits))))
                key, below = way[-1]
                entering = None
                for other in below:
                    if other in closed:
                        self._marks[key] |= self._marks[other]
                    elif other in numbers:
                        lowest[key] = min(lowest[key], numbers[other])
                    else:
                        entering = other
                        break
                if entering is None:
                    way.pop()
                    if lowest[key] == numbers[key]:
                        self._close(key, waiting, closed)
                    if way:
                        above = way[-1][0]
                        lowest[above] = min(lowest[above], lowest[key])
                        self._marks[above] |= self._marks[key]
        self._differences = list(bits)

    def _entered(self, key: K, bits: dict[D, int]) -> list[K]:
        """Note what is wrong with the pair itself; the bad pairs below it are returned."""
        looked = self._looked[key]
        own = list(looked.wrong)
        below = [needed for needed in looked.needs if needed in self._bad]
        for choice in looked.choices:
            if all(candidate in self._bad for candidate in choice.candidates):
                if choice.nearest is None:
                    own.append(choice.otherwise)
                else:
                    below.append(choice.nearest)
        self._marks[key] = 0
        for difference in own:
            self._marks[key] |= 1 << bits.setdefault(difference, len(bits))
        return below

    def _close(self, key: K, waiting: list[K], closed: set[K]) -> None:
        """`key` and the pairs that came after it are one component."""
        members = [waiting.pop()]
        while members[-1] != key:
            members.append(waiting.pop())
        together = 0
        for member in members:
            together |= self._marks[member]
        for member in members:
            self._marks[member] = together
        closed.update(members)
