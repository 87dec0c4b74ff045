"""One tree of errors, one exit code per class; only `cicd_actions.__main__` catches them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

from cicd_actions.toolkit.verdict import Verdict

if TYPE_CHECKING:  # reports are made at the end, errors are known from the start
    from cicd_actions.toolkit.report import Report


class ActionError(Exception):
    """An end that the action explains: what happened, the likely cause, and what to write or run instead.

    `fix` may hold several lines; lines of YAML or shell in it are indented by four spaces. `see` is a URL that the action made
    itself: the summary links to it.
    """

    exit_code: ClassVar[int] = 1
    verdict: Verdict = Verdict.FAIL
    """That of the class, unless the action knows that nothing was judged: a refusal exits with 1, and proves nothing."""

    title: ClassVar[str] = "Failed"

    def __init__(self, what: str, *, cause: str = "", fix: str = "", see: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.fix = fix
        self.see = see

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.cause, self.see, self.fix) if part)


class Failed(ActionError):
    """Proven wrong, or refused before anything moved."""


class UnusableInput(ActionError):
    """Raised when an input, or a file that it names, is unusable. Nothing was judged, so nothing may be rolled back."""

    exit_code = 2
    verdict = Verdict.INCONCLUSIVE
    title = "Unusable input"


class Inconclusive(ActionError):
    """Nothing could be judged: an API is down, a name does not resolve, a permission is missing."""

    exit_code = 3
    verdict = Verdict.INCONCLUSIVE
    title = "Inconclusive"


class Cancelled(BaseException):
    """The run was cancelled by a signal.

    A BaseException, so that no `except Exception` on the way takes it for its own failure. GitHub's runner sends
    SIGINT, SIGTERM 7.5 s later, and kills 2.5 s after that: https://docs.github.com/actions/reference/workflow-cancellation-reference
    """

    report: Report | None = None
    """What stands, where the action knows: set by the action on the way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"cancelled by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        return 128 + self.signum
