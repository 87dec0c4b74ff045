"""Stages whose traffic HAProxy divides: the part that both Docker engines share.

The weights are set through the proxy's runtime socket, by a program in the proxy's own container, so that nothing listens on
a network; or, where replicas of the proxy run on other nodes, over a network for nothing else. They live in the proxy's memory
only: a proxy that restarts has those of its file again, with which the old release gets all of the traffic. So they are read
before each decision, never assumed.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import haproxy, stage_labels
from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    EngineUnreachable,
    Image,
    Refused,
    RolledOut,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.engines.release import settled
from cicd_actions.engines.stage_labels import SUFFIX
from cicd_actions.engines.staged_protocol import Answers, Stage
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.2
DRAIN = 10.0
"""Seconds in which requests to the new release may end before it is removed."""

DRAIN_SHORTLY = 1.5
"""The same for a cancelled step, which has 7.5 s in all."""

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


@dataclass(frozen=True)
class Standing:
    """A stage as the engine has it: its `image`, its labels, and the addresses at which this machine reaches its replicas."""

    image: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...]


class ByProxy(abc.ABC):
    """Fills `staged_protocol.Weighted` for an engine whose class comes first among the bases."""

    names = ""
    """What stands before a service's name in the proxy's file: Swarm's DNS has each replica under `tasks.`."""

    name: str
    opaque_images: bool
    _api: DockerApi
    _runtime: Runtime
    _proxy: str
    _socket: str

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        self._api.deadline = deadline
        labels = stage_labels.written(target, before, run=run, until=until)
        for proxy in self._found_proxies():
            # A proxy that does not know the stage, or cannot weigh it, is found before anything starts.
            found = self._servers(proxy, target.service)
            if not any(server.up for server in found if server.new):
                self._told(proxy, haproxy.trial(target.service, found))
        self._api.pull(target.image, deadline)
        self._stand(target, before, labels, deadline)
        try:
            self._await_seen(target.service, deadline, new=True)
        except BaseException:
            self._remove_stage(target.service)
            raise
        return self._stage(target.service)

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        self._api.deadline = deadline
        return {service: self._stage(service) for service in services if self._standing(service) is not None}

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

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        self._api.deadline = deadline
        now = settled(self, [stage.service], deadline, self._runtime)[stage.service]  # type: ignore[arg-type]
        if now.digest != stage.target.image.digest or now.ready != now.wanted or now.unfinished:
            if self._stage(stage.service).percent < 100:
                self.weigh(stage, 100, deadline)
            arrived = self.roll_out(stage.target, now, deadline)
        else:
            arrived = RolledOut(stage.service, 0.0, replicas=now.ready)
        self._await_seen(stage.service, deadline, new=False)
        self._take_away(stage.service, DRAIN)
        return arrived

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        service = stage.service
        now = self.running([service], deadline).get(service)
        stands = self._standing(service) is not None
        if stands and now is not None and now.digest == stage.target.image.digest and now.image != stage.before:
            # The promotion was interrupted: the service itself has the new image already, or is about to.
            now = settled(self, [service], deadline, self._runtime)[service]  # type: ignore[arg-type]
            old = Target(service, self.resolve(stage.before, deadline), stage.before_sha)
            self.roll_out(old, now, deadline, rollback=False)
            self._await_seen(service, deadline, new=False)
        self._take_away(service, DRAIN if wait else DRAIN_SHORTLY)

    @abc.abstractmethod
    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]: ...

    @abc.abstractmethod
    def resolve(self, image: str, deadline: Deadline) -> Image: ...

    @abc.abstractmethod
    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut: ...

    @abc.abstractmethod
    def _stand(self, target: Target, before: Running, labels: Mapping[str, str], deadline: Deadline) -> None:
        """Starts the stage under `SERVICE-next` and waits until it is healthy; leaves nothing where it is not."""

    @abc.abstractmethod
    def _standing(self, service: str) -> Standing | None:
        """Returns the stage; `None` where there is none, or where something else has its name."""

    @abc.abstractmethod
    def _places(self, name: str) -> list[frozenset[str]]:
        """Returns the addresses of each running replica of a service or stage, on the networks of the engine."""

    @abc.abstractmethod
    def _remove_stage(self, service: str) -> None:
        """Removes the stage, where there is one."""

    @abc.abstractmethod
    def _proxies(self) -> list[str]:
        """Returns the proxy's replicas, as `_reach` takes them. Raises `Failed` where one cannot be reached."""

    def _reach(self, proxy: str) -> tuple[str, str]:
        """Returns the container in which a program reaches the runtime socket of this replica, and the socket's address."""
        return proxy, self._socket

    def _found_proxies(self) -> list[str]:
        if not self._proxy:
            raise UnusableInput(
                "Cannot stage a release without a proxy that divides the traffic.",
                fix="Name the service of HAProxy:\n\n    with:\n      proxy: proxy",
            )
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

    def _stage(self, service: str) -> Stage:
        standing = self._standing(service)
        if standing is None:
            raise self._gone(service)
        shares = [haproxy.percent(self._servers(proxy, service)) for proxy in self._found_proxies()]
        return stage_labels.read(service, standing.image, standing.labels, max(shares), standing.addresses)

    def _same(self, stage: Stage) -> Standing:
        standing = self._standing(stage.service)
        if standing is None or standing.image != stage.target.image.pinned:
            raise self._gone(stage.service)
        return standing

    def _gone(self, service: str) -> ChangedMeanwhile:
        return ChangedMeanwhile(
            service,
            f"Something else removed or replaced the stage of {service}.",
            fix="The old release has the traffic. Run the roll-out again if this release should replace it.",
        )

    def _await_seen(self, service: str, deadline: Deadline, *, new: bool) -> None:
        """Waits until every proxy reaches the replicas of one release, and no others in its slots, as far as it has slots.

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
