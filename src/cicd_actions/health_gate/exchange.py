"""One request and its answer over a fresh connection, with everything bounded."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import h11

from cicd_actions.health_gate.addresses import Route
from cicd_actions.health_gate.answer import SMALL_BODY, Answer
from cicd_actions.health_gate.coding import Decoder
from cicd_actions.health_gate.limits import TimeLimit
from cicd_actions.health_gate.observation import Trouble, unjudged
from cicd_actions.health_gate.wire import Stream

HEADERS = 64 * 1024
"""Bytes that a status line and headers may have. Servers allow 8 to 32 KiB."""

INTERIM = 20
"""Answers with a 1xx status before the real one. More is no server, but a flood."""

EVENTS_IN_A_ROW = 16
"""Parsed pieces after which others get their turn: the smallest chunks cost the most time for a byte."""

LARGE_AT_ONCE = 16
"""Bodies above `SMALL_BODY` that are held at the same time."""


class Phase(Enum):
    """How far a request got."""

    RESOLVING = "the name was being looked up"
    CONNECTING = "the connection was being made"
    TUNNELLING = "the proxy was opening the way"
    SECURING = "the TLS handshake was under way"
    SENDING = "the request was being sent"
    WAITING = "the request was sent"
    RECEIVING = "the answer was coming in"


@dataclass(eq=False)
class Progress:
    """How far the request is, for whoever has to end it."""

    phase: Phase = Phase.RESOLVING
    reached: bool = False
    """A connection to the target itself came about."""
    received: int = 0
    """Bytes of the answer so far."""
    host: str = ""
    route: Route = field(default_factory=Route)


@dataclass(frozen=True)
class Request:
    """What is sent. `target` is the request line's; headers are complete but for framing."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""


@dataclass(eq=False)
class Rooms:
    """Where large bodies wait for each other, so that hundreds of them do not fill the memory."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))


async def exchange(stream: Stream, request: Request, progress: Progress, *, cap: int, limit: TimeLimit, rooms: Rooms) -> Answer:
    """Send the request and read the answer, at most `cap` bytes of its body. Raises `Trouble`."""
    wire = _Wire(stream, progress)
    try:
        progress.phase = Phase.SENDING
        await _send(stream, wire.parser, request)
        progress.phase = Phase.WAITING
        response = await _response(wire)
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw_items())
        bare = Answer(response.status_code, headers)
        decoder = Decoder(bare.header("content-encoding") or "")
        body, cut = await _body(wire, decoder, cap=cap, limit=limit, rooms=rooms)
        return replace(bare, body=body, cut=cut, coding=decoder.unknown)
    except h11.RemoteProtocolError as error:
        raise _garbage(error, progress) from None
    except h11.LocalProtocolError as error:
        raise Trouble("request", "request", f"the request cannot be sent: {error}") from None


async def _send(stream: Stream, parser: h11.Connection, request: Request) -> None:
    head = h11.Request(method=request.method, target=request.target, headers=list(request.headers))
    out = parser.send(head) or b""
    if request.body:
        out += parser.send(h11.Data(data=request.body)) or b""
    out += parser.send(h11.EndOfMessage()) or b""
    try:
        await stream.send(out)
    except OSError as error:
        # A server may answer and close before it has read everything: the answer counts.
        if error.errno not in {errno.EPIPE, errno.ECONNRESET}:
            raise


class _Wire:
    """The parser, fed from the stream."""

    def __init__(self, stream: Stream, progress: Progress) -> None:
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS)
        self._stream = stream
        self._progress = progress
        self._events = 0

    async def event(self) -> object:
        self._events += 1
        if self._events % EVENTS_IN_A_ROW == 0:
            # Data that is there already is read without a pause: a server that floods must not keep the loop for itself.
            await asyncio.sleep(0)
        while True:
            event = self.parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self._stream.receive()
            received = self._progress.received
            if not data and self.parser.their_state is h11.SEND_RESPONSE:
                where = f"within the headers, after {received} bytes" if received else "without an answer"
                raise Trouble("closed", "closed", f"the connection was closed {where}")
            self._progress.received += len(data)
            self._progress.phase = Phase.RECEIVING
            self.parser.receive_data(data)


async def _response(wire: _Wire) -> h11.Response:
    for _ in range(INTERIM + 1):
        event = await wire.event()
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise Trouble("closed", "closed", "the connection was closed without an answer")
    raise Trouble("garbage", "1xx flood", f"more than {INTERIM} interim answers (1xx) came, and no final one")


async def _body(wire: _Wire, decoder: Decoder, *, cap: int, limit: TimeLimit, rooms: Rooms) -> tuple[bytes, bool]:
    """The decoded body, and whether it was cut at `cap`."""
    body = bytearray()
    roomy = False
    try:
        while len(body) < cap:
            if len(body) >= SMALL_BODY and not roomy:
                with limit.paused():
                    await rooms.slots.acquire()
                roomy = True
            event = await wire.event()
            if not isinstance(event, h11.Data):
                decoder.end()
                return bytes(body), False
            body += decoder.decode(bytes(event.data), cap - len(body))
        return bytes(body), True
    finally:
        if roomy:
            rooms.slots.release()


def _garbage(error: h11.RemoteProtocolError, progress: Progress) -> Trouble:
    said = str(error)
    if "peer closed connection" in said or "incomplete" in said:
        return Trouble(
            "closed", "closed", f"the connection was closed in the middle of the answer, after {progress.received} bytes"
        )
    if "SWITCH" in said:
        return Trouble("garbage", "garbage", "the server switched to another protocol, which was not asked for (101)")
    if "too long" in said.lower() or error.error_status_hint == 431:
        return Trouble("garbage", "headers", f"the answer's headers are longer than {HEADERS // 1024} KiB")
    return Trouble("garbage", "garbage", f"what came is not HTTP: {said}")


def network_trouble(error: OSError, progress: Progress) -> Trouble:
    """What an error of a connection that was up means."""
    when = progress.phase.value
    if error.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
        return Trouble("reset", "reset", f"the connection was reset when {when}")
    if error.errno in {errno.ETIMEDOUT, errno.EHOSTUNREACH}:
        return Trouble("timeout", "timeout", f"the connection broke off when {when}: {error.strerror}")
    if error.errno in {errno.ENETDOWN, errno.ENETUNREACH}:
        return unjudged("no-network", "no route", f"this machine lost its network when {when}: {error.strerror}")
    return Trouble("network", "network", f"the connection failed when {when}: {error.strerror or error}")
