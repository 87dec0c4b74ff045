"""When to probe again. Pure: times in, times out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cicd_actions.health_gate.observation import Observation

YOUNG = 5.0
"""Seconds in which most services come up: the pauses are shortest there."""

SHORTEST = 0.128
"""Seconds between two probes of a young target: 39 probes in `YOUNG` seconds, and half of it is the median delay with
which a recovery is seen."""

RAMP = (0.02, 0.045, 0.09)
"""The first pauses: a service that is just being swapped is often back within a moment."""

SAMPLES = 40
"""Probes that a stable window is divided into, so that a replica which answers wrong is met."""

PER_SECOND = 200.0
"""Probes a second of all targets together: more would measure the machine that probes."""

JITTER = 0.1


@dataclass(frozen=True)
class Schedule:
    """The pauses of one target. `interval` is the longest; `steady` keeps to it from the start; all in seconds.

    `targets` is how many targets are probed at once.
    """

    interval: float
    stable_for: float = 0.0
    request_timeout: float = 5.0
    targets: int = 1
    steady: bool = False

    def next_probe(
        self,
        count: int,
        last: Observation,
        deadline: float,
        *,
        holds_until: float | None,
        random: Callable[[], float],
        hurried: bool = False,
    ) -> float | None:
        """Returns when the probe after the `count`-th starts; `None` when no time is left for one.

        `holds_until` is when the stable window is over, if one is open. `random` gives numbers from 0 to 1. `hurried` asks
        for the shortest pause. Pauses run from start to start, so that slow answers do not thin the probes out, and leave
        the server room to breathe.
        """
        pause = self.pause(1 if hurried else count, last.started, stable=holds_until is not None and not hurried)
        pause *= 1.0 - JITTER + 2.0 * JITTER * random()
        at = max(last.started + pause, last.ended + min(pause / 2, self.interval))
        if holds_until is not None and holds_until > last.ended:
            # Not later than the end of the window, so that a pass is not late.
            at = min(at, holds_until + 0.001)
        if last.retry_after:
            at = max(at, last.ended + last.retry_after)
        if at < deadline:
            return at
        # One last look before the end, when the regular one would come too late.
        final = deadline - min(0.5, self.request_timeout)
        return final if final > last.ended + min(pause / 2, 0.5) else None

    def pause(self, count: int, elapsed: float, *, stable: bool) -> float:
        """Seconds between the starts of two probes, without jitter."""
        if self.steady:
            base = self.interval
        elif stable:
            base = max(SHORTEST, self.stable_for / SAMPLES)
        elif count <= len(RAMP):
            base = RAMP[count - 1]
        else:
            # After the first seconds the pause grows with the time waited: never more than 2.6 % of it is lost.
            base = SHORTEST * max(1.0, elapsed / YOUNG)
        return min(self.interval, max(base, self.targets / PER_SECOND))


def retry_after(value: str, now: Callable[[], float]) -> float | None:
    """The seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3: seconds or a date); `None` for garbage.

    `now` is the wall clock's seconds since 1970.
    """
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    if not re.fullmatch(r"[A-Za-z0-9 ,:+-]{20,40}", value.strip()):
        return None
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 - rarely needed, and an import is start-up time

    parsed = parsedate_tz(value)
    if parsed is None:
        return None
    try:
        return max(0.0, mktime_tz(parsed) - now())
    except (ValueError, OverflowError):
        return None
