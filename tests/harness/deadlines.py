"""Deadlines that pass when something has happened, so that no test waits for time alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from cicd_actions.toolkit.deadline import Deadline


def passing(reached: Callable[[], bool], *, left: float = 0.0, seconds: float = 60.0) -> Deadline:
    """Returns a deadline of `seconds`. Once `reached` holds, only `left` seconds of it remain."""
    began = time.monotonic()
    ahead = 0.0

    def clock() -> float:
        nonlocal ahead
        now = time.monotonic()
        if not ahead and reached():
            ahead = max(began + seconds - left - now, 0.0)
        return now + ahead

    return Deadline(seconds, clock)
