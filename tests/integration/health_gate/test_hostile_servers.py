"""Servers that mean harm, or are badly broken: the gate ends in time, in little memory, and nothing of theirs acts."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Send = Callable[[socket.socket], None]

TIMEOUT = 1.5
MEMORY = 100 * 1024 * 1024

BOMBS: dict[str, bytes] = {}
"""By encoding. They are made when the first test runs: each worker collects this file, and one runs it."""

WIDE = b"[" + b"{}," * 120_000 + b"1," * 320_000 + b"{}]"
DEEP = b"[" * 500_000 + b"]" * 500_000

_never = threading.Event()


@pytest.fixture(scope="module", autouse=True)
def bombs() -> None:
    BOMBS.update(gzip=gzip.compress(b"\0" * 100_000_000), deflate=zlib.compress(b"[" * 100_000_000))


def _pause(seconds: float) -> None:
    """What a slow server does between two pieces; nothing waits here."""
    _never.wait(seconds)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        _pause(0.2)


def drip_of_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"a")
        _pause(0.2)


def endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\nx\r\n" * 1000)


def million_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(1000):
        connection.sendall(b"".join(b"X-%d: y\r\n" % number for number in range(1000)))
    connection.sendall(b"\r\n")


def one_long_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x" * 65536)


def interim_flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


def gzip_bomb(connection: socket.socket) -> None:
    bomb = BOMBS["gzip"]
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)


def deflate_bomb(connection: socket.socket) -> None:
    bomb = BOMBS["deflate"]
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff SSH-2.0 what is this\r\n\r\n::error::no\r\n")


def silence(connection: socket.socket) -> None:
    _pause(30)


def closes_at_once(connection: socket.socket) -> None:
    connection.close()


def closes_mid_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def negative_length(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")


def deep_json(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DEEP) + DEEP)


def wide_json(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(WIDE) + WIDE)


def switches_protocols(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")


SERVERS: list[tuple[Send, str, str]] = [
    (drip, "timeout", "did not end"),
    (drip_of_headers, "timeout", "did not end"),
    (endless_body, "json", "more than 1024 KiB"),
    (endless_chunks, "timeout", "did not end"),
    (million_headers, "garbage", "headers of the answer are longer"),
    (one_long_header, "garbage", "headers of the answer are longer"),
    (interim_flood, "garbage", "interim answers"),
    (gzip_bomb, "json", "more than 1024 KiB"),
    (deflate_bomb, "json", "more than 1024 KiB"),
    (garbage, "garbage", "not HTTP"),
    (silence, "timeout", "did not answer"),
    (closes_at_once, "closed", "closed the connection without an answer"),
    (closes_mid_body, "closed", "closed the connection within the answer"),
    (resets, "reset", "reset"),
    (negative_length, "garbage", "not HTTP"),
    (deep_json, "json", "nested too deep"),
    (wide_json, "json", "nothing is at"),
    (switches_protocols, "garbage", "another protocol"),
]


@pytest.mark.parametrize(("server", "kind", "said"), SERVERS, ids=[server.__name__ for server, _, _ in SERVERS])
def test_the_gate_ends_in_time_and_in_little_memory(
    server: Send, kind: str, said: str, raw: Any, command_line: Any, tmp_path: Path
) -> None:
    started = raw(server)
    ran = command_line(
        "--url", started.url, "--expect-json", "$.status == 1", "--timeout", f"{TIMEOUT}s", "--request-timeout", "600ms",
        "--report", "report.json",
    )  # fmt: skip
    assert ran.code == 1, ran.stdout
    # A busy machine may see other ends of such a connection as well.
    answers = json.loads((tmp_path / "report.json").read_text("utf-8"))["targets"][0]["answers"]
    assert any(answer["kind"] == kind and said in answer["came"] for answer in answers), answers
    assert int(ran.outputs["elapsed-ms"]) <= (TIMEOUT + 1) * 1000
    assert ran.memory <= MEMORY


def test_hundreds_of_hostile_servers_at_once_fit_into_the_same_memory(raw: Any, command_line: Any, tmp_path: Any) -> None:
    def nearly_a_mebibyte(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)
        _pause(30)

    servers = [raw(nearly_a_mebibyte), raw(endless_body), raw(drip)]
    urls = "\n".join(f"{servers[number % 3].url}{number}" for number in range(300))
    ran = command_line("--url", urls, "--expect-body", "never there", "--timeout", "3s", "--request-timeout", "1s")
    assert ran.code == 1
    assert ran.memory <= MEMORY
    assert int(ran.outputs["elapsed-ms"]) <= 4000


BODY = b"""::error::from the body
  ::add-mask::200
