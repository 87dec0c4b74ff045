"""What ended a release's replicas, and when that proves that the release does not stay up.

An engine that restarts, a node that is drained and a person with `docker kill` end replicas too. That proves nothing against
the release, so each end has a cause, as far as the engine tells.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, runtime_checkable

from cicd_actions.toolkit.deadline import Deadline

APART = 2.0
"""Seconds within which ends are one moment: an engine that restarts ends all its replicas at once."""

_STOPS = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)}
"""Exit codes of a process that something else stopped: https://tldp.org/LDP/abs/html/exitcodes.html"""

_LOST = 255
"""The exit code that Docker notes where it does not know the real one; a program may exit with it too."""


class Cause(str, Enum):
    """What ended a replica."""

    MEMORY = "memory"
    """The kernel killed it, because it took more than its limit."""

    OWN = "own"
    """It failed: an exit code that no engine's signal gives, a program that cannot be started, failing health checks."""

    UNKNOWN = "unknown"
    """It ended by itself, or something stopped it: the engine does not tell."""

    OUTSIDE = "outside"
    """The engine could not start it, or something stopped it."""


@dataclass(frozen=True)
class End:
    """One replica that ended.

    - `at`: seconds since 1970; where the engine remembers only the last end of a replica, the earliest time that is possible.
    - `replica`: what stays the same when it is replaced (Swarm: the slot; Docker: the container; Kubernetes: the pod).
    - `node`: the machine, empty where there is one. `why`: the engine's word ("exit code 1").
    """

    at: float
    cause: Cause
    replica: str = ""
    node: str = ""
    why: str = ""


@dataclass(frozen=True)
class Uptime:
    """How the replicas of a service's image did since they first were up, as far as the engine remembers.

    `failing` counts the replicas that were healthy and are not any more, but did not end.
    """

    ended: tuple[End, ...] = ()
    failing: int = 0


@runtime_checkable
class Remembers(Protocol):
    """An engine that tells what became of replicas."""

    def uptime(self, service: str, deadline: Deadline) -> Uptime:
        """Returns how the replicas of what the service runs now did. Changes nothing.

        Replicas that ended before the first one of their place was healthy are not counted: they were starting. Raises
        `ServiceMissing`, `EngineUnreachable`.
        """
        ...


def cause_of(exit_code: int | None, *, out_of_memory: bool | None, unhealthy: bool | None) -> Cause:
    """Returns what ended a replica that ran. `None` means that the engine cannot tell."""
    if out_of_memory:
        return Cause.MEMORY
    if unhealthy:
        return Cause.OWN
    if exit_code is None:
        return Cause.OUTSIDE
    if exit_code in {0, _LOST} or (exit_code in _STOPS and out_of_memory is None):
        return Cause.UNKNOWN
    return Cause.OUTSIDE if exit_code in _STOPS else Cause.OWN


def proven(ends: Collection[End]) -> bool:
    """Returns whether the ends of one service's replicas prove that its release does not stay up.

    Want of memory proves it at once. Otherwise several moments do: one may be a dependency, or an engine that restarts. Where
    the cause is not known, they have to be on one node, because several nodes may be restarted in turn.
    """
    if any(end.cause is Cause.MEMORY for end in ends):
        return True
    unknown = [end for end in ends if end.cause is Cause.UNKNOWN]
    return _several([end for end in ends if end.cause is Cause.OWN]) or any(
        _several([end for end in unknown if end.node == node]) for node in {end.node for end in unknown}
    )


def _several(ends: Collection[End]) -> bool:
    """Whether they are several moments. One replica cannot end twice at one moment."""
    return moments(end.at for end in ends) > 1 or max(Counter(end.replica for end in ends).values(), default=0) > 1


def moments(times: Iterable[float]) -> int:
    """Returns at how many moments something happened; a moment lasts for `APART`."""
    count, first = 0, float("-inf")
    for at in sorted(times):
        if at - first > APART:
            count, first = count + 1, at
    return count


def moment(text: str) -> float:
    """Returns the seconds since 1970 of a time in UTC as an engine writes it, with nanoseconds or without."""
    return datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()
