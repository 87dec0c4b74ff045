"""Limits time: for tasks, with pauses, and for code that cannot be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class TimeIsUp(Exception):
    """Raised when the limit is reached."""


class TimeLimit:
    """Ends the block after `seconds`: raises `TimeIsUp` there. (`asyncio.timeout` exists from 3.11 only.)"""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> TimeLimit:
        self._task = asyncio.current_task()
        self._handle = asyncio.get_running_loop().call_later(max(0.0, self._seconds), self._expire)
        return self

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock: a target does not answer for time that the action itself makes it wait."""
        loop = asyncio.get_running_loop()
        assert self._handle is not None  # noqa: S101 - only used inside the block
        left = self._handle.when() - loop.time()
        self._handle.cancel()
        try:
            yield
        finally:
            self._handle = loop.call_later(left, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._expired and kind is asyncio.CancelledError:
            uncancel = getattr(self._task, "uncancel", None)
            if uncancel is None or uncancel() == 0:  # above zero: the gate cancelled the task as well
                raise TimeIsUp from None


class TooSlow(Exception):
    """Raised when the alarm rings."""


@contextlib.contextmanager
def alarm(working: float, waiting: float) -> Iterator[None]:
    """Interrupts plain Python inside with `TooSlow`: a regular expression that backtracks, a document of a million keys.

    The block may use `working` seconds of the processor and take `waiting` seconds altogether, so that a busy machine does
    not make an honest answer look hostile. `re` looks for signals while it matches, which is the only way to interrupt it
    without another process. Without such timers (on Windows, or off the main thread) there is no bound.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(_number: int, _frame: FrameType | None) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise TooSlow

    timers = ((signal.SIGVTALRM, signal.ITIMER_VIRTUAL, working), (signal.SIGALRM, signal.ITIMER_REAL, waiting))
    before = [(number, signal.signal(number, ring)) for number, _, _ in timers]
    # It may ring before the block begins, and once the block is left: the timers are still reset.
    try:
        try:
            for _, timer, seconds in timers:
                signal.setitimer(timer, max(seconds, 0.001))
            yield
        finally:
            armed = False
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        for number, handler in before:
            signal.signal(number, handler)
