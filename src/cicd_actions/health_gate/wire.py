"""Connects: TCP to the first address that answers, TLS on top. An error says the system's own reason.

Plain sockets on the loop (`sock_recv`), not asyncio's streams: nothing is read ahead of what is asked for, which bounds
the memory of hundreds of hostile servers; errors keep their number; and TLS is not even imported for http.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from typing import Protocol

from cicd_actions.health_gate.addresses import Address
from cicd_actions.health_gate.observation import Trouble, unjudged

CHUNK = 16 * 1024

STAGGER = 0.25
"""Seconds before the next address is tried beside the first (RFC 8305, section 5: "Connection Attempt Delay")."""

# What an error says when no connection began, or no server answered; `{}` is the place.
_SAID = (
    ({errno.ETIMEDOUT}, "connect-timeout", "no answer", "{} did not answer the connection attempt"),
    ({errno.EHOSTUNREACH, getattr(errno, "EHOSTDOWN", errno.EHOSTUNREACH)}, "no-route", "no route", "no route to {}"),
    (
        {errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES},
        "no-network",
        "no route",
        "this machine has no network to reach {}",
    ),
    (
        {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM},
        "crowded",
        "no socket",
        "this machine cannot open another connection, to {}",
    ),
)


class Stream(Protocol):
    """Bytes in both directions."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes:
        """Returns the bytes that have arrived, at least one; empty at the end."""
        ...


class TcpStream:
    """A connected socket."""

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.address = address
        self._socket = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        # `sock_recv` does not pause while there is data, and a server may send without end.
        await asyncio.sleep(0)
        return await self._loop.sock_recv(self._socket, CHUNK)

    def close(self) -> None:
        self._socket.close()


class TlsStream:
    """TLS over another stream, also a proxy's tunnel, in OpenSSL's memory buffers."""

    def __init__(self, below: Stream, context: ssl.SSLContext, server_name: str) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    async def handshake(self) -> None:
        """Raises `ssl.SSLError`."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert, so that the server's log says why
                raise
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)  # a memory buffer takes everything at once
        await self._flush()

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                # Many servers end without saying so; whether the answer was whole, HTTP's framing knows.
                return b""

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.send(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._below.receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


async def connect(addresses: list[Address], place: str) -> TcpStream:
    """Returns a connection to the first address that accepts one. Raises `Trouble`; `place` names the other side in it."""
    running: dict[asyncio.Task[socket.socket], Address] = {}
    waiting = list(addresses)
    errors: list[OSError] = []
    try:
        while waiting or running:
            if waiting:
                address = waiting.pop(0)
                running[asyncio.ensure_future(_connect(address))] = address
            done, _ = await asyncio.wait(running, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                address = running.pop(task)
                error = task.exception()
                if error is None:
                    _drop(done, task)
                    return TcpStream(task.result(), address)
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_late)
    raise _trouble(errors, place)


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family in {socket.AF_INET, socket.AF_INET6}:  # not for a Unix socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _drop(done: set[asyncio.Task[socket.socket]], kept: asyncio.Task[socket.socket]) -> None:
    for task in done - {kept}:
        _close_late(task)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _trouble(errors: list[OSError], place: str) -> Trouble:
    """Returns the most telling one of the errors: an address that refused says more than one without a route."""
    for error in errors:
        if error.errno in {errno.ECONNREFUSED, errno.ENOENT}:  # the second for a Unix socket
            return Trouble("refused", "refused", f"{place} refused the connection")
    for error in errors:
        if error.errno in {errno.ECONNRESET, errno.ECONNABORTED}:
            return Trouble("reset", "reset", f"{place} reset the connection during the handshake")
    error = errors[-1]
    said = os.strerror(error.errno) if error.errno else str(error)  # asyncio's text repeats the address as a tuple
    for numbers, kind, label, sentence in _SAID:
        if error.errno in numbers:
            return unjudged(kind, label, f"{sentence.format(place)}: {said}")
    return unjudged("connect", "connect", f"could not connect to {place}: {said}")
