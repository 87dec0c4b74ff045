from __future__ import annotations

import io
import random

import pytest

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.retry import Retry, retry_after
from cicd_actions.toolkit.runtime import Runtime


class Clock:
    """Time that only passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Unsteady:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Busy(Exception):
    pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


def retry(clock: Clock, seconds: float = 100, asked: float | bool = True, attempts: int = 5) -> tuple[Retry, io.StringIO]:
    log = io.StringIO()
    runtime = Runtime({}, log, clock=clock, sleep=clock.sleep)
    made = Retry(
        "list the deployments",
        lambda error: asked if isinstance(error, Busy) else False,
        Deadline(seconds, clock),
        runtime,
        attempts,
    )
    return made, log


def test_it_tries_again_and_says_what(clock: Clock) -> None:
    again, log = retry(clock)
    call = Unsteady(Busy("503"), Busy("503"))
    assert again(call) == "done"
    assert call.calls == 3
    assert log.getvalue().count("Could not list the deployments: 503. Trying again in") == 2


def test_other_errors_are_raised_at_once(clock: Clock) -> None:
    call = Unsteady(KeyError("x"))
    with pytest.raises(KeyError):
        retry(clock)[0](call)
    assert call.calls == 1


def test_attempts_are_bounded_and_the_last_error_is_raised_as_it_was(clock: Clock) -> None:
    call = Unsteady(*(Busy(str(number)) for number in range(9)))
    with pytest.raises(Busy, match="2"):
        retry(clock, attempts=3)[0](call)
    assert call.calls == 3


def test_the_servers_delay_is_obeyed(clock: Clock) -> None:
    assert retry(clock, asked=7.5)[0](Unsteady(Busy())) == "done"
    assert clock.pauses == [7.5]


def test_a_delay_beyond_the_deadline_ends_it_without_waiting(clock: Clock) -> None:
    with pytest.raises(Busy):
        retry(clock, seconds=5, asked=60.0)[0](Unsteady(Busy()))
    assert clock.pauses == []


@pytest.mark.parametrize("asked", [True, 2.5])
def test_retry_pauses_never_outlast_the_deadline(asked: float | bool) -> None:
    for seed in range(200):
        random.seed(seed)
        clock = Clock()
        with pytest.raises(Busy):
            retry(clock, seconds=6, asked=asked, attempts=8)[0](Unsteady(*(Busy("503") for _ in range(9))))
        assert clock.now < 6, f"seed {seed}"


def test_a_deadline_gives_each_call_what_is_left(clock: Clock) -> None:
    deadline = Deadline(10, clock)
    assert deadline.timeout(3) == 3
    clock.now = 8
    assert deadline.timeout(3) == 2
    deadline.check("waiting")
    clock.now = 11
    assert (deadline.remaining, deadline.expired) == (0, True)
    with pytest.raises(Failed, match="waiting was not finished after 10 s"):
        deadline.check("waiting")


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "-1", "1.5", "٣", "Thu, 99 Nov 2026 10:00:00 GMT"),
        "Thu, 01 Jan 99999999999 10:00:00 GMT",  # Python's own limits: an `OverflowError`
        "Thu, 01 Jan 2026 10:00:00 +99999999999999999999",
    ],
)
def test_retry_after_that_cannot_be_read_asks_for_no_time(text: str) -> None:
    assert retry_after(text) is True


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7") == 7.0
    assert retry_after("Sat, 28 Nov 1998 10:00:00 GMT") == 0.0
    assert float(retry_after("Sat, 28 Nov 2099 10:00:00 GMT")) > 1e8
