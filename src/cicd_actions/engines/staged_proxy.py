"""Stages whose traffic HAProxy divides: the part that both Docker engines share.

The weights are set through the proxy's runtime socket, by a program in the proxy's own container, so that nothing listens on
a network; or, where replicas of the proxy run on other nodes, over a network for nothing else. They live in the proxy's memory
only: a proxy that restarts has those of its file again, with which the old release gets all of the traffic. So they are read
before each decision, never assumed.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import haproxy, stage_labels
from cicd_actions.engines.protocol import EngineUnreachable, Refused, RollOutFailed, Target
from cicd_actions.engines.stage_labels import SUFFIX
from cicd_actions.engines.staged_beside import Beside
from cicd_actions.engines.staged_protocol import Answers, Stage
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed

POLL = 0.2

# Images of HAProxy have no client for its socket in common. Standard input is not attached, so the message is an argument.
_TALK = """
case $1 in /*) to=UNIX-CONNECT:$1 ;; *) to=TCP:$1 ;; esac
if command -v socat >/dev/null; then printf '%s\\n' "$2" | socat -t 5 - "$to"
elif command -v perl >/dev/null; then
  perl -MIO::Socket::UNIX -MIO::Socket::INET -e '$to = $ARGV[0];
    $s = $to =~ m(^/) ? IO::Socket::UNIX->new(Peer => $to) : IO::Socket::INET->new(PeerAddr => $to, Timeout => 5);
    $s or die "$!\\n"; print $s "$ARGV[1]\\n"; $s->flush; print <$s>' "$1" "$2"
else
  python3 -c 'import socket,sys
to = sys.argv[1]
if to.startswith("/"):
    s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(to)
else:
    s = socket.create_connection(to.rsplit(":", 1), 5)
s.sendall((sys.argv[2]+"\\n").encode())
for d in iter(lambda: s.recv(65536), b""): sys.stdout.buffer.write(d)' "$1" "$2"
fi
"""

_CONFIGURATION = """Let HAProxy know both releases, and open its runtime socket:

    global
      stats socket {1} mode 600 level admin
    backend {0}
      server-template {0} 6 {2}{0}:8000
      server-template next 6 {2}{0}-next:8000 weight 0"""


class ByProxy(Beside):
    """Fills `staged_protocol.Weighted` for an engine whose class comes first among the bases."""

    strategies: tuple[str, ...] = ("blue-green", "canary")
    without_bake = ""
    divided_by = "proxy"
    names = ""
    """What stands before a service's name in the proxy's file: Swarm's DNS has each replica under `tasks.`."""

    _proxy: str
    _socket: str

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        return self.weigh(stage, 100, deadline)

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        self._api.deadline = deadline
        return max(haproxy.smallest(self._servers(proxy, stage.service)) for proxy in self._found_proxies())

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        self._api.deadline = deadline
        service = stage.service
        standing = self._same(stage)
        shares = []
        for proxy in self._found_proxies():
            found = self._servers(proxy, service)
            if percent > 0 and not any(server.up and server.new for server in found):
                raise RollOutFailed(service, f"The proxy reaches no replica of the new release of {service}.", reverted=False)
            shares.append(haproxy.percent(self._weigh(proxy, service, found, percent)))
        return stage_labels.read(service, standing.image, standing.labels, max(shares), standing.addresses)

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        self._api.deadline = deadline
        found = {proxy: self._servers(proxy, stage.service) for proxy in self._found_proxies()}
        return {proxy: (haproxy.answered(each, new=True), haproxy.answered(each, new=False)) for proxy, each in found.items()}

    @abc.abstractmethod
    def _places(self, name: str) -> list[frozenset[str]]:
        """Returns the addresses of each running replica of a service or stage, on the networks of the engine."""

    @abc.abstractmethod
    def _proxies(self) -> list[str]:
        """Returns the proxy's replicas, as `_reach` takes them. Raises `Failed` where one cannot be reached."""

    def _reach(self, proxy: str) -> tuple[str, str]:
        """Returns the container in which a program reaches the runtime socket of this replica, and the socket's address."""
        return proxy, self._socket

    def _found_proxies(self) -> list[str]:
        found = self._proxies()
        if not found:
            raise EngineUnreachable(
                f"Could not find a running container of the proxy {self._proxy}.",
                fix="Start it, or correct the input `proxy`. The old release gets all of the traffic meanwhile.",
            )
        return found

    def _say(self, proxy: str, message: str) -> str:
        """Sends one message to the proxy's runtime socket and returns its answer.

        Raises `EngineUnreachable`: a proxy that does not answer, or whose container has just ended, proves nothing.
        """
        container, socket = self._reach(proxy)
        try:
            with self._api.asking(f"talk to the proxy {self._proxy}"):
                client: Any = self._api.client
                started = client.exec_create(container, ["sh", "-c", _TALK, "sh", socket, message], stdin=False)["Id"]
                said = bytes(client.exec_start(started)).decode("utf-8", "replace")
                code = client.exec_inspect(started)["ExitCode"]
        except (sdk.NotFound, Failed) as error:
            raise EngineUnreachable(f"Could not talk to the proxy {self._proxy}: its container ended. {error}") from None
        if code or not said.strip():
            why = said.strip()[-300:] or (f"exit code {code}" if code else "it closed the connection without an answer")
            raise EngineUnreachable(
                f"Could not talk to the proxy {self._proxy} through {socket}: {why.rstrip('.')}.",
                cause="The socket is missing, its filter refuses what it is asked, or the proxy's image has neither socat, perl"
                " nor python3.",
                fix=_CONFIGURATION.format("api", self._socket, self.names),
            )
        return said

    def _weigh(self, proxy: str, service: str, found: Sequence[haproxy.Server], percent: float) -> list[haproxy.Server]:
        """Sets the weights and returns the servers as they are then, with one message."""
        return haproxy.servers(self._told(proxy, haproxy.weights(service, found, percent)), service)

    def _told(self, proxy: str, message: str) -> str:
        """Sends a message that sets weights, and returns the statistics after it. Raises `Refused` where the proxy does."""
        said = self._say(proxy, f"{message};{haproxy.STAT}")
        refused = list(dict.fromkeys(line.strip() for line in said.partition(haproxy.HEADER)[0].splitlines() if line.strip()))
        if refused:
            raise Refused(
                f"The proxy {self._proxy} refused to set the weights: {' '.join(refused)[:300]}",
                fix="Use a way of balancing that has weights, such as:\n\n    balance roundrobin",
            )
        return said

    def _servers(self, proxy: str, service: str) -> list[haproxy.Server]:
        found = haproxy.servers(self._say(proxy, haproxy.STAT), service)
        if {server.new for server in found} != {True, False}:
            raise Refused(
                f"The proxy {self._proxy} does not know both releases of {service}.",
                cause=f"It has a backend {service} with the servers {', '.join(each.name for each in found)}."
                if found
                else f"It has no backend named {service}.",
                fix=_CONFIGURATION.format(service, self._socket, self.names),
            )
        return found

    def _share(self, service: str) -> float:
        return max(haproxy.percent(self._servers(proxy, service)) for proxy in self._found_proxies())

    def _refuse(self, target: Target) -> None:
        """Raises for a proxy that does not know the stage, or cannot weigh it."""
        for proxy in self._found_proxies():
            found = self._servers(proxy, target.service)
            if not any(server.up for server in found if server.new):
                self._told(proxy, haproxy.trial(target.service, found))

    def _lead_past(self, stage: Stage, deadline: Deadline) -> None:
        if self._share(stage.service) < 100:
            self.weigh(stage, 100, deadline)

    def _await_seen(self, service: str, deadline: Deadline, *, new: bool) -> None:
        """Waits until every proxy reaches them, as far as it has slots.

        A slot that is up may still be that of a replica which is about to end.
        """
        for proxy in self._found_proxies():
            while True:
                slots = [server for server in self._servers(proxy, service) if server.new is new]
                up = {server.address for server in slots if server.up}
                places = self._places(service + SUFFIX if new else service)
                reached = [place for place in places if place & up]
                if len(reached) >= min(len(places), len(slots)) and up <= frozenset().union(*places):
                    break
                if deadline.expired:
                    raise RollOutFailed(
                        service,
                        f"The proxy {self._proxy} does not reach {service}{SUFFIX if new else ''}, which is healthy.",
                        reverted=new,
                        cause=f"{len(reached)} of {len(places)} replicas pass the proxy's check.",
                        fix=_CONFIGURATION.format(service, self._socket, self.names),
                    )
                self._runtime.sleep(POLL)

    def _take_away(self, service: str, patience: float) -> None:
        """Gives the service itself all of the traffic, lets open requests end, and removes the stage."""
        try:
            proxies = self._found_proxies()
        except EngineUnreachable:
            proxies = []  # a proxy that comes up later has the weights of its file
        for proxy in proxies:
            self._weigh(proxy, service, self._servers(proxy, service), 0)
        drain = Deadline(patience, self._runtime.clock)
        for proxy in proxies:
            while any(server.sessions for server in self._servers(proxy, service) if server.new) and not drain.expired:
                self._runtime.sleep(drain.timeout(POLL))
        self._remove_stage(service)
