"""Probes over TCP: an address is healthy when it accepts a connection and does not close it at once."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from cicd_actions.health_gate import metadata, wire
from cicd_actions.health_gate.addresses import Addresses, Route
from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, cut_off, unjudged
from cicd_actions.health_gate.resolver import Resolver
from cicd_actions.health_gate.targets import Target
from cicd_actions.health_gate.urls import bracketed

EXPECTED = "a connection"

HELD = 1.0
"""Seconds for which the first connection to an address must stay open, unless a byte comes. Docker and load balancers accept
connections for a service that is not up, and close them when they find out: 2 ms later on one machine, 0.3 s on a busy one."""

HELD_AGAIN = 0.1
"""Seconds for the next connections to the address, until one of them fails."""


@dataclass(eq=False, repr=False)
class TcpProber:
    """Connects to a target's host and port, and closes the connection."""

    target: Target
    place: tuple[str, int]
    resolver: Resolver
    clock: Callable[[], float]
    addresses: Addresses = field(default_factory=Addresses)
    _kept: set[str] = field(default_factory=set)
    """The addresses whose last connection stayed open."""

    async def probe(self, deadline: float) -> Observation:
        """Returns one observation, at the latest at `deadline`."""
        started, route = self.clock(), Route(self.addresses)
        allowed = self.target.request_timeout
        try:
            try:
                async with TimeLimit(min(allowed, deadline - started)):
                    stream = await self._connect(route)
            except TimeIsUp:
                raise _timeout(route, self.clock() - started, cut=deadline - started < allowed) from None
            took = self.clock() - started
            with contextlib.closing(stream):
                await self._hold(stream, route.peer, deadline)
        except Trouble as trouble:
            self._kept.discard(route.peer)
            return route.seen(
                Observation(
                    started, self.clock(), trouble.outcome, trouble.kind, trouble.label,
                    expected=EXPECTED, came=trouble.came, reached=bool(route.peer),
                )
            )  # fmt: skip
        ended = self.clock()
        seen = Observation(started, ended, Outcome.RIGHT, "right", "open", expected=EXPECTED, came="it connected")
        for wrong in self.target.expectations.check(Answer(0, ()), took)[0][:1]:
            seen = Observation(started, ended, Outcome.WRONG, wrong.kind, wrong.label, wrong.expected, wrong.came)
        return route.seen(seen)

    async def _connect(self, route: Route) -> wire.TcpStream:
        host, port = self.place
        chosen = route.candidates(host, await self.resolver.resolve(host, port))
        metadata.refuse(host, chosen, redirected=False)
        stream = await wire.connect(chosen, f"{bracketed(host)}:{port}")
        route.connected(stream.address)
        return stream

    async def _hold(self, stream: wire.TcpStream, peer: str, deadline: float) -> None:
        """Returns when the connection proves to stay. Raises `Trouble`."""
        wanted, left = HELD_AGAIN if peer in self._kept else HELD, deadline - self.clock()
        try:
            async with TimeLimit(min(wanted, left)):
                await _greeting(stream)
        except TimeIsUp:
            if left < wanted:
                raise cut_off(Trouble("undecided", "open", f"the connection was open for {max(left, 0):.1f} s")) from None
        self._kept.add(peer)


async def _greeting(stream: wire.TcpStream) -> None:
    """Returns at the first byte. Raises `Trouble` when the other side ends the connection without one."""
    try:
        if await stream.receive():
            return
    except OSError as error:
        if error.errno != errno.ECONNRESET:
            raise Trouble("network", "network", f"the connection failed: {error.strerror or error}") from None
    raise Trouble("closed-at-once", "closed", "the connection was accepted and closed without a byte")


def _timeout(route: Route, seconds: float, *, cut: bool) -> Trouble:
    after = f"within {seconds:.1f} s" if seconds >= 1 else f"within {seconds * 1000:.0f} ms"
    if route.tried:
        trouble = unjudged("connect-timeout", "no answer", f"no connection was made {after}")
    else:
        trouble = unjudged("unresolved", "no DNS", f"the name did not resolve {after}")
    return cut_off(trouble) if cut else trouble
