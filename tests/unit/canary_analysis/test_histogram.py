"""Histograms from counters that grow, and begin again at 0."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.canary_analysis.histogram import HistogramTally

BOUNDS = (0.1, 0.5, math.inf)
# For each reading: how many requests fell into each bucket, and whether the replica restarted before.
TURNS = st.lists(st.tuples(st.tuples(*[st.integers(0, 9)] * 3), st.booleans()), max_size=12)


def cumulative(counts: tuple[int, ...] | list[int]) -> dict[float, float]:
    return {bound: float(sum(counts[: place + 1])) for place, bound in enumerate(BOUNDS)}


@given(st.lists(TURNS, min_size=1, max_size=3))
def test_histogram_of_several_replicas_counts_every_request_once(replicas: list[list[tuple[tuple[int, ...], bool]]]) -> None:
    tally, wanted = HistogramTally(), [0, 0, 0]
    counters = {str(each): [5000, 900, 100] for each in range(len(replicas))}
    tally.add({name: cumulative(counts) for name, counts in counters.items()})
    for turn in range(max(map(len, replicas))):
        for name, turns in enumerate(replicas):
            more, restart = turns[turn] if turn < len(turns) else ((0, 0, 0), False)
            if restart and counters[str(name)][0] >= 5000:
                counters[str(name)] = [0, 0, 0]
            counters[str(name)] = [had + gained for had, gained in zip(counters[str(name)], more, strict=True)]
            wanted = [had + gained for had, gained in zip(wanted, more, strict=True)]
        tally.add({name: cumulative(counts) for name, counts in counters.items()})
    assert tally.counts == wanted
    assert tally.bounds == BOUNDS


def test_histogram_of_a_replica_that_appears_later_is_counted_from_its_start() -> None:
    tally = HistogramTally()
    tally.add({})
    assert (tally.bounds, tally.counts) == ((), [])
    tally.add({"new": cumulative((3, 2, 1))})
    assert tally.counts == [3, 2, 1]


def test_histogram_whose_counters_are_a_request_apart_has_no_negative_bucket() -> None:
    tally = HistogramTally()
    tally.add({})
    tally.add({"new": {0.1: 5.0, 0.5: 4.0, math.inf: 6.0}})
    assert tally.counts == [5, 0, 1]
