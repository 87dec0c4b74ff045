"""What an engine does that lets two releases of a service stand beside each other, on top of `protocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cicd_actions.engines.protocol import RolledOut, Running, Target
from cicd_actions.toolkit.deadline import Deadline

WITHOUT_PROXY = {"swarm": "canary", "docker": "blue-green"}
"""The strategy that a Docker engine carries out where no proxy divides the traffic: by replicas, or by the service's name."""


@dataclass(frozen=True)
class Answers:
    """How many requests a release answered, and how many of them with a server's error (5xx, or a broken answer)."""

    requests: int
    errors: int


@dataclass(frozen=True)
class Stage:
    """A new release of one service that stands beside the release before it, found again by its labels.

    - `before`: the image that it stands beside, enough to deploy it again, and `before_sha`, its commit.
    - `percent`: its share of the traffic, from 0 to 100, as the engine reports it; never what was meant.
    - `run`: the run that prepared it, for people. `until`: when it expires, in seconds since 1970.
    - `addresses`: the hosts under which this machine reaches the replicas of the new release; empty where it cannot.
    """

    target: Target
    before: str
    before_sha: str
    percent: float
    run: str
    until: float
    addresses: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        return self.target.service


@runtime_checkable
class Staged(Protocol):
    """An engine that lets a new release stand beside the one before it. All of it is bounded by the deadline of the call.

    The calls are made in this order: `prepare`, `switch`, `finish`; or `abandon` at any point. Whatever a killed run left is
    found by `staged`. Where somebody removed the stage meanwhile, all but `abandon` raise `ChangedMeanwhile`.
    """

    strategies: tuple[str, ...]
    """The strategies that it carries out: `blue-green`, `canary`, or both."""

    without_bake: str
    """Why the old release cannot stand while the new one has all of the traffic, so that `finish` follows without `switch`.

    Empty where it can.
    """

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        """Starts the new release beside the old one, healthy and without traffic.

        Raises `Refused` where a second one cannot stand beside the first, or where a stage is there already, and
        `RollOutFailed` when the new release did not become healthy: nothing of it is left then.
        """
        ...

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        """Returns the stages that stand, by service. Changes nothing."""
        ...

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        """Gives the new release all of the traffic. The old release still stands."""
        ...

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        """Brings the service itself to the new image, gives it the traffic back, and removes the stage.

        A call that follows an interrupted one goes on where that ended.
        """
        ...

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        """Gives the old release all of the traffic, and removes the stage; from any phase, and any number of times.

        Without `wait` it waits only shortly for open requests: a cancelled step has seconds.
        """
        ...


@runtime_checkable
class Weighted(Staged, Protocol):
    """A staged engine that gives the new release a part of the traffic."""

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        """Returns the smallest share above 0 that it can give, in percent."""
        ...

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        """Gives the new release this percentage of the traffic, and returns the stage with the share that was read back."""
        ...


@runtime_checkable
class Counting(Protocol):
    """What counts the answers of both releases."""

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        """Returns what the new and the old release answered, by what counted (a proxy), since that began to count."""
        ...
