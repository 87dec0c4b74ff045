"""Describes what one probe saw."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """Whether a probe proves anything, and what."""

    RIGHT = "right"
    WRONG = "wrong"
    """An answer came, and it is not the one that was expected."""
    BROKEN = "broken"
    """No whole answer came, and the target is to blame: refused, reset, accepted and never answered, garbage."""
    UNJUDGED = "unjudged"
    """Nothing was learned about the target: its name does not resolve, the network has no way to it, a proxy refuses."""
    UNFINISHED = "unfinished"
    """The gate's deadline came while the answer was on its way."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Observation:
    """One probe. Times are seconds since the gate started.

    `kind` is a word for programs (`status`, `refused`, `unresolved`, …), `label` a few characters for a timeline (`503`,
    `refused`), `came` a sentence for people; `excerpt` is the beginning of the body. `also` are further mismatches of the
    same answer, each what was expected and what came; `location` is where a redirect leads, `elsewhere` where
    else the expected version stands (`header:X-Build`). `retry_after` is in seconds.
    `reached` says that a connection to the target came about; `permanent` that waiting cannot cure it. `peers` are the
    addresses that it speaks of: the one that answered, or those that accepted no connection. `addresses` are all that
    have to answer right before the target passes, `unreached` those of a family that accepted no connection yet. All
    three are empty where addresses mean nothing (a proxy, a command).
    """

    started: float
    ended: float
    outcome: Outcome
    kind: str
    label: str
    expected: str = ""
    came: str = ""
    excerpt: str = ""
    also: tuple[tuple[str, str], ...] = ()
    location: str = ""
    elsewhere: str = ""
    version: str | None = None
    retry_after: float | None = None
    reached: bool = True
    permanent: bool = False
    peers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.outcome is Outcome.RIGHT

    @property
    def judged_wrong(self) -> bool:
        """Returns whether it proves that the target was not healthy at that time."""
        return self.outcome in {Outcome.WRONG, Outcome.BROKEN}


class Trouble(Exception):
    """Why a probe has no whole answer. Raised by everything below a prober, which makes an `Observation` of it."""

    def __init__(self, kind: str, label: str, came: str, *, outcome: Outcome = Outcome.BROKEN, permanent: bool = False) -> None:
        super().__init__(came)
        self.kind = kind
        self.label = label
        self.came = came
        self.outcome = outcome
        self.permanent = permanent


def cut_off(trouble: Trouble) -> Trouble:
    """Returns the trouble of a probe that the gate's deadline ended: how much time it had says nothing about the target."""
    came = f"{trouble.came}, when the deadline passed"
    return Trouble(trouble.kind, "cut off", came, outcome=Outcome.UNFINISHED)


def undecided_at_the_deadline() -> Trouble:
    """Returns the trouble of an answer that came too late to be judged. An answer before it says more."""
    came = "the deadline passed before the gate could decide whether the answer is right"
    return Trouble("undecided", "undecided", came, outcome=Outcome.UNFINISHED)


def unjudged(kind: str, label: str, came: str) -> Trouble:
    """Returns trouble that says nothing about the target."""
    return Trouble(kind, label, came, outcome=Outcome.UNJUDGED)
