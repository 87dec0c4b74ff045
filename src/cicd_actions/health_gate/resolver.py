"""Looks names up without ever blocking the gate: each look-up has a separate daemon thread.

`getaddrinfo` cannot be cancelled. A pool of threads (as in `loop.getaddrinfo`) is starved by a resolver that hangs, and
Python waits for such threads before it exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from cicd_actions.health_gate.addresses import Address
from cicd_actions.health_gate.observation import unjudged

_LOOPBACK = ("127.0.0.1", "::1")
"""Both are `localhost` (RFC 6761, section 6.3), as for curl: the hosts file of many machines names only one of them, and a
service may listen on the other."""


class Resolver:
    """Look-ups of one gate. Targets that need the same name at the same time share one."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Returns the addresses of the host, in the order of the answer. Raises `Trouble` (`unresolved`)."""
        literal = _literal(host, port)
        if literal:
            return [literal]
        key = (host, port)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.get_running_loop().create_future()
            running.add_done_callback(lambda done: self._finished(key, done))
            arguments = (host, port, running)
            threading.Thread(target=_look_up, args=arguments, name=f"look-up of {host}", daemon=True).start()
        # A cancelled probe must not cancel the look-up that others wait for.
        return await asyncio.shield(running)

    def _finished(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # read, so that asyncio does not report an error that no probe waits for any more


def _literal(host: str, port: int) -> Address | None:
    if host.startswith("/") and hasattr(socket, "AF_UNIX"):
        return socket.AF_UNIX, host
    for family, address in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return family, address
    return None


def _look_up(host: str, port: int, future: asyncio.Future[list[Address]]) -> None:
    found: list[Address] = []
    error: Exception | None = None
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if (family, address) not in found:
                found.append((family, address))
    except (OSError, UnicodeError) as failed:
        said = getattr(failed, "strerror", None) or str(failed)
        error = unjudged("unresolved", "no DNS", f"could not resolve the name {host}: {said}")
    name = host.rstrip(".")
    if name == "localhost" or (error and name.endswith(".localhost")):
        known = {family for family, _ in found}
        found += [each for each in map(_literal, _LOOPBACK, (port, port)) if each and each[0] not in known]
        error = None

    def deliver() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found)

    with contextlib.suppress(RuntimeError):  # the gate has ended, and its loop with it
        future.get_loop().call_soon_threadsafe(deliver)
