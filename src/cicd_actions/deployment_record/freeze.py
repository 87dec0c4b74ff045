"""Reads freeze windows, such as `0 18 * * FRI to 0 6 * * MON in Europe/Berlin: the weekend`, and says whether one is open."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from cicd_actions.github.release_record import time_of
from cicd_actions.toolkit.grammar import NotUnderstood, is_whole

EXAMPLE = "0 18 * * FRI to 0 6 * * MON in Europe/Berlin: the weekend"

_WINDOW = re.compile(
    r"(?P<begin>\S+(?: +\S+){4}) +to +(?P<end>\S+(?: +\S+){4}) +in +(?P<zone>[A-Za-z0-9_+/-]+) *: *(?P<why>\S.*)"
)
_OVERRIDE = re.compile(r"until +(?P<until>\S+): +(?P<why>\S.*)")

_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()

_FARTHEST = 8 * 366
"""Days in which every date comes: 29 February is missing for eight years around a century that is not a leap year."""


@dataclass(frozen=True)
class Cron:
    """Five fields: minute, hour, day of the month, month, day of the week.

    https://pubs.opengroup.org/onlinepubs/9799919799/utilities/crontab.html: where both kinds of day are given, either fits.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def on(self, day: date) -> bool:
        """Whether the day fits."""
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((by_month or by_week) if self.either else (by_month and by_week))

    def times(self, day: date) -> Iterator[datetime]:
        """Yields the wall clock's times on a day, the earliest first."""
        if self.on(day):
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    yield datetime.combine(day, time(hour, minute))


@dataclass(frozen=True)
class Window:
    """A time in which nothing is deployed: from each `begin` to the next `end`, on the wall clock of `zone`."""

    begin: Cron
    end: Cron
    zone: zoneinfo.ZoneInfo
    why: str

    def open_until(self, now: datetime) -> datetime | None:
        """Returns when the window ends that is open at `now` (with a zone); `None` when none is.

        The moment of `end` itself is outside. Where a time comes twice in a night, a window begins at the first of the two
        and ends at the second.
        """
        begun, ended = self._last(self.begin, now, fold=0), self._last(self.end, now, fold=1)
        if begun is None or (ended is not None and ended >= begun):
            return None
        return self._next(self.end, now, fold=1)

    def _last(self, cron: Cron, now: datetime, *, fold: int) -> datetime | None:
        """Returns the latest moment at or before `now`."""
        first = now.astimezone(self.zone).date() + timedelta(days=1)
        for back in range(_FARTHEST):
            moments = [self._moment(each, fold) for each in cron.times(first - timedelta(days=back))]
            if found := [moment for moment in moments if moment <= now]:
                return max(found)
        return None

    def _next(self, cron: Cron, now: datetime, *, fold: int) -> datetime | None:
        first = now.astimezone(self.zone).date() - timedelta(days=1)
        for ahead in range(_FARTHEST):
            moments = [self._moment(each, fold) for each in cron.times(first + timedelta(days=ahead))]
            if found := [moment for moment in moments if moment > now]:
                return min(found)
        return None

    def _moment(self, wall: datetime, fold: int) -> datetime:
        """Returns the moment in UTC, whose order is that of time; a time that a clock skips is read on the clock before."""
        first, second = (wall.replace(tzinfo=self.zone, fold=each).astimezone(timezone.utc) for each in (0, 1))
        # Python reads a skipped time with `fold=1` on the clock after, which is an hour earlier.
        return max(first, second) if fold else first


@dataclass(frozen=True)
class Override:
    """Lets deploys through every window, until a moment (seconds since 1970), for a reason."""

    until: float
    why: str


def window(text: str) -> Window:
    """Reads `CRON to CRON in ZONE: why`. Raises `NotUnderstood`."""
    match = _WINDOW.fullmatch(text.strip())
    if not match:
        raise NotUnderstood(f"`{text.strip()[:120]}` is not of the form CRON to CRON in ZONE: why", example=EXAMPLE)
    try:
        zone = zoneinfo.ZoneInfo(match["zone"])
    except (OSError, ValueError, LookupError):
        raise NotUnderstood(f"this machine knows no time zone `{match['zone']}`", example=EXAMPLE) from None
    return Window(cron(match["begin"]), cron(match["end"]), zone, match["why"])


def override(text: str) -> Override | None:
    """Reads `until TIME: why`, the time with its zone. Raises `NotUnderstood`."""
    if not text.strip():
        return None
    match = _OVERRIDE.fullmatch(text.strip())
    until = time_of(match["until"]) if match else None
    if match is None or until is None:
        raise NotUnderstood(
            f"`{text.strip()[:120]}` is not of the form until TIME: why",
            example="until 2026-12-24T18:00:00+01:00: a fix for the outage",
        )
    return Override(until, match["why"])


def cron(text: str) -> Cron:
    """Reads five fields. Raises `NotUnderstood`."""
    fields = text.split()
    minutes, hours, days, months, weekdays = (
        _field(field, least, most, names, text)
        for field, (least, most, names) in zip(
            fields, [(0, 59, []), (0, 23, []), (1, 31, []), (1, 12, _MONTHS), (0, 7, _DAYS)], strict=True
        )
    )
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return Cron(text, minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)


def _field(text: str, least: int, most: int, names: Sequence[str], whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, last = str(least), str(most)
        elif not dash:
            last = str(most) if slash else first
        low, high = (_number(word, least, names) for word in (first, last))
        by = _number(step, 0, ()) if slash else 1
        if low is None or high is None or not by or not least <= low <= high <= most:
            raise NotUnderstood(f"`{part[:20]}` in `{whole[:60]}` is not a field of cron", example=EXAMPLE)
        found |= set(range(low, high + 1, by))
    return frozenset(found)


def _number(word: str, least: int, names: Sequence[str]) -> int | None:
    if word.upper() in names:
        return names.index(word.upper()) + least
    return int(word) if is_whole(word) else None
