"""Asking again while an engine does not answer: it may be restarting, and what it was told goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

T = TypeVar("T")

PAUSE = 0.5


def answered(call: Callable[[], T], deadline: Deadline, runtime: Runtime) -> T:
    """The result of a call that changes nothing; `EngineUnreachable` is raised only when the deadline is near."""
    told = False
    while True:
        try:
            return call()
        except EngineUnreachable as error:  # noqa: PERF203 - one pass a half second
            if deadline.remaining <= PAUSE:
                raise
            if not told:
                runtime.log(f"{error.what} Asking again.")
                told = True
            runtime.sleep(PAUSE)
