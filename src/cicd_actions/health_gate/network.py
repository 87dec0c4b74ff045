"""Opens the way for one request: look-up, proxy, TCP, TLS."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

from cicd_actions.health_gate import proxies, wire
from cicd_actions.health_gate.addresses import Address
from cicd_actions.health_gate.exchange import Phase, Progress, Rooms
from cicd_actions.health_gate.observation import Outcome, Trouble, unjudged
from cicd_actions.health_gate.proxies import Proxy
from cicd_actions.health_gate.resolver import Resolver
from cicd_actions.health_gate.targets import HttpRequest, Trust
from cicd_actions.health_gate.urls import Url, bracketed

if TYPE_CHECKING:
    import ssl


@dataclass(eq=False)
class Network:
    """What all probes of a gate share. `variables` are the environment's, for proxies."""

    variables: Mapping[str, str]
    resolver: Resolver = field(default_factory=Resolver)
    rooms: Rooms = field(default_factory=Rooms)
    _contexts: dict[Trust, ssl.SSLContext] = field(default_factory=dict)

    def context(self, trust: Trust) -> ssl.SSLContext:
        """The TLS context, made once. Raises `UnusableInput`."""
        if trust not in self._contexts:
            from cicd_actions.health_gate import tls  # noqa: PLC0415 - only https needs it

            self._contexts[trust] = tls.context(trust)
        return self._contexts[trust]

    def proxy(self, request: HttpRequest) -> Proxy | None:
        """`connect-to` names the machine itself, so there is no proxy then."""
        return None if request.connect_to else proxies.proxy_for(request.url, self.variables)

    @contextlib.asynccontextmanager
    async def open(self, request: HttpRequest, proxy: Proxy | None, progress: Progress) -> AsyncIterator[wire.Stream]:
        """A fresh connection, closed afterwards. Raises `Trouble`."""
        url = request.url
        via = proxy.url if proxy else None
        host, port = (via.host, via.port) if via else request.connect_to or (url.host, url.port)
        progress.phase = Phase.RESOLVING
        try:
            addresses = await self.resolver.resolve(host, port)
            if request.redirected and not via and any(map(_of_the_machine, addresses)):
                raise Trouble(
                    "redirect",
                    "redirect",
                    f"a redirect leads to {bracketed(host)}, where clouds tell a machine its own credentials",
                    outcome=Outcome.WRONG,
                )
            progress.phase = Phase.CONNECTING
            if not via and (progress.route.peer or not request.redirected):
                addresses = progress.route.candidates(host, addresses)
            place = f"{bracketed(host)}:{port}" if port else host
            tcp = await wire.connect(addresses, f"{'the proxy ' if via else ''}{place}")
        except Trouble as trouble:
            if via:
                raise unjudged("proxy", "proxy", f"the proxy cannot be used: {trouble.came}") from None
            raise
        try:
            stream: wire.Stream = tcp
            if not via:
                progress.route.connected(addresses, tcp.family)
            if proxy and via and via.secure:
                progress.phase = Phase.TUNNELLING
                stream = await self._secured(stream, Trust(ca_file=request.trust.ca_file), via.host)
            if proxy and url.secure:
                progress.phase = Phase.TUNNELLING
                await _tunnel(stream, proxy, url)
            if proxy is None or url.secure:
                progress.reached = True
            if url.secure:
                progress.phase = Phase.SECURING
                name = (
                    request.host.partition(":")[0]
                    if request.host and not request.host.startswith("[")
                    else request.host.strip("[]")
                )
                stream = await self._secured(stream, request.trust, name or url.host)
            yield stream
        finally:
            tcp.close()

    async def _secured(self, below: wire.Stream, trust: Trust, name: str) -> wire.Stream:
        stream = wire.TlsStream(below, self.context(trust), name)
        await stream.handshake()
        return stream


def _of_the_machine(address: Address) -> bool:
    """Whether the address is a link's own: that of the metadata services, whose answers must not get into a log."""
    import ipaddress  # noqa: PLC0415 - only redirects need it

    found = ipaddress.ip_address(address[1][0].partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_link_local or found == ipaddress.ip_address("fd00:ec2::254")


async def _tunnel(stream: wire.Stream, proxy: Proxy, url: Url) -> None:
    """Ask the proxy for a way to the URL's host (RFC 9110, section 9.3.6). Raises `Trouble`."""
    place = f"{bracketed(url.host)}:{url.port}"
    headers = [("Host", place)] + ([("Proxy-Authorization", proxy.authorization)] if proxy.authorization else [])
    parser = h11.Connection(h11.CLIENT)
    await stream.send(parser.send(h11.Request(method="CONNECT", target=place, headers=headers)) or b"")
    await stream.send(parser.send(h11.EndOfMessage()) or b"")
    try:
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive()
                if not data and parser.their_state is h11.SEND_RESPONSE:
                    raise unjudged("proxy", "proxy", "the proxy closed the connection without an answer")
                parser.receive_data(data)
            elif isinstance(event, h11.Response):
                if event.status_code // 100 != 2:
                    raise refusal(event.status_code, url)
                return
    except h11.RemoteProtocolError as error:
        raise unjudged("proxy", "proxy", f"the proxy answered something else than HTTP: {error}") from None


def refusal(status: int, url: Url) -> Trouble:
    """A proxy that does not open the way."""
    if status == 407:
        return unjudged("proxy-authentication", "407", "the proxy asks for a user and a password (407)")
    return unjudged("proxy", f"proxy {status}", f"the proxy did not connect to {url.host}: status {status}")
