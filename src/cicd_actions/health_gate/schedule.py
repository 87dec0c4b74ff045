"""Decides when to probe again. Pure: times in, times out."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable
from dataclasses import dataclass

from cicd_actions.health_gate.observation import Observation

YOUNG = 5.0
"""Seconds in which most services come up: the pauses are shortest there."""

SHORTEST = 0.122
"""Seconds between two probes of a young target: 40 probes in 4.8 seconds. Half of it is the median delay with which a
recovery is seen: for a given number of probes no other spacing has a shorter one."""

HURRIED = 0.02
"""Seconds between two probes while the answers are right and the target only has to show more replicas."""

SAMPLES = 40
"""Probes that a stable window is divided into, so that a replica which answers wrong is met."""

PER_SECOND = 200.0
"""Probes a second of all targets together: more would measure the machine that probes."""

JITTER = 0.1

OBEYED = 3
"""Intervals that a `Retry-After` of another status than 429 is obeyed for at most: a service that just starts often asks for
minutes, and the gate must see it come up."""


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """The pauses of one target, in seconds. `interval` is the longest; `steady` keeps to it from the start.

    `targets` is how many targets are probed at once.
    """

    interval: float
    stable_for: float = 0.0
    request_timeout: float = 5.0
    targets: int = 1
    steady: bool = False

    def next_probe(
        self,
        last: Observation,
        deadline: float,
        *,
        holds_until: float | None,
        random: Callable[[], float],
        hurried: bool = False,
        passed: bool = False,
        least: float = 0.0,
    ) -> float | None:
        """Returns when the probe after `last` starts; `None` when no time is left for one.

        `holds_until` is when the stable window is over, if one is open. `random` gives numbers from 0 to 1. `hurried` asks
        for the shortest pause, `passed` for the longest. `least` is how many seconds a pass takes at least, from the first
        right answer on. Pauses run from start to start, so that slow answers do not thin the probes out, and leave the
        server room to breathe.
        """
        pause = self.pause(last.started, stable=holds_until is not None, hurried=hurried, passed=passed)
        pause *= 1.0 - JITTER + 2.0 * JITTER * random()
        at = max(last.started + pause, last.ended + min(pause / 2, self.interval))
        if holds_until is not None and holds_until > last.ended:
            # Not later than the end of the window, so that a pass is not late.
            at = min(at, holds_until + 0.001)
        at = max(at, last.ended + self.obeyed(last, deadline, least))
        if at < deadline:
            return at
        # One last probe before the end, when the regular one would come too late.
        final = deadline - min(0.5, self.request_timeout)
        return final if final > last.ended + min(pause / 2, 0.5) else None

    def obeyed(self, last: Observation, deadline: float, least: float) -> float:
        """Returns the seconds after `last` for which its `Retry-After` is obeyed.

        429 limits the rate of requests, so it is obeyed in full. Any other status only guesses when the service will be
        ready: it is obeyed for a few intervals, and never so long that the target could not pass any more, which takes
        `least` seconds.
        """
        if not last.retry_after:
            return 0.0
        if last.label == "429":
            return last.retry_after
        # The answers take time too.
        needed = 1.2 * least + self.request_timeout / 2
        return max(0.0, min(last.retry_after, OBEYED * self.interval, deadline - needed - last.ended))

    def pause(self, elapsed: float, *, stable: bool, hurried: bool, passed: bool = False) -> float:
        """Returns the seconds between the starts of two probes, without jitter."""
        if passed:
            return max(self.interval, self.targets / PER_SECOND)
        if self.steady:
            base = self.interval
        elif hurried:
            base = HURRIED
        elif stable:
            base = max(SHORTEST, self.stable_for / SAMPLES)
        else:
            # After the first seconds the pause grows with the time waited: never more than 2.5 % of it is lost.
            base = SHORTEST * max(1.0, elapsed / YOUNG)
        return min(self.interval, max(base, self.targets / PER_SECOND))


def retry_after(value: str, now: Callable[[], float], date: str = "") -> float | None:
    """Returns the seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3: seconds or a date).

    A date counts from the answer's own `date`, since the server's clock may be wrong; without one, from `now`, which is the
    wall clock's seconds since 1970. `None` for garbage.
    """
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    until, since = _moment(value), _moment(date)
    return None if until is None else max(0.0, until - (now() if since is None else since))


def _moment(text: str) -> float | None:
    """Returns an HTTP date as seconds since 1970; `None` for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9 ,:+-]{20,40}", text.strip()):
        return None

    parsed = email.utils.parsedate_tz(text)
    if parsed is None:
        return None
    try:
        return float(email.utils.mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None
