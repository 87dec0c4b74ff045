"""Retries calls: bounded in attempts and in time, with the delay that a server asks for."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

T = TypeVar("T")

Again = Callable[[BaseException], "float | bool"]
"""Returns whether to retry after an error: `True`, `False`, or the seconds that the server asked to wait."""

LONGEST_PAUSE = 20.0


def retry_after(text: str) -> float | bool:
    """Returns the seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3: a number, or a date).

    `True`, to retry in one's own time, for a header that is missing or cannot be read.
    """
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return True
    return max(0.0, (when - dt.datetime.now(when.tzinfo)).total_seconds())


@dataclass(frozen=True)
class Retry:
    """Makes at most `attempts` calls before `deadline`. `what` completes "Could not …" in the log ("list the deployments")."""

    what: str
    again: Again
    deadline: Deadline
    runtime: Runtime
    attempts: int = 5

    def __call__(self, call: Callable[[], T]) -> T:
        """Returns the result of `call`, or raises its last error unchanged.

        Pauses double from half a second with jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog).
        A pause that would outlast the deadline is not begun: the error is raised at once.
        """
        backoff = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE)

        def asked(state: tenacity.RetryCallState) -> float | bool:
            error = state.outcome.exception() if state.outcome else None
            return self.again(error) if error is not None else False

        def pause(state: tenacity.RetryCallState) -> float:
            answer = asked(state)
            return float(answer) if not isinstance(answer, bool) else float(backoff(state))

        def stop(state: tenacity.RetryCallState) -> bool:
            # tenacity has drawn the pause before it asks: drawing again here would judge another one than it sleeps.
            return state.attempt_number >= self.attempts or state.upcoming_sleep >= self.deadline.remaining

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self.runtime.log(f"Could not {self.what}: {error}. Trying again in {state.upcoming_sleep:.1f} s.")

        retrying = tenacity.Retrying(
            retry=lambda state: asked(state) is not False,
            wait=pause,
            stop=stop,
            before_sleep=tell,
            sleep=self.runtime.sleep,
            reraise=True,
        )
        return retrying(call)
