"""Heads of answers, made strict for h11. What curl and httpx make of them is compared in the differential suite."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.health_gate import head
from cicd_actions.health_gate.observation import Trouble

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"\r\n", b"\n", b"X-A", b":", b" ", b"\t", b"Transfer-Encoding: ", b"chunked", b",", b"gzip",
        b"Content-Length: 1", b"\0", b"\xff", b"\r",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25))
@example([b"X-A", b":", b"\r\n", b" ", b"\0"])
def test_strict_any_head_is_taken_by_h11_or_is_garbage(pieces: list[bytes]) -> None:
    try:
        found = head.split(bytearray(b"HTTP/1.1 200 OK\r\n" + b"".join(pieces) + b"\r\n\r\n"), 0)
        assert found is not None
        lines = head.strict(found[0]).lines
    except Trouble as trouble:
        assert trouble.kind == "garbage"  # noqa: PT017 - the other way out is as good
        return
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    parser.receive_data(lines)
    try:
        assert isinstance(parser.next_event(), h11.Response)
    except h11.RemoteProtocolError as error:
        assert "Content-Length" in str(error)  # noqa: PT017 - two lengths that differ stay as they came


@given(st.binary(max_size=40), st.integers(1, 5))
def test_split_finds_the_end_however_the_bytes_arrive(rest: bytes, size: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
    data, searched, found = bytearray(), 0, None
    for at in range(0, len(raw + rest), size):
        data += (raw + rest)[at : at + size]
        found = head.split(data, searched)
        searched = len(data)
        if found:
            break
    assert found is not None
    assert found[0] == raw
    assert rest.startswith(found[1])


@pytest.mark.parametrize("data", [b"S", b"SSH-2.0", b"HTTX", b"<html>", b"\r\n"])
def test_split_what_does_not_begin_like_http_is_garbage_at_once(data: bytes) -> None:
    with pytest.raises(Trouble, match="is not HTTP"):
        head.split(bytearray(data), 0)


def test_strict_names_the_transfer_codings_besides_chunked() -> None:
    found = head.strict(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, gzip\r\nTransfer-Encoding : chunked\r\n\r\n")
    assert found.codings == "gzip"
    assert found.lines == b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"


def test_split_server_that_speaks_http_2_only_is_named() -> None:
    settings = b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0d\0\4\0@\0\0\0\6\0\0 \0"
    with pytest.raises(Trouble, match="HTTP/2 only") as caught:
        head.split(bytearray(settings), 0)
    assert caught.value.kind == "http-2"
