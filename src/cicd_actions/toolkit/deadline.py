"""One monotonic deadline for a whole action; every call inside takes its timeout from it."""

from __future__ import annotations

import time
from collections.abc import Callable

from cicd_actions.toolkit.errors import Failed

Clock = Callable[[], float]
"""Seconds on a clock that never runs backwards, such as `time.monotonic`."""


class Deadline:
    """`seconds` from now on `clock`."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return self._clock() - self._started

    @property
    def remaining(self) -> float:
        """Seconds that are left; never negative."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        return self.elapsed >= self.seconds

    def timeout(self, limit: float) -> float:
        """Seconds one call may take: `limit`, or less where the deadline is nearer."""
        return min(limit, self.remaining)

    def check(self, what: str) -> None:
        """Raises `Failed` when the deadline passed; `what` names what was being done ("waiting for the api's replicas")."""
        if self.expired:
            raise Failed(
                f"The deadline passed: {what} was not finished after {self.seconds:g} s.",
                fix="If it is only slow, raise the input `timeout`.",
            )
