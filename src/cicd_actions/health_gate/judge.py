"""Turns the observations of one target into a verdict. Pure: no clock, no network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import HURRIED
from cicd_actions.toolkit.verdict import Verdict

REACHABLE_BEFORE = frozenset({"connect-timeout", "no-route"})
"""Kinds that say nothing about a target that was never reached, and are its fault once it was."""


class State(Enum):
    """Where a target stands."""

    WAITING = "waiting"
    HOLDING = "holding"
    PASSED = "passed"
    """Until a wrong answer revokes it."""
    FAILED = "failed"
    """At once: waiting cannot cure what was seen."""


@dataclass(frozen=True, eq=False, repr=False)
class Rules:
    """What a target must show. Times in seconds; with `wrong_version_for` of `None` the gate waits for another version."""

    consecutive_successes: int = 1
    stable_for: float = 0.0
    flake_budget: int = 0
    wrong_version_for: float | None = None
    replicas: int = 1
    """Replicas behind the target's addresses: they decide on how many connections the target has to answer right."""


MISSED = 0.001
"""Highest chance that a pass has missed one certain replica."""


def connections(replicas: int) -> int:
    """Returns how many random connections miss a certain one of the replicas with a chance of at most `MISSED`."""
    return 1 if replicas == 1 else math.ceil(math.log(MISSED) / math.log(1 - 1 / replicas))


def share(replicas: int, addresses: Sequence[str]) -> int:
    """Returns how many connections each of the addresses needs, however they divide the replicas among them.

    At worst, one address leads to all replicas but one for each of the others. A name often has an IPv4 and an IPv6 address
    for the same machines, so only the family with more addresses counts.
    """
    families = Counter(":" in address for address in addresses)
    return connections(max(1, replicas + 1 - max(families.values(), default=1)))


