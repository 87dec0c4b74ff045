"""The gate, httpx and curl ask one raw server for the same answers, and say alike what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cicd_actions.health_gate import reading
from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.exchange import Progress
from cicd_actions.health_gate.http_probe import HttpProber
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.limits import TimeLimit
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.observation import Outcome, Trouble
from cicd_actions.health_gate.targets import HttpRequest
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.accepting import Accepting

SECONDS = 5


class Answers:
    """Sends the raw answer number n for each path that begins with `/n/`, and keeps the requests."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = answers
        self.requests: list[bytes] = []
        self._accepting = Accepting(socket.create_server(("127.0.0.1", 0), backlog=64), self._serve)

    @property
    def port(self) -> int:
        return self._accepting.port

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.port}/{number}/b?c"

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(SECONDS)
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        number = data.split(b" ", 2)[1].split(b"/")[1] if len(self._answers) > 1 else b"0"
        if not number.isdigit():
            return  # from a stranger, who had this port before
        self.requests.append(data)
        connection.sendall(self._answers[int(number)])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # until the client has read everything: to close before would reset the connection

    def close(self) -> None:
        self._accepting.close()


@dataclass(frozen=True)
class Seen:
    """What a client made of one answer. `next` is where a redirect leads, `refused` when it leads nowhere."""

    verdict: str
    status: int = 0
    body: bytes = b""
    next: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} {self.status} {self.body[:40]!r} {self.next}".strip()


BROKEN = Seen("broken")


def seen(status: int, body: bytes, location: str) -> Seen:
    """What a whole answer is for a client that wants status 200 and `ok`."""
    right = status == 200 and b"ok" in body
    return Seen("right" if right else "wrong", status, body, normal(location))


def normal(url: str) -> str:
    """The URL as it is sent: hexadecimal digits, the letters of the host and default ports are spelled in one way."""
    found = re.fullmatch(r"(?i)(https?)://(?:[^/?#@]*@)?([^/?#]*)(/[^?#]*)?(\?[^#]*)?(#.*)?", url)
    if not found:
        return url
    scheme, place, path, query = found[1].lower(), found[2].lower(), found[3] or "/", found[4] or ""
    place = place.removesuffix(":80" if scheme == "http" else ":443").removesuffix(":")
    return re.sub("%[0-9a-f]{2}", lambda match: match[0].upper(), f"{scheme}://{place}{path}{query}")


class _Followed(Exception):
    """The prober is about to follow a redirect."""


@dataclass(eq=False)
class _Prober(HttpProber):
    """Stops where it would send a second request."""

    answers: list[Answer] = field(default_factory=list)
    next: str = ""

    async def _one(self, request: HttpRequest, progress: Progress, limit: TimeLimit) -> Answer:
        if self.answers:
            self.next = str(request.url)
            raise _Followed
        self.answers.append(await super()._one(request, progress, limit))
        return self.answers[0]


def prober(url: str, variables: dict[str, str] | None = None, **inputs: str) -> _Prober:
    """A prober for one URL. Other inputs are keywords."""
    runtime = Runtime(variables or {}, io.StringIO())
    values = {"url": url, **{name.replace("_", "-"): text for name, text in inputs.items()}}
    (target,) = reading.targets(load(Inputs, values, runtime.redactor), runtime.environment, Path())
    assert target.request is not None
    started = time.monotonic()
    return _Prober(target, target.request, Network(variables or {}), lambda: time.monotonic() - started, asyncio.Lock())


def by_gate(urls: Sequence[str]) -> list[Seen]:
    async def one(url: str) -> Seen:
        judging = prober(url, expect_body="ok", request_timeout=f"{SECONDS}s")
        observation = await judging.probe(SECONDS * 2)
        if not judging.answers:
            return BROKEN if observation.outcome is Outcome.BROKEN else Seen(str(observation.outcome))
        answer, location = judging.answers[0], ""
        if answer.status // 100 == 3:
            following = prober(url, expect_body="ok", allow_redirects="true", request_timeout=f"{SECONDS}s")
            try:
                async with TimeLimit(SECONDS) as limit:
                    await following._answer(Progress(), limit)
            except _Followed:
                location = following.next
            except Trouble as trouble:
                # A loop is seen only by a client that follows: where it leads is the same place.
                location = url if trouble.label == "loop" else "refused"
        return Seen(str(observation.outcome), answer.status, answer.body, location)

    async def every() -> list[Seen]:
        return [await one(url) for url in urls]

    return asyncio.run(every())


def by_httpx(urls: Sequence[str]) -> list[Seen]:
    found = []
    trusting = ssl.create_default_context()  # reading the machine's certificates for each answer would take most of the time
    with httpx.Client(verify=trusting, trust_env=False, timeout=SECONDS) as client:
        for url in urls:
            # A connection each: what is left over of one answer must not become the next one.
            with httpx.HTTPTransport(verify=trusting, trust_env=False) as transport:
                request = client.build_request("GET", url, headers={"Connection": "close"})
                try:
                    response = transport.handle_request(request)
                    response.request = request
                    body = response.read()
                except (httpx.HTTPError, ValueError):
                    found.append(BROKEN)
                    continue
                location = ""
                if response.has_redirect_location:
                    try:
                        location = str(client._build_redirect_request(request, response).url)
                    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
                        location = "refused"
                found.append(seen(response.status_code, body, location))
    return found


def _quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def curl(blocks: Sequence[dict[str, str]], folder: Path) -> list[list[str]]:
    """One process for all blocks of options. Returns for each: exit code, status, where a redirect leads."""
    found: list[list[str]] = []
    while len(found) < len(blocks):
        lines: list[str] = []
        for block in blocks[len(found) :]:
            options = {
                "max-time": str(SECONDS),
                "globoff": "",
                "write-out": "%{exitcode}\t%{http_code}\t%{redirect_url}\\n",
                **block,
            }
            lines += [f"{name} = {_quoted(value)}" if value else name for name, value in options.items()] + ["next"]
        config = folder / "curl.conf"
        config.write_text("\n".join(lines[:-1]), "utf-8")
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        words = ["curl", "--disable", "--silent", "--config", str(config)]
        ran = subprocess.run(words, check=False, env=environment, capture_output=True, timeout=300)
        got = [line.split("\t", 2) for line in ran.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]]
        # curl gives up on what follows when a header has no name: its error 43 is one of those that it takes for its own.
        assert got, (ran.returncode, ran.stderr.decode())
        found += got
    return found


def curl_version() -> str:
    return subprocess.run(["curl", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]


def by_curl(urls: Sequence[str], folder: Path) -> list[Seen]:
    blocks = [{"url": url, "output": str(folder / str(number)), "compressed": ""} for number, url in enumerate(urls)]
    found = []
    for number, (code, status, location) in enumerate(curl(blocks, folder)):
        output = folder / str(number)
        body = output.read_bytes() if output.exists() else b""
        found.append(BROKEN if code != "0" else seen(int(status), body, location))
    return found
