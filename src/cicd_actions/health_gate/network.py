"""Opens the connection for one request: name, proxy, TCP, TLS."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import h11

from cicd_actions.health_gate import metadata, proxies, tls, wire
from cicd_actions.health_gate.exchange import Phase, Progress, Request, Rooms, Wire
from cicd_actions.health_gate.observation import Trouble, unjudged
from cicd_actions.health_gate.proxies import Proxy
from cicd_actions.health_gate.resolver import Resolver
from cicd_actions.health_gate.targets import HttpRequest, Trust
from cicd_actions.health_gate.urls import Url, bracketed, server_name


@dataclass(eq=False, repr=False)
class Network:
    """What all probes of a gate share. `variables` is the environment, for proxies."""

    variables: Mapping[str, str]
    resolver: Resolver = field(default_factory=Resolver)
    rooms: Rooms = field(default_factory=Rooms)
    _contexts: dict[Trust, ssl.SSLContext] = field(default_factory=dict)

    def context(self, trust: Trust) -> ssl.SSLContext:
        """Returns the TLS context, which is made once. Raises `UnusableInput`."""
        if trust not in self._contexts:
            self._contexts[trust] = tls.context(trust)
        return self._contexts[trust]

    def proxy(self, request: HttpRequest) -> Proxy | None:
        """Returns the proxy, `None` for a direct connection: also with `connect-to`, which names the machine itself."""
        return None if request.connect_to else proxies.proxy_for(request.url, self.variables)

    @contextlib.asynccontextmanager
    async def open(self, request: HttpRequest, proxy: Proxy | None, progress: Progress) -> AsyncIterator[wire.Stream]:
        """Yields a fresh connection and closes it afterwards. Raises `Trouble`."""
        url = request.url
        via = proxy.url if proxy else None
        host, port = (via.host, via.port) if via else request.connect_to or (url.host, url.port)
        if via:
            metadata.refuse(url.host, [], redirected=request.redirected)
        progress.phase = Phase.RESOLVING
        try:
            addresses = [] if via else progress.route.pinned(host, port)
            if not addresses:
                addresses = await self.resolver.resolve(host, port)
            if not via:
                if progress.route.peer or not request.redirected:
                    addresses = progress.route.candidates(host, addresses)
                metadata.refuse(host, addresses, redirected=request.redirected)
            progress.phase = Phase.CONNECTING
            place = f"{bracketed(host)}:{port}" if port else host
            tcp = await wire.connect(addresses, f"{'the proxy ' if via else ''}{place}")
        except Trouble as trouble:
            if via:
                raise unjudged("proxy", "proxy", f"the gate cannot use the proxy: {trouble.came}") from None
            raise
        try:
            stream: wire.Stream = tcp
            if not via:
                progress.route.connected(tcp.address)
            if proxy and via and via.secure:
                progress.phase = Phase.TUNNELLING
                stream = await self._secured(stream, Trust(ca_file=request.trust.ca_file), server_name(via.authority))
            if proxy and url.secure:
                progress.phase = Phase.TUNNELLING
                await _tunnel(stream, proxy, url)
            if proxy is None or url.secure:
                progress.reached = True
            if url.secure:
                progress.phase = Phase.SECURING
                progress.host = server_name(request.host or url.authority)
                stream = await self._secured(stream, request.trust, progress.host)
            yield stream
        finally:
            tcp.close()

    async def _secured(self, below: wire.Stream, trust: Trust, name: str) -> wire.Stream:
        stream = wire.TlsStream(below, self.context(trust), name)
        await stream.handshake()
        return stream


async def _tunnel(stream: wire.Stream, proxy: Proxy, url: Url) -> None:
    """Asks the proxy for a tunnel to the URL's host (RFC 9110, section 9.3.6). Raises `Trouble`."""
    place = f"{bracketed(url.host)}:{url.port}"
    headers = [("Host", place)] + ([("Proxy-Authorization", proxy.authorization)] if proxy.authorization else [])
    parser = Wire(stream, Progress())
    try:
        await parser.send(Request("CONNECT", place, headers))
        response = await parser.response()
    except (h11.RemoteProtocolError, Trouble) as error:
        raise unjudged("proxy", "proxy", f"the proxy did not open a tunnel: {error}") from None
    if response.status_code // 100 != 2:
        raise refusal(response.status_code, url)


def refusal(status: int, url: Url) -> Trouble:
    """Returns the trouble of a proxy that does not open the tunnel."""
    if status == 407:
        return unjudged("proxy-authentication", "407", "the proxy asks for a user and a password (407)")
    return unjudged("proxy", f"proxy {status}", f"the proxy did not connect to {url.host}: status {status}")
