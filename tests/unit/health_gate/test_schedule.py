"""When the next probe is made."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.judge import Judge, Rules
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import HURRIED, JITTER, OBEYED, Schedule, retry_after


def seen(at: float, *, took: float = 0.001, wait: float | None = None, status: int = 503) -> Observation:
    return Observation(at, at + took, Outcome.WRONG, "status", str(status), retry_after=wait)


def moments(schedule: Schedule, until: float, took: float = 0.001) -> list[float]:
    """When probes start while nothing is right, without jitter."""
    at: float | None = 0.0
    found: list[float] = []
    while at is not None and at < until:
        found.append(at)
        at = schedule.next_probe(seen(at, took=took), 1e9, holds_until=None, random=lambda: 0.5)
    return found


def test_next_probe_young_target_makes_at_most_forty_probes() -> None:
    assert len(moments(Schedule(interval=2), 4.8)) <= 40


def test_next_probe_half_of_all_recoveries_in_the_first_seconds_are_seen_within_62_ms() -> None:
    starts = [*moments(Schedule(interval=2), 5.2)]
    delays = sorted(min(at for at in starts if at >= come / 1000) - come / 1000 for come in range(5000))
    assert delays[2500] <= 0.062


def test_the_pause_grows_to_the_interval_and_not_beyond() -> None:
    starts = moments(Schedule(interval=2), 600)
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert max(pauses) == pytest.approx(2)
    assert pauses[-1] == pytest.approx(2)


def test_a_pause_is_never_more_than_a_fortieth_of_the_time_waited() -> None:
    starts = moments(Schedule(interval=60), 300)
    assert all(later - earlier <= max(0.13, earlier * 0.027) for earlier, later in pairwise(starts))


def test_a_metric_keeps_to_the_interval_from_the_start() -> None:
    assert moments(Schedule(interval=2, steady=True), 7) == pytest.approx([0, 2, 4, 6])


def test_many_targets_share_the_rate() -> None:
    starts = moments(Schedule(interval=10, targets=500), 10)
    assert min(later - earlier for earlier, later in pairwise(starts)) >= 2.5


def test_the_probe_that_can_end_the_stable_window_is_not_late() -> None:
    schedule = Schedule(interval=5, stable_for=60)
    assert schedule.next_probe(seen(59.5), 1e9, holds_until=60.2, random=lambda: 0.5) == pytest.approx(60.201)


def after(schedule: Schedule, last: Observation, deadline: float = 300) -> float | None:
    return schedule.next_probe(last, deadline, holds_until=None, random=lambda: 0.5)


def test_retry_after_of_429_is_obeyed() -> None:
    assert after(Schedule(interval=2), seen(1, wait=30, status=429)) == pytest.approx(31.001)


def test_retry_after_of_429_beyond_the_deadline_leaves_one_last_probe_before_it() -> None:
    assert after(Schedule(interval=2), seen(1, wait=3600, status=429)) == pytest.approx(299.5)


def test_retry_after_of_503_is_obeyed_for_a_few_intervals() -> None:
    assert after(Schedule(interval=2), seen(1, wait=120)) == pytest.approx(1.001 + OBEYED * 2)
    assert after(Schedule(interval=2), seen(1, wait=3)) == pytest.approx(4.001)


@given(
    at=st.floats(0, 100), wait=st.floats(0, 1e6), interval=st.floats(0.01, 60), stable=st.floats(0, 50),
    successes=st.integers(1, 20), replicas=st.integers(1, 200),
)  # fmt: skip
def test_retry_after_of_503_leaves_the_time_that_a_pass_needs(
    at: float, wait: float, interval: float, stable: float, successes: int, replicas: int
) -> None:
    least = Judge(Rules(successes, stable, replicas=replicas)).least(interval)
    waits = Schedule(interval, stable).obeyed(seen(at, wait=wait), 100.0, least)
    assert waits == 0 or at + waits + least < 100.0


def test_hurried_probes_follow_within_a_moment() -> None:
    found = Schedule(interval=2).next_probe(seen(100), 300, holds_until=None, random=lambda: 0.5, hurried=True)
    assert found == pytest.approx(100 + HURRIED)


def test_target_that_passed_is_probed_at_the_interval() -> None:
    schedule = Schedule(interval=10, stable_for=1)
    found = schedule.next_probe(seen(1), 300, holds_until=1, random=lambda: 0.5, passed=True)
    assert found == pytest.approx(11)
    many = Schedule(interval=2, targets=1000)
    assert many.next_probe(seen(1), 300, holds_until=1, random=lambda: 0.5, passed=True) == pytest.approx(6)


def test_retry_after_of_503_leaves_the_time_for_the_connections_to_every_address() -> None:
    found = Schedule(interval=10).next_probe(seen(1, wait=60), 40, holds_until=None, random=lambda: 0.5, least=20)
    assert found == pytest.approx(40 - 1.2 * 20 - 2.5)


def test_no_probe_starts_when_there_is_no_time_for_its_answer() -> None:
    assert Schedule(interval=2).next_probe(seen(299.8), 300, holds_until=None, random=lambda: 0.5) is None


@given(
    at=st.floats(0, 3600),
    took=st.floats(0, 30),
    wait=st.none() | st.floats(0, 1e9),
    interval=st.floats(0.01, 60),
    stable=st.none() | st.floats(0, 600),
    chance=st.floats(0, 1),
    targets=st.integers(1, 5000),
)
def test_the_next_probe_is_after_the_last_one_and_before_the_deadline(
    at: float, took: float, wait: float | None, interval: float, stable: float | None, chance: float, targets: int
) -> None:
    schedule = Schedule(interval, stable or 0.0, targets=targets)
    last = seen(at, took=took, wait=wait)
    holds = None if stable is None else at + stable
    found = schedule.next_probe(last, 3600.0, holds_until=holds, random=lambda: chance)
    if found is None:
        return
    assert last.ended <= found < 3600.0
    assert found - last.ended <= max(interval * (1 + JITTER), min(wait or 0.0, OBEYED * interval)) + 1e-6


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("120", 120), (" 3 ", 3), ("999999999", 999999999)])
def test_retry_after_in_seconds(text: str, seconds: float) -> None:
    assert retry_after(text, lambda: 0) == seconds


def test_retry_after_as_a_date() -> None:
    date = dt.datetime(2026, 11, 21, 12, 0, 30, tzinfo=dt.timezone.utc)
    assert retry_after(format_datetime(date, usegmt=True), lambda: date.timestamp() - 30) == pytest.approx(30)
    assert retry_after(format_datetime(date, usegmt=True), lambda: date.timestamp() + 30) == 0


def test_retry_after_as_a_date_counts_from_the_date_of_the_answer() -> None:
    date = dt.datetime(2026, 11, 21, 12, 0, 30, tzinfo=dt.timezone.utc)
    sent = format_datetime(date - dt.timedelta(seconds=20), usegmt=True)
    assert retry_after(format_datetime(date, usegmt=True), lambda: 0, sent) == pytest.approx(20)


@given(st.text(max_size=60))
def test_garbage_in_retry_after_is_passed_over(text: str) -> None:
    found = retry_after(text, lambda: 1e9)
    assert found is None or found >= 0
