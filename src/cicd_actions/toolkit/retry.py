"""Retries that name what they retry, are bounded in attempts and in time, and obey the delay a server asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

T = TypeVar("T")

Again = Callable[[BaseException], "float | bool"]
"""Says of an error whether to try again: `True`, `False`, or the seconds that the server asked to wait."""

LONGEST_PAUSE = 20.0


@dataclass(frozen=True)
class Retry:
    """At most `attempts` calls before `deadline`. `what` is said in the log ("list the deployments")."""

    what: str
    again: Again
    deadline: Deadline
    runtime: Runtime
    attempts: int = 5

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of `call`, or its last error as it was raised.

        Pauses double from half a second with jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog).
        When the server asks for a longer wait than the deadline leaves, the error is raised at once.
        """
        import tenacity  # noqa: PLC0415 - an import is start-up time, and most runs retry nothing

        backoff = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE)

        def asked(state: tenacity.RetryCallState) -> float | bool:
            error = state.outcome.exception() if state.outcome else None
            return self.again(error) if error is not None else False

        def pause(state: tenacity.RetryCallState) -> float:
            answer = asked(state)
            return float(answer) if not isinstance(answer, bool) else float(backoff(state))

        def stop(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number >= self.attempts or pause(state) >= self.deadline.remaining

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            seconds = state.next_action.sleep if state.next_action else 0.0
            self.runtime.log(f"Could not {self.what}: {error}. Trying again in {seconds:.1f} s.")

        retrying = tenacity.Retrying(
            retry=lambda state: asked(state) is not False,
            wait=pause,
            stop=stop,
            before_sleep=tell,
            sleep=self.runtime.sleep,
            reraise=True,
        )
        return retrying(call)
