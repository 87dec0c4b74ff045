"""One request and its answer over a fresh connection, with everything bounded."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import h11

from cicd_actions.health_gate import head
from cicd_actions.health_gate.addresses import Route
from cicd_actions.health_gate.answer import LARGE_BODY, SMALL_BODY, Answer
from cicd_actions.health_gate.coding import Decoder
from cicd_actions.health_gate.limits import TimeLimit
from cicd_actions.health_gate.observation import Trouble, unjudged
from cicd_actions.health_gate.wire import Stream

INTERIM = 20
"""Answers with a 1xx status before the final one. More is a flood."""

EVENTS_IN_A_ROW = 16
"""Parsed pieces after which other probes get their turn: the smallest chunks cost the most time for a byte."""

LARGE_AT_ONCE = 16
"""Bodies above `SMALL_BODY` that are held at the same time."""


class Phase(Enum):
    """How far a request got. The value completes "while …"."""

    RESOLVING = "resolving the name"
    CONNECTING = "connecting"
    TUNNELLING = "opening the proxy's tunnel"
    SECURING = "performing the TLS handshake"
    SENDING = "sending the request"
    WAITING = "waiting for the answer"
    RECEIVING = "receiving the answer"


@dataclass(eq=False, repr=False)
class Progress:
    """How far the request is, for the code that ends it."""

    phase: Phase = Phase.RESOLVING
    reached: bool = False
    """The target itself accepted a connection."""
    received: int = 0
    """Bytes of the answer so far."""
    host: str = ""
    """The name that the certificate of this hop must have."""
    route: Route = field(default_factory=Route)


@dataclass(frozen=True, eq=False, repr=False)
class Request:
    """The request as it is sent. `target` stands in the request line; `headers` are complete."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""


@dataclass(eq=False, repr=False)
class Rooms:
    """Limits how many large bodies are held at a time: hundreds of them would fill the memory."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))


_ENDLESS = ("text/event-stream", "multipart/x-mixed-replace")
"""Types of bodies that never end by design."""


async def exchange(
    stream: Stream, request: Request, progress: Progress, *, reads: bool, limit: TimeLimit, rooms: Rooms
) -> Answer:
    """Sends the request and reads the answer. Raises `Trouble`.

    `reads` says that the body counts: it is then read up to `LARGE_BODY`. Else `SMALL_BODY` is enough to show that the answer
    is complete, and it does not wait for the body of a stream of events.
    """
    wire = Wire(stream, progress)
    try:
        progress.phase = Phase.SENDING
        await wire.send(request)
        progress.phase = Phase.WAITING
        response = await wire.response()
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw_items())
        bare = Answer(response.status_code, headers)
        if not reads and (bare.header("content-type") or "").lower().startswith(_ENDLESS):
            return replace(bare, cut=True)
        decoder = Decoder(",".join(filter(None, (bare.header("content-encoding"), wire.codings))))
        cap = LARGE_BODY if reads else SMALL_BODY
        body, cut = await _body(wire, decoder, cap=cap, limit=limit, rooms=rooms)
        return replace(bare, body=body, cut=cut, coding=decoder.unknown)
    except h11.RemoteProtocolError as error:
        raise _garbage(error, progress) from None
    except h11.LocalProtocolError as error:
        raise Trouble("request", "request", f"the gate cannot send the request: {error}") from None


class Wire:
    """h11's parser, fed from the stream."""

    def __init__(self, stream: Stream, progress: Progress) -> None:
        self.codings = ""
        """The transfer codings of the answer besides `chunked`."""
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=head.LONGEST)
        self._stream = stream
        self._progress = progress
        self._events = 0
        self._buffer = bytearray()

    async def send(self, request: Request) -> None:
        """Sends the whole request. Raises `h11.LocalProtocolError` and `OSError`."""
        start = h11.Request(method=request.method, target=request.target, headers=list(request.headers))
        out = self._parser.send(start) or b""
        if request.body:
            out += self._parser.send(h11.Data(data=request.body)) or b""
        out += self._parser.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.send(out)
        except OSError as error:
            # A server may answer and close before it has read everything: the answer counts.
            if error.errno not in {errno.EPIPE, errno.ECONNRESET}:
                raise

    async def response(self) -> h11.Response:
        """Returns the final answer's head. Raises `Trouble` and `h11.RemoteProtocolError`."""
        for _ in range(INTERIM + 1):
            start = head.strict(await self._head())
            self.codings = start.codings
            self._parser.receive_data(start.lines)
            event = self._parser.next_event()
            if isinstance(event, h11.Response):
                if self._buffer:  # no bytes at all would mean the end of the connection
                    self._parser.receive_data(bytes(self._buffer))
                return event
        raise Trouble("garbage", "1xx flood", f"the server sent more than {INTERIM} interim answers (1xx) and no final one")

    async def _head(self) -> bytes:
        searched = 0
        while not (self._buffer and (found := head.split(self._buffer, searched))):
            searched = len(self._buffer)
            data = await self._receive()
            if not data:
                received = self._progress.received
                where = f"within the headers, after {received} bytes" if received else "without an answer"
                raise Trouble("closed", "closed", f"the server closed the connection {where}")
            self._buffer += data
        self._buffer = bytearray(found[1])
        return found[0]

    async def event(self) -> object:
        """Returns the next part of the body. Raises `h11.RemoteProtocolError`."""
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(await self._receive())
        await self._pause()
        return event

    async def _receive(self) -> bytes:
        data = await self._stream.receive()
        self._progress.received += len(data)
        self._progress.phase = Phase.RECEIVING
        return data

    async def _pause(self) -> None:
        self._events += 1
        if self._events % EVENTS_IN_A_ROW == 0:
            # Data that arrived already is read without a pause: a server that floods must not keep the loop to itself.
            await asyncio.sleep(0)


async def _body(wire: Wire, decoder: Decoder, *, cap: int, limit: TimeLimit, rooms: Rooms) -> tuple[bytes, bool]:
    """Returns the decoded body, and whether it was cut at `cap`."""
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
        after = f"after {progress.received} bytes"
        return Trouble("closed", "closed", f"the server closed the connection within the answer, {after}")
    if "SWITCH" in said:
        return Trouble("garbage", "garbage", "the server switched to another protocol without being asked (101)")
    return head.garbage(said)


def network_trouble(error: OSError, progress: Progress) -> Trouble:
    """Returns what an error of a connection that was up means."""
    when = progress.phase.value
    if error.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
        return Trouble("reset", "reset", f"the server reset the connection while {when}")
    if error.errno in {errno.ETIMEDOUT, errno.EHOSTUNREACH}:
        return Trouble("timeout", "timeout", f"the connection broke while {when}: {error.strerror}")
    if error.errno in {errno.ENETDOWN, errno.ENETUNREACH}:
        return unjudged("no-network", "no route", f"this machine lost its network while {when}: {error.strerror}")
    return Trouble("network", "network", f"the connection failed while {when}: {error.strerror or error}")
