"""Defines the three verdicts of an action, and the exit code of each."""

from __future__ import annotations

from enum import Enum


class Verdict(str, Enum):
    """`fail` is proven by an answer of the thing judged; `inconclusive` means that it could not be judged.

    Only `fail` may trigger a rollback.
    """

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    def __str__(self) -> str:
        return self.value

    @property
    def exit_code(self) -> int:
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}[self]
