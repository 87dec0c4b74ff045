"""Targets without HTTP, and HTTP without TCP."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.report import Report
from tests.harness.accepting import Accepting

Gate = Callable[..., Report]


@pytest.fixture
def connections() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts a listener that hands each connection to a function and closes it. Returns its port."""
    started: list[Accepting] = []

    def start(serve: Callable[[socket.socket], None]) -> int:
        def take(connection: socket.socket) -> None:
            with connection:
                serve(connection)

        started.append(Accepting(socket.create_server(("127.0.0.1", 0)), take))
        return started[-1].port

    yield start
    for each in started:
        each.close()


def healthy(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_tcp_target_passes_when_the_port_accepts_a_connection(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        report = gate(url=f"tcp://127.0.0.1:{listener.getsockname()[1]}", consecutive_successes="2")
    assert report.outputs["verdict"] == "pass"
    assert "(2 connections, 1 address)" in report.headline


@pytest.mark.parametrize(
    ("first", "verdict"), [(b"", "fail"), (b"RST", "fail"), (b"220 ready\r\n", "pass")], ids=["closes", "resets", "greets"]
)
def test_tcp_target_whose_port_closes_at_once_fails_unless_it_said_something(
    gate: Gate, connections: Any, first: bytes, verdict: str
) -> None:
    def serve(connection: socket.socket) -> None:
        if first == b"RST":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif first:
            connection.sendall(first)

    report = gate(url=f"tcp://127.0.0.1:{connections(serve)}", timeout="900ms")
    assert report.outputs["verdict"] == verdict
    if first == b"":
        assert "closed without a byte" in str(report.outputs["reason"])


def test_tcp_target_that_had_no_time_to_close_the_connection_is_inconclusive(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        report = gate(url=f"tcp://127.0.0.1:{listener.getsockname()[1]}", timeout="300ms")
    assert report.outputs["verdict"] == "inconclusive"


def test_tcp_target_fails_when_the_port_refuses(gate: Gate, closed_port: int) -> None:
    report = gate(targets=f"- {{name: db, url: 'tcp://127.0.0.1:{closed_port}'}}", timeout="1s")
    assert report.outputs["verdict"] == "fail"
    assert "db: expected a connection; got: 127.0.0.1" in str(report.outputs["reason"])


def test_tcp_target_is_inconclusive_when_the_name_does_not_resolve(gate: Gate) -> None:
    assert gate(url="tcp://no-such-name.invalid:1", timeout="1s").outputs["verdict"] == "inconclusive"


def test_connect_to_a_unix_socket_sends_the_host_of_the_url(gate: Gate, raw: Any, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    server = raw(healthy, path=str(path))
    report = gate(targets=f"- {{url: 'http://app.example/ready', connect-to: 'unix:{path}', expect-body: ok}}")
    assert report.outputs["verdict"] == "pass"
    assert server.requests[0].startswith(b"GET /ready HTTP/1.1\r\nHost: app.example\r\n")


def test_connect_to_a_unix_socket_that_is_not_there_fails(gate: Gate, tmp_path: Path) -> None:
    report = gate(targets=f"- {{url: 'http://app/', connect-to: 'unix:{tmp_path}/no.sock'}}", timeout="1s")
    assert report.outputs["verdict"] == "fail"
    assert "no.sock refused the connection" in str(report.outputs["reason"])
