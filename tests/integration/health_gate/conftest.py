"""Runs the gate as the command line does, short of the process around it."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.health_gate import run as gate_run
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.accepting import Accepting
from tests.harness.authority import Authority

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def variables() -> dict[str, str]:
    """The environment of the step: the machine's own without any proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def gate(variables: dict[str, str], log: io.StringIO) -> Callable[..., Report]:
    """A run of the action with inputs as keywords (`expect_status="200"`)."""

    def run(**inputs: str) -> Report:
        runtime = Runtime(variables, log)
        values = {name.replace("_", "-"): text for name, text in inputs.items()}
        return gate_run.run(load(Inputs, values, runtime.redactor), runtime)

    return run


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback interface on which nothing listens: bound, and never listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


Handler = Callable[[socket.socket], None]


class RawServer:
    """Hands each connection to a function in a separate thread; nothing of HTTP is done for it."""

    def __init__(
        self,
        handler: Handler,
        wrap: Callable[[socket.socket], socket.socket] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "",
    ) -> None:
        self._handler = handler
        self._wrap = wrap
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = _unix_server(path) if path else socket.create_server((host, port), family=family, backlog=256)
        self.connections = 0
        self.requests: list[bytes] = []
        self._accepting = Accepting(listener, self._take)

    @property
    def port(self) -> int:
        return self._accepting.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _take(self, connection: socket.socket) -> None:
        self.connections += 1
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The client goes away whenever it has seen enough: that is what most of these tests are about.
        with contextlib.suppress(OSError):
            secured = self._wrap(connection) if self._wrap else connection
            with secured:
                self.requests.append(read_request(secured))
                self._handler(secured)

    def close(self) -> None:
        self._accepting.close()


def _unix_server(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def read_request(connection: socket.socket) -> bytes:
    """The head of a request, and its body if it says its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def ok(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    """Starts raw servers, which end with the test."""
    servers: list[RawServer] = []

    def start(handler: Handler, wrap: Callable[[socket.socket], socket.socket] | None = None, **where: Any) -> RawServer:
        servers.append(RawServer(handler, wrap, **where))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@dataclass
class Ran:
    """One run of the command line on a runner of our own."""

    code: int
    stdout: str
    stderr: str
    summary: str
    outputs: dict[str, str]
    memory: int
    """The most bytes of memory it held."""


_MEASURED = """
import atexit, pathlib, sys
def keep():
    text = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path(sys.argv[1]).write_text(text.split("VmHWM:")[1].split()[0])
atexit.register(keep)
from cicd_actions.__main__ import main
main(sys.argv[2:])
"""

CommandLine = Callable[..., Ran]


@pytest.fixture
def command_line(tmp_path: Path, variables: dict[str, str]) -> CommandLine:
    """Runs `cicd-actions health-gate` in a separate process, as a step on GitHub."""

    def run(*words: str, **extra: str) -> Ran:
        files = {name: tmp_path / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        environment = {
            **variables, **{name: str(path) for name, path in files.items()}, "GITHUB_ACTIONS": "true",
            "PYTHONPATH": str(ROOT / "src"), **extra,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", _MEASURED, str(tmp_path / "memory"), "health-gate", *words],
            env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        stdout, stderr = process.communicate(timeout=60)
        memory = int((tmp_path / "memory").read_text()) * 1024
        outputs = _outputs(files["GITHUB_OUTPUT"].read_text("utf-8"))
        return Ran(process.returncode, stdout, stderr, files["GITHUB_STEP_SUMMARY"].read_text("utf-8"), outputs, memory)

    return run


@pytest.fixture
def read_outputs() -> Callable[[str], dict[str, str]]:
    return _outputs


def _outputs(text: str) -> dict[str, str]:
    """The outputs as the runner reads them: `name<<delimiter`, lines, delimiter."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, _, delimiter = line.partition("<<")
        value: list[str] = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        found[name] = "\n".join(value)
    return found


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
