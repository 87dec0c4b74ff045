"""Retries while an engine does not answer: it may be restarting, and what it was told goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

T = TypeVar("T")

PAUSE = 0.5


def answered(call: Callable[[], T], deadline: Deadline, runtime: Runtime) -> T:
    """Returns the result of a call that changes nothing. Raises `EngineUnreachable` only when the deadline is near."""
    earlier: EngineUnreachable | None = None
    while True:
        try:
            return call()
        except EngineUnreachable as error:
            if deadline.remaining <= PAUSE:
                # The last call had too little time for an answer: an earlier one tells more.
                raise earlier if earlier is not None and "timed out" in error.what else error from None
            if earlier is None:
                runtime.log(f"{error.what} Trying again.")
            if earlier is None or "timed out" not in error.what:
                earlier = error
            runtime.sleep(PAUSE)
