"""Walks a list that GitHub cuts at 1,000 results, newest first, by narrowing the time that is asked for.

Asking for runs with a filter returns at most a thousand:
https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

PAGE = 100
MOST_PAGES = 10
"""Pages of one query: a thousand results."""


class Dated(Protocol):
    @property
    def created(self) -> int: ...


T = TypeVar("T", bound=Dated)


@dataclass(frozen=True)
class Slice:
    """Seconds since 1970, both ends included. `until` is `None` for "up to now"."""

    since: int
    until: int | None = None


@dataclass
class Walk(Generic[T]):
    """Yields pages of `whole`, newest first. `reached` is the time down to which everything was yielded."""

    whole: Slice
    ask: Callable[[Slice, int], Sequence[T]]
    reached: int | None = None
    crowded: int = 0
    """A second with more than a thousand results, of which GitHub does not show the rest; 0 for none."""

    def pages(self) -> Iterator[Sequence[T]]:
        """Asks for one page after the other. `ask` may raise; then `reached` says how far the walk came."""
        upper = self.whole.until
        while True:
            oldest = self.whole.since
            for number in range(1, MOST_PAGES + 1):
                found = self.ask(Slice(self.whole.since, upper), number)
                if found:
                    oldest = min(each.created for each in found)
                    # More of the same second may follow.
                    self.reached = min(oldest + 1, self.reached if self.reached is not None else oldest + 1)
                yield found
                if len(found) < PAGE:
                    self.reached = self.whole.since
                    return
            if upper is not None and oldest >= upper:
                # One second fills the whole answer: what GitHub does not show of it stays unknown.
                self.crowded, oldest = upper, upper - 1
            if oldest < self.whole.since:
                self.reached = self.whole.since
                return
            upper = oldest


def subtracted(gaps: Sequence[tuple[int, int]], since: int, until: int) -> list[tuple[int, int]]:
    """Returns what is left of the gaps, without the time from `since` to `until` (both included)."""
    left: list[tuple[int, int]] = []
    for low, high in gaps:
        if high < since or low > until:
            left.append((low, high))
            continue
        if low < since:
            left.append((low, since - 1))
        if high > until:
            left.append((until + 1, high))
    return left
