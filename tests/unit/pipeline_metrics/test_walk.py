from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline_metrics.walk import PAGE, Slice, Walk, subtracted


@dataclass(frozen=True)
class Item:
    id: int
    created: int


class Listing:
    """A list that shows at most a thousand results of a question, newest first."""

    def __init__(self, items: list[Item]) -> None:
        self._items = sorted(items, key=lambda item: (item.created, item.id), reverse=True)
        self.requests = 0

    def ask(self, span: Slice, number: int) -> list[Item]:
        self.requests += 1
        until = span.until if span.until is not None else 10**12
        found = [item for item in self._items if span.since <= item.created <= until][:1000]
        return found[(number - 1) * PAGE : number * PAGE]


# Seconds, and how many were created in each: bursts of up to a whole answer, and long pauses.
BURSTS = st.lists(st.tuples(st.integers(0, 5000), st.sampled_from([1, 2, 50, 99, 100, 101, 400, 999])), max_size=8)


@given(BURSTS, st.integers(0, 5000), st.one_of(st.none(), st.integers(0, 5000)))
def test_walk_any_times_yields_each_item_of_the_slice_once(
    bursts: list[tuple[int, int]], since: int, until: int | None
) -> None:
    times = [second for second, count in dict(bursts).items() for _ in range(count)]
    items = [Item(number, time) for number, time in enumerate(times)]
    listing = Listing(items)
    walk = Walk(Slice(since, until), listing.ask)
    found = {item.id for page in walk.pages() for item in page}
    wanted = {item.id for item in items if item.created >= since and (until is None or item.created <= until)}
    assert found == wanted
    assert walk.reached == since
    assert not walk.crowded
    # Each answer brings something new, but for the second at a cut and the last, empty ones.
    assert listing.requests <= 2 * (len(wanted) // PAGE + len(wanted) // 900 * 10) + 2


def test_walk_a_thousand_runs_takes_ten_requests() -> None:
    listing = Listing([Item(number, number) for number in range(999)])
    assert sum(len(page) for page in Walk(Slice(0, 5000), listing.ask).pages()) == 999
    assert listing.requests == 10


def test_walk_second_with_more_than_a_thousand_is_named_and_passed_over() -> None:
    listing = Listing([Item(number, 50) for number in range(1500)] + [Item(9000, 10), Item(9001, 70)])
    walk = Walk(Slice(0, 100), listing.ask)
    found = {item.id for page in walk.pages() for item in page}
    assert {9000, 9001} <= found
    assert walk.crowded == 50
    assert walk.reached == 0


@given(BURSTS, st.integers(0, 12))
def test_walk_that_ends_early_says_down_to_where_everything_is_known(bursts: list[tuple[int, int]], requests: int) -> None:
    times = [second for second, count in dict(bursts).items() for _ in range(count)]
    items = [Item(number, time) for number, time in enumerate(times)]
    listing = Listing(items)

    def ask(span: Slice, number: int) -> list[Item]:
        if listing.requests >= requests:
            raise ConnectionError
        return listing.ask(span, number)

    walk = Walk(Slice(0, 6000), ask)
    found: set[int] = set()
    try:
        for page in walk.pages():
            found |= {item.id for item in page}
    except ConnectionError:
        pass
    reached = walk.reached if walk.reached is not None else 10**9
    assert {item.id for item in items if item.created >= reached} <= found


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda each: (each[0], each[0] + each[1])), max_size=4)


@given(SPANS, st.integers(0, 60), st.integers(0, 20))
def test_subtracted_keeps_exactly_the_seconds_outside(gaps: list[tuple[int, int]], since: int, length: int) -> None:
    def seconds(spans: list[tuple[int, int]]) -> set[int]:
        return {second for low, high in spans for second in range(low, high + 1)}

    left = subtracted(gaps, since, since + length)
    assert seconds(left) == seconds(gaps) - set(range(since, since + length + 1))
    assert all(low <= high for low, high in left)
