"""Does work in a thread beside the caller: its result, its error, or that it is late."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Begins `work` in a daemon thread at once. A cancelled action does not wait for it, as it would for a pool's.

    Raises `BlockingIOError` where the machine has no further thread to give: a moment later it may have one.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise BlockingIOError(errno.EAGAIN, f"{error}") from None

    def _do(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def wait(self, seconds: float | None = None) -> bool:
        """Returns whether the work ended, after at most `seconds`."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, seconds: float | None = None) -> T:
        """Returns what the work returned. Raises what it raised, and `TimeoutError` when it takes longer than `seconds`."""
        if not self.wait(seconds):
            raise TimeoutError(f"it did not end within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return self._results[0]


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns what `call` returns. Raises what it raises, and `TimeoutError` when it takes longer than `seconds`.

    For libraries whose own time limit is one of each wait: a server that sends a byte now and then holds them forever.
    A call that is late is left alone in its thread, which ends with the process at the latest.
    """
    return Background(call).result(max(seconds, 0))
