"""What ended a replica, and when ends prove something against a release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines.staying_up import APART, Cause, End, cause_of, moment, moments, proven

MEMORY, OWN, UNKNOWN, OUTSIDE = Cause.MEMORY, Cause.OWN, Cause.UNKNOWN, Cause.OUTSIDE


@pytest.mark.parametrize(
    ("code", "memory", "unhealthy", "cause"),
    [
        (137, True, False, MEMORY),
        (0, True, False, MEMORY),  # a supervisor in the container may hide the code
        (1, False, False, OWN),
        (139, False, False, OWN),  # a segmentation fault is a signal too, but no engine sends it
        (137, False, True, OWN),
        (0, None, True, OWN),
        (137, False, False, OUTSIDE),
        (143, False, False, OUTSIDE),
        (137, None, None, UNKNOWN),  # the container is on another node
        (143, None, None, UNKNOWN),
        (0, False, False, UNKNOWN),
        (255, False, False, UNKNOWN),
        (None, None, None, OUTSIDE),
    ],
)
def test_cause_of_tells_the_release_from_what_stops_it(
    code: int | None, memory: bool | None, unhealthy: bool | None, cause: Cause
) -> None:
    assert cause_of(code, out_of_memory=memory, unhealthy=unhealthy) is cause


def ends(*found: tuple[float, Cause, str, str]) -> list[End]:
    return [End(at, cause, replica, node) for at, cause, replica, node in found]


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        ([], False),
        ([(1, MEMORY, "1", "a"), (1, MEMORY, "2", "a")], True),
        ([(1, OWN, "1", "a")], False),
        ([(1, OWN, "1", "a"), (1.5, OWN, "2", "a")], False),  # a dependency that was away takes all of them with it
        ([(1, OWN, "1", "a"), (4, OWN, "2", "b")], True),
        ([(1, OWN, "1", "a"), (1.5, OWN, "1", "a")], True),  # the same replica, twice
        ([(1, UNKNOWN, "1", "a"), (1, UNKNOWN, "2", "a")], False),  # the engine restarted
        ([(1, UNKNOWN, "1", "a"), (60, UNKNOWN, "2", "b")], False),  # the engines of two nodes, one after the other
        ([(1, UNKNOWN, "1", "a"), (9, UNKNOWN, "2", "a")], True),
        ([(1, UNKNOWN, "1", "a"), (9, OWN, "2", "a")], False),
        ([(at, OUTSIDE, "1", "a") for at in range(0, 90, 9)], False),
    ],
)
def test_proven_needs_several_moments_except_for_want_of_memory(
    found: list[tuple[float, Cause, str, str]], proof: bool
) -> None:
    assert proven(ends(*found)) is proof


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ([], 0),
        ([100.0], 1),
        ([100.0, 100.3, 101.9], 1),  # the engine restarted, and took all of them with it
        ([100.0, 104.0], 2),  # each replica failed four seconds after its start
        ([104.0, 100.0, 101.0, 102.0, 103.0], 2),  # each second: no chain of neighbours is one moment
    ],
)
def test_moments_counts_what_ended_together_once(times: list[float], count: int) -> None:
    assert moments(times) == count


@given(st.lists(st.floats(0, 1000), max_size=12), st.floats(0, 1000))
def test_moments_of_more_ends_are_never_fewer_and_fit_into_their_span(times: list[float], more: float) -> None:
    assert moments([*times, more]) >= moments(times)
    if times:
        assert 1 <= moments(times) <= 1 + (max(times) - min(times)) / APART


def test_moment_reads_nanoseconds() -> None:
    assert moment("1970-01-01T00:01:40.123456789Z") == moment("1970-01-01T00:01:40Z") == 100.0
    assert moment("0001-01-01T00:00:00Z") < 0, "a container that never started"