@dataclass(eq=False, repr=False)
class Judge:
    """Takes the observations of one target in their order.

    A streak is a run of right answers. A wrong answer ends it; a transport error ends it unless `flake_budget` forgives
    it; what could not be judged neither counts nor ends it. The stable window opens with the right answer that makes
    the streak long enough. The target passes with a right answer at or after the window's end, once each of its addresses
    has answered right within the streak, on as many connections as its replicas need.

    A wrong answer revokes the pass, and the target has to pass again. After a forgiven error, or when an address joins or
    leaves, the target is held until its addresses have answered right again.
    """

    rules: Rules
    state: State = State.WAITING
    reached: bool = False
    probes: int = 0
    wrong: int = 0
    """Observations that were judged wrong, forgiven ones included."""
    unanswered: int = 0
    """Observations that the deadline cut after the connection was accepted."""
    streak: int = 0
    forgiven: int = 0
    broken_streaks: int = 0
    """How often a run of right answers was ended."""
    first_right: float | None = None
    """When the current streak began."""
    window_from: float | None = None
    passed_at: float | None = None
    """When the target first passed within the current streak."""
    revoked: int = 0
    """How often a wrong answer revoked a pass."""
    revoked_pass: float | None = None
    """When the target had passed before it was last revoked."""
    reason: str = ""
    addresses: tuple[str, ...] = ()
    """The addresses that have to answer right, as the last probe that knew any left them."""
    unreached: tuple[str, ...] = ()
    """The addresses that need not answer: their family accepts no connection, and another one does."""
    confirmed: set[str] = field(default_factory=set)
    """The addresses that answered right within the current streak, and not wrong since."""
    met: Counter[str] = field(default_factory=Counter)
    """How often each address answered right within the current streak."""
    _wrong_version: tuple[str, float] | None = None

    def see(self, seen: Observation) -> Observation:
        """Takes one observation in and returns it as it was judged. After failed, the state does not change any more."""
        if seen.reached:
            self.reached = True
        if seen.outcome is Outcome.UNJUDGED and seen.kind in REACHABLE_BEFORE and self.reached:
            seen = replace(seen, outcome=Outcome.BROKEN)
        self.probes += 1
        self.wrong += seen.judged_wrong
        self.unanswered += seen.outcome is Outcome.UNFINISHED and seen.kind == "timeout" and seen.reached
        if self.state is State.FAILED:
            return seen
        if seen.addresses:
            self.addresses, self.unreached = seen.addresses, seen.unreached
        if seen.right:
            self._right(seen)
        elif seen.judged_wrong:
            self._wrong(seen)
        return seen

    def _right(self, seen: Observation) -> None:
        self._wrong_version = None
        self.streak += 1
        self.confirmed.update(seen.peers)
        self.met.update(seen.peers)
        if self.first_right is None:
            self.first_right = seen.ended
        if self.window_from is None and self.streak >= self.rules.consecutive_successes:
            self.window_from = seen.ended
        if self.window_from is None:
            return
        held = seen.ended - self.window_from >= self.rules.stable_for
        self.state = State.PASSED if held and not self.unconfirmed and not self.short else State.HOLDING
        if self.passed and self.passed_at is None:
            self.passed_at = seen.ended

    def _wrong(self, seen: Observation) -> None:
        forgivable = seen.outcome is Outcome.BROKEN and not seen.permanent
        if forgivable and self.streak and self.forgiven < self.rules.flake_budget:
            self.forgiven += 1
            self.confirmed.difference_update(seen.peers)
            if self.passed:
                self.state = State.HOLDING
        else:
            self._start_over()
        if seen.permanent:
            self.state = State.FAILED
            self.reason = "waiting does not fix this"
        else:
            self._watch_version(seen)

    def _start_over(self) -> None:
        self.broken_streaks += 1 if self.streak else 0
        if self.passed_at is not None:
            self.revoked += 1
            self.revoked_pass = self.passed_at
        self.streak = self.forgiven = 0
        self.confirmed.clear()
        self.met.clear()
        self.first_right = self.window_from = self.passed_at = None
        self.state = State.WAITING

    def _watch_version(self, seen: Observation) -> None:
        if seen.kind != "version" or seen.version is None:
            # A restart in between says nothing about the version; a different answer does.
            if seen.outcome is Outcome.WRONG:
                self._wrong_version = None
            return
        if self._wrong_version is None or self._wrong_version[0] != seen.version:
            self._wrong_version = (seen.version, seen.ended)
        limit = self.rules.wrong_version_for
        if limit is not None and seen.ended - self._wrong_version[1] >= limit:
            self.state = State.FAILED
            self.reason = f"the version stayed the same wrong one for {limit:g} s (wrong-version-for)"

    @property
    def passed(self) -> bool:
        return self.state is State.PASSED

    @property
    def unconfirmed(self) -> list[str]:
        """Returns the addresses that still have to answer right."""
        return [address for address in self.addresses if address not in self.confirmed]

    @property
    def share(self) -> int:
        """Returns how many connections each address needs."""
        return share(self.rules.replicas, self.addresses)

    @property
    def connections(self) -> int:
        """Returns how many right answers in a row the pass needs at least.

        That is also enough where each address leads to all replicas.
        """
        return max(connections(self.rules.replicas), self.share * len(self.addresses))

    @property
    def short(self) -> bool:
        """Returns whether the answers are right and on too few connections for the replicas."""
        needed = self.share
        few = any(0 < self.met[address] < needed for address in self.addresses)
        return 0 < self.streak < connections(self.rules.replicas) or few

    @property
    def hurried(self) -> bool:
        """Returns whether the answers are right and only more replicas have to show: a long pause would gain nothing."""
        return self.short or 0 < self.streak < len(self.addresses)

    @property
    def opened(self) -> bool:
        """Returns whether the streak is long enough: the target passed for the first time."""
        return self.window_from is not None

    def least(self, interval: float) -> float:
        """Returns the seconds that a pass takes at least, when the pauses of a streak are `interval`."""
        rules = self.rules
        return rules.stable_for + (self.connections - 1) * HURRIED + (rules.consecutive_successes - 1) * interval

    @property
    def holds_until(self) -> float | None:
        """Returns when the open stable window is over."""
        return None if self.window_from is None else self.window_from + self.rules.stable_for

    def verdict(self) -> Verdict:
        """Returns the verdict, if nothing more is seen.

        Fail needs proof: an answer that was wrong, or a connection that the target refused, broke or never answered.
        Right answers that only did not last long enough prove nothing.
        """
        if self.state is State.PASSED:
            return Verdict.PASS
        if self.state is State.FAILED:
            return Verdict.FAIL
        if self.streak and not self.broken_streaks:
            return Verdict.INCONCLUSIVE
        if self.wrong:
            return Verdict.FAIL
        # Connected but never answered before the deadline: a failure. Beside other answers, a cut probe proves nothing.
        if self.probes and self.unanswered == self.probes:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE
