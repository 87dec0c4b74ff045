"""Freeze windows, against a clock that is walked minute by minute."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.deployment_record.freeze import Cron, Override, cron, override, window
from cicd_actions.toolkit.grammar import NotUnderstood

WEEKEND = window("0 18 * * FRI to 0 6 * * MON in Europe/Berlin: the weekend")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-27T17:59:59+01:00", None),
        ("2026-11-27T18:00:00+01:00", "2026-11-30T06:00:00+01:00"),
        ("2026-11-28T14:00:00+00:00", "2026-11-30T06:00:00+01:00"),
        ("2026-11-30T04:59:59+00:00", "2026-11-30T06:00:00+01:00"),
        ("2026-11-30T05:00:00+00:00", None),
        # The same wall clock in summer is another moment, and on the night between a window is an hour shorter.
        ("2026-03-27T16:59:00+00:00", None),
        ("2026-03-27T17:00:00+00:00", "2026-03-30T06:00:00+02:00"),
    ],
)
def test_window_over_the_weekend_follows_the_wall_clock(now: str, until: str | None) -> None:
    assert WEEKEND.open_until(at(now)) == (at(until) if until else None)


def test_window_on_the_night_with_an_hour_twice_is_the_longer_one() -> None:
    night = window("0 2 * * * to 30 2 * * * in Europe/Berlin: the backup")
    # On 2026-10-25 it is 02:00 at 00:00 UTC, and again at 01:00 UTC.
    assert night.open_until(at("2026-10-25T00:00:00+00:00")) == at("2026-10-25T01:30:00+00:00")
    assert night.open_until(at("2026-10-25T01:30:00+00:00")) is None


def test_window_on_the_night_without_an_hour_keeps_its_length() -> None:
    # On 2026-03-29 it is 01:59 at 00:59 UTC, and 03:00 a minute later.
    until = window("0 1 * * * to 30 2 * * * in Europe/Berlin: the backup")
    assert until.open_until(at("2026-03-29T00:45:00+00:00")) == at("2026-03-29T01:30:00+00:00")
    since = window("30 2 * * * to 0 5 * * * in Europe/Berlin: the backup")
    assert since.open_until(at("2026-03-29T01:29:00+00:00")) is None
    assert since.open_until(at("2026-03-29T01:30:00+00:00")) == at("2026-03-29T03:00:00+00:00")


def test_window_over_a_holiday_ends_in_the_next_year() -> None:
    holiday = window("0 12 23 12 * to 0 8 2 1 * in America/New_York: the holidays")
    assert holiday.open_until(at("2026-12-31T00:00:00+00:00")) == at("2027-01-02T08:00:00-05:00")
    assert holiday.open_until(at("2026-12-23T16:59:00+00:00")) is None


FIELDS = st.tuples(
    st.sampled_from(["0", "*/20", "30", "5,50"]),
    st.sampled_from(["6", "18", "*/7", "22-23"]),
    st.sampled_from(["*", "1", "13-15", "*/10"]),
    st.sampled_from(["*", "MAR", "10-12"]),
    st.sampled_from(["*", "MON", "FRI-SAT", "7"]),
).map(" ".join)


def fits(found: Cron, wall: datetime) -> bool:
    """The plain reading of the manual."""
    return wall.hour in found.hours and wall.minute in found.minutes and found.on(wall.date())


@given(FIELDS, FIELDS, st.integers(0, 3 * 365 * 24 * 60))
def test_window_is_what_a_clock_that_is_walked_back_says(begin: str, end: str, minutes: int) -> None:
    found = window(f"{begin} to {end} in UTC: why")
    now = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=minutes)
    walked = now
    # The last begin or end decides; two days are walked, and where neither lies in them the property says nothing.
    for _ in range(2 * 24 * 60):
        if fits(found.end, walked):
            assert found.open_until(now) is None
            return
        if fits(found.begin, walked):
            until = found.open_until(now)
            assert until is not None
            assert until > now
            assert fits(found.end, until)
            return
        walked -= timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    [
        "0 18 * * FRI",
        "0 18 * * FRI to 0 6 * * MON in Europe/Berlin",
        "0 18 * * FRI to 0 6 * * MON in Europe/Bernau: x",
        "0 18 * * FRI to 0 6 * * MON in ../../etc/passwd: x",
        "0 24 * * FRI to 0 6 * * MON in UTC: x",
        "0 1 * * FOO to 0 6 * * MON in UTC: x",
        "0 1 0 * * to 0 6 * * MON in UTC: x",
        "5-1 1 * * * to 0 6 * * MON in UTC: x",
        "*/0 1 * * * to 0 6 * * MON in UTC: x",
        "² 1 * * * to 0 6 * * MON in UTC: x",
    ],
)
def test_window_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        window(text)


def test_cron_takes_either_day_where_both_are_given() -> None:
    both = cron("0 0 13 * FRI")
    assert both.on(at("2026-11-13").date())
    assert both.on(at("2026-11-27").date())
    assert not both.on(at("2026-11-28").date())


def test_override_needs_an_end_and_a_reason() -> None:
    assert override("until 2026-12-24T18:00:00+01:00: a fix for the outage") == Override(1798131600.0, "a fix for the outage")
    assert override(" ") is None
    for text in ("a fix", "until tomorrow: a fix", "until 2026-12-24T18:00:00: no zone", "until 2026-12-24T18:00:00+01:00: "):
        with pytest.raises(NotUnderstood):
            override(text)
