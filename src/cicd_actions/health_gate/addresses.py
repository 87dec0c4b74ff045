"""The addresses behind a target's name: which are current, and which one the next probe connects to.

Each address may be a replica, so each has to answer. Name servers rotate, shuffle or cut their answers: an address is
therefore known by what it is, never by its place in an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cicd_actions.health_gate.observation import Observation

Address = tuple[int, Any]
"""Address family, and what `connect` takes."""

MISTAKEN = 0.001
"""Highest chance that an address which the name server still gives is taken for gone."""

ABSENCES = 60
"""Look-ups in a row without an address after which it is gone, however many addresses are known."""


def absences(known: int, present: int) -> int:
    """Returns after how many look-ups in a row without it an address is gone.

    A name server may draw `present` of its `known` addresses at random for each answer: a draw leaves one out with a
    chance of `1 - present / known`.
    """
    if present >= known:
        return 1
    return min(math.ceil(math.log(MISTAKEN) / math.log(1 - present / known)), ABSENCES)


def shown(address: Address) -> str:
    """Returns the address for people: `10.0.0.7`, `::1`, `fe80::1%2`, or the path of a Unix socket."""
    where = address[1]
    if isinstance(where, str):
        return where
    scope = where[3] if len(where) > 3 else 0
    return f"{where[0]}%{scope}" if scope and "%" not in where[0] else str(where[0])


class _Known:
    """One address. `turn` is when a probe connected to it last, 0 for never; `absent` counts look-ups without it in a row."""

    __slots__ = ("absent", "family", "turn")

    def __init__(self, family: int) -> None:
        self.family, self.turn, self.absent = family, 0, 0


@dataclass(eq=False, repr=False)
class Addresses:
    """The addresses of one target, over all of its probes."""

    _known: dict[str, _Known] = field(default_factory=dict)
    _reached: set[int] = field(default_factory=set)
    _turns: int = 0

    def choose(self, found: Sequence[Address]) -> list[Address]:
        """Takes in what a look-up found. Returns the address to connect to, and perhaps one to fall back on.

        The first is the address that waited longest for a probe; new ones come first. While its family was never
        reached, an address of another family may answer instead of it: the machine may have no IPv6, or the service
        may listen on one family only. An address of the same family never stands in: it may be another replica.
        """
        present = {shown(address): address for address in found}
        for name, address in present.items():
            self._known.setdefault(name, _Known(address[0]))
        gone = absences(len(self._known), len(present))
        for name, known in list(self._known.items()):
            known.absent = 0 if name in present else known.absent + 1
            # An address that was never probed has proven nothing, and is forgotten at once.
            if known.absent >= gone or (known.absent and not known.turn):
                del self._known[name]
        chosen = [self._longest_unprobed(present)]
        if self._known[chosen[0]].family not in self._reached:
            family = self._known[chosen[0]].family
            others = [name for name in present if self._known[name].family != family]
            chosen += [self._longest_unprobed(others)] if others else []
        self._turns += 1
        for name in chosen:
            self._known[name].turn = self._turns
        return [present[name] for name in chosen]

    def _longest_unprobed(self, names: Sequence[str] | dict[str, Address]) -> str:
        return min(names, key=lambda name: self._known[name].turn)

    def connected(self, address: Address) -> None:
        """Remembers that the address accepted a connection."""
        self._reached.add(address[0])

    @property
    def current(self) -> tuple[str, ...]:
        """Returns the addresses that have to answer right: all known ones of the families that were reached, or else all."""
        return tuple(name for name, known in self._known.items() if not self._reached or known.family in self._reached)

    @property
    def unreached(self) -> tuple[str, ...]:
        """Returns the known addresses of a family that accepted no connection, while another family did."""
        return tuple(name for name, known in self._known.items() if self._reached and known.family not in self._reached)


@dataclass(eq=False, repr=False)
class Route:
    """Where one probe went. `addresses` is `None` where any address will do, as for a metric's server."""

    addresses: Addresses | None = None
    tried: tuple[str, ...] = ()
    """The addresses of the first hop, in the order in which they were tried."""
    peer: str = ""
    """The address that accepted the connection."""
    _host: str = ""
    _address: Address | None = None

    def pinned(self, host: str, port: int) -> list[Address]:
        """Returns the address of the first hop for another hop to the same host, whose name is not resolved again."""
        if host != self._host or self._address is None or not isinstance(self._address[1], tuple):
            return []
        family, where = self._address
        return [(family, (where[0], port, *where[2:]))]

    def candidates(self, host: str, found: Sequence[Address]) -> list[Address]:
        """Returns the addresses to connect to for a hop to a host that no hop went to before."""
        if self._host:
            return list(found)
        self._host = host
        chosen = self.addresses.choose(found) if self.addresses else list(found)
        self.tried = tuple(map(shown, chosen))
        return chosen

    def connected(self, address: Address) -> None:
        """Notes the address that accepted the connection of the first hop."""
        if self._address is not None:
            return
        self._address = address
        self.peer = shown(address)
        if self.addresses:
            self.addresses.connected(address)

    def seen(self, observation: Observation) -> Observation:
        """Returns the observation of this probe with the addresses that it speaks of."""
        if self.addresses is None or not self._host:
            return observation
        return replace(
            observation,
            peers=(self.peer,) if self.peer else self.tried,
            addresses=self.addresses.current,
            unreached=self.addresses.unreached,
        )
