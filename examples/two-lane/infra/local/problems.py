"""What can go wrong, and the exit code of each."""

from __future__ import annotations

import signal


class EngineError(Exception):
    """Something failed; the message says what, and what to do."""

    exit_code = 1


class UnusableInput(EngineError):
    """An argument or a variable cannot be used."""

    exit_code = 2


class Stopped(BaseException):
    """A signal asks the program to end. Not an Exception: nothing but clean-up may catch it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.signal = number
