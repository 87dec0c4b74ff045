"""Waits for the signals that end a run, and for its time limit, in a separate thread.

The signals are blocked in the main thread and taken by `sigwait`: a driver in C may keep that thread for hours, and as
process 1 of a container a signal that is neither blocked nor handled is dropped by the kernel.
"""

from __future__ import annotations

import signal
import threading
from typing import Callable

ENDING = 4.0
"""Seconds from a cancellation's signal to the last word, also where the database does not answer: who sent it kills soon
after (`job.GRACE`)."""

ENDING_AT_THE_LIMIT = 20.0
"""The same at the time limit, after which nothing kills the program: a database that is slow is worth waiting for."""

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}


class Guard:
    """Calls `on_end(signal's number)` once, from its own thread. SIGALRM stands for the time limit."""

    def __init__(self, on_end: Callable[[int], None]) -> None:
        self._on_end = on_end
        self._limited = False
        # Threads inherit the mask, so this comes before any other thread is started.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        threading.Thread(target=self._wait, daemon=True).start()

    def limit(self, seconds: float) -> None:
        """The time counts from the first call on."""
        if not self._limited and seconds > 0:
            self._limited = True
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _wait(self) -> None:
        self._on_end(int(signal.sigwait(_SIGNALS)))