##[error]old
::set-output name=verdict::pass
%0A::stop-commands::x
\x1b[31mred\x1b[0m \xe2\x80\xae reversed
| table | <img src=x onerror=alert(1)> [link](https://evil.example) `code`
"""


def test_no_text_from_outside_acts(raw: Any, command_line: Any) -> None:
    def answers(connection: socket.socket) -> None:
        head = b"HTTP/1.1 302 ::error::reason\r\nLocation: https://x/::add-mask::y\r\nX-Version: ::error::v1 \x1b[1m\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)

    ran = command_line(
        "--url", raw(answers).url, "--version-from", "header:X-Version", "--expect-version", "v2", "--timeout", "1s",
        "--report", "out/report.json",
    )  # fmt: skip
    assert ran.code == 1
    commands = [line for line in ran.stdout.splitlines() if re.match(r"\s*::", line)]
    # One annotation, of ours; what came from outside is one line inside of it.
    assert [line.split(" ")[0] for line in commands] == ["::error"]
    assert "title=health-gate/status" in commands[0]
    # The old syntax acts anywhere in a line, unless the line is a command of the new one.
    assert not any("##[" in line for line in ran.stdout.splitlines() if line not in commands)
    for text in (ran.stdout, ran.summary, "\n".join(ran.outputs.values())):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<img" not in ran.summary.replace("```", "")[: ran.summary.index("```")]
    assert "[link](" not in re.sub(r"```.*?```", "", ran.summary, flags=re.DOTALL)
    assert ran.outputs["verdict"] == "fail"
    assert set(ran.outputs) == {
        "verdict", "healthy", "observed-version", "attempts", "elapsed-ms", "failed-targets", "reason", "report"
    }  # fmt: skip


TOKEN = "hV3kQ9xT7mZ2pL8wR4nB6cJ1"
"""Of a test: no server knows it."""

ECHOES = {
    "body": (b"x" * 180 + b"%s", b"", "expect-status: '201'"),
    "header": (b"", b"X-Echo: " + b"x" * 180 + b"%s\r\n", "expect-header: X-Echo == other"),
    "redirect": (b"", b"Location: /" + b"x" * 180 + b"%s\r\n", "expect-status: '200'"),
    "json": (b'{"a": "' + b"x" * 180 + b'%s"}', b"", "expect-json: $.a == 1"),
    "version": (b"", b"X-Version: %s\r\n", "{expect-version: other, version-from: 'header:X-Version'}"),
    "long version": (b"", b"X-Version: " + b"x" * 50 + b"%s\r\n", "{expect-version: other, version-from: 'header:X-Version'}"),
}


@pytest.mark.parametrize("place", ECHOES)
def test_no_part_of_a_secret_that_is_sent_back_is_shown_where_an_answer_is_cut(
    place: str, raw: Any, command_line: Any, tmp_path: Path
) -> None:
    body, header, expectation = ECHOES[place]
    body, header = (part.replace(b"%s", b"Bearer " + TOKEN.encode() + b"y" * 900) for part in (body, header))
    if place == "version":
        header = header.replace(b"Bearer ", b"")
    status = b"302 Found" if place == "redirect" else b"200 OK"

    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(body)) + header + b"\r\n" + body)

    key = expectation.strip("{}").replace(", ", "\n  ")
    targets = f"- url: {raw(answers).url}\n  headers: 'Authorization: Bearer $TOKEN'\n  {key}\n"
    ran = command_line("--targets", targets, "--timeout", "2s", "--report", "report.json", TOKEN=TOKEN)
    assert ran.code == 1, ran.stdout
    everything = "\n".join([ran.stdout, ran.summary, *ran.outputs.values(), (tmp_path / "report.json").read_text("utf-8")])
    assert "***" in everything
    assert TOKEN[:6] not in everything


@pytest.mark.parametrize("status", [b"307 Temporary Redirect", b"308 Permanent Redirect"])
def test_a_body_is_not_sent_to_another_origin(status: bytes, raw: Any, command_line: Any) -> None:
    thief = raw(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))

    def answers(connection: socket.socket) -> None:
        head = b"HTTP/1.1 %s\r\nLocation: %s\r\n" % (status, thief.url.encode())
        connection.sendall(head + b"Content-Length: 0\r\n\r\n")

    here = raw(answers)
    targets = f"- url: {here.url}\n  method: POST\n  body: token=$TOKEN\n  allow-redirects: true\n"
    ran = command_line("--targets", targets, "--timeout", "2s", TOKEN=TOKEN)
    assert ran.code == 1
    assert "would send the body to another origin" in ran.stdout
    assert any(TOKEN.encode() in request for request in here.requests)
    assert thief.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"])
def test_a_redirect_does_not_lead_to_the_machines_own_credentials(host: str, raw: Any, command_line: Any) -> None:
    def answers(connection: socket.socket) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://%s/latest/meta-data/\r\n" % host.encode()
        connection.sendall(head + b"Content-Length: 0\r\n\r\n")

    ran = command_line("--url", raw(answers).url, "--allow-redirects", "true", "--timeout", "2s")
    assert ran.code == 1
    assert "where a cloud tells a machine its credentials" in ran.stdout


def test_the_json_object_cannot_act_as_a_command_of_the_old_syntax(raw: Any, command_line: Any) -> None:
    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)

    ran = command_line("--url", raw(answers).url, "--timeout", "2s", "--json")
    assert "##[" not in ran.stdout
    assert "##[error]old" in json.loads(ran.stdout)["findings"][0]["message"]


def test_a_regular_expression_that_backtracks_for_ever_is_interrupted(raw: Any, command_line: Any) -> None:
    body = b"a" * 5000 + b"!"

    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    ran = command_line("--url", raw(answers).url, "--expect-body", "^(a+)+$", "--timeout", "5s")
    assert ran.code == 3
    assert "could not decide within" in ran.stdout
    assert int(ran.outputs["elapsed-ms"]) <= 6000


def test_a_hundred_such_targets_still_end_at_the_deadline(raw: Any, command_line: Any) -> None:
    body = b"a" * 5000 + b"!"

    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = raw(answers)
    urls = "\n".join(f"{server.url}{number}" for number in range(100))
    ran = command_line("--url", urls, "--expect-body", "^(a+)+$", "--timeout", "1s")
    assert ran.code in {1, 3}
    assert int(ran.outputs["elapsed-ms"]) <= 2000


@pytest.mark.parametrize("follows", ["true", "false"])
def test_redirect_loops_end(raw: Any, command_line: Any, follows: str) -> None:
    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    ran = command_line("--url", raw(answers).url, "--allow-redirects", follows, "--timeout", "1s")
    assert ran.code == 1
    assert ("loop" if follows == "true" else "a redirect to /again") in ran.stdout


def test_redirects_without_end_end(raw: Any, command_line: Any) -> None:
    count = iter(range(10**6))

    def answers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n" % next(count))

    ran = command_line("--url", raw(answers).url, "--allow-redirects", "true", "--timeout", "1s")
    assert ran.code == 1
    assert "more than 10 redirects" in ran.stdout
