"""Makes the head of an answer as strict as h11 wants it, where curl and browsers are lenient and no one can be misled.

What can be understood in two ways stays as it came, and h11 refuses it: lengths that differ, a NUL, `chunked` that is not last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.health_gate.observation import Trouble

LONGEST = 64 * 1024
"""Bytes that a status line and headers may have. Servers allow 8 to 32 KiB."""

_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/(1\.[0-9]|2(?:\.0)?) +([0-9]{3})(?![0-9A-Za-z])[^\0]*\Z")
_NAME = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(rb"[\r\x0b\x0c]")
_SETTINGS = re.compile(rb"\0..\x04\0{5}", re.DOTALL)
"""The frame with which every server begins HTTP/2 (RFC 9113, section 3.4): its length, type 4, no flags, stream 0."""


@dataclass(frozen=True, eq=False, repr=False)
class Head:
    """The lines for h11, and the transfer codings besides `chunked`, in the order in which they were applied."""

    lines: bytes
    codings: str


def split(data: bytearray, searched: int) -> tuple[bytes, bytes] | None:
    """Returns the head and what follows it, or `None` while the head is incomplete. Raises `Trouble` when it cannot become one.

    `searched` is the length of the data in the call before.
    """
    if data[:5] != b"HTTP/"[: len(data)]:
        if _SETTINGS.match(data):
            raise Trouble("http-2", "HTTP/2", "the server speaks HTTP/2 only, and the gate speaks HTTP/1.1")
        raise garbage(f"it begins with {bytes(data[:20])!r}")
    end = _END.search(data, max(0, searched - 3))
    if (end.end() if end else len(data)) > LONGEST:
        raise Trouble("garbage", "headers", f"the headers of the answer are longer than {LONGEST // 1024} KiB")
    return (bytes(data[: end.end()]), bytes(data[end.end() :])) if end else None


def strict(head: bytes) -> Head:
    """Returns the head for h11. Raises `Trouble` for a status line that is not one."""
    first, *lines = head.rstrip(b"\r\n").split(b"\n")
    status = _STATUS.match(first)
    if not status:
        raise garbage(f"the status line is {first.rstrip()[:60]!r}")
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if b"\0" in line:
            raise garbage(f"a header line is {line.rstrip()[:60]!r}")
        if line[:1] in {b" ", b"\t"} and fields:  # a folded line (RFC 9112, section 5.2)
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip()))
            continue
        name, colon, value = line.partition(b":")
        if not colon or line[:1] in {b" ", b"\t"}:
            raise garbage(f"a header line is {line.rstrip()[:60]!r}")
        # RFC 9112, section 5.1, tells a proxy to remove a space before the colon.
        fields.append((name.rstrip(b" \t"), value.strip()))
    fields = [(name, _CONTROLS.sub(b" ", value).strip()) for name, value in fields if _NAME.fullmatch(name)]
    fields, codings = _without_codings(fields)
    # A server that writes another version frames its answer as one of 1.1. Nothing reads the reason phrase.
    version = b"1.0" if status[1] == b"1.0" else b"1.1"
    made = [b"HTTP/%s %s \r\n" % (version, status[2]), *(b"%s: %s\r\n" % each for each in fields), b"\r\n"]
    return Head(b"".join(made), codings)


def _without_codings(fields: list[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], str]:
    """Returns the fields without transfer codings other than `chunked`, which h11 does not know, and these codings.

    Without `chunked` such a body ends with the connection, whatever length is given (RFC 9112, section 6.3).
    """
    named = b",".join(value for name, value in fields if name.lower() == b"transfer-encoding").lower()
    codings = [coding for each in named.split(b",") if (coding := each.strip()) not in {b"", b"identity"}]
    kept = [each for each in fields if each[0].lower() != b"transfer-encoding"]
    if b"chunked" in codings:
        if codings.index(b"chunked") != len(codings) - 1:
            raise garbage(f"its Transfer-Encoding is {named[:60]!r}, where chunked must come once and last")
        codings.pop()
        kept.append((b"Transfer-Encoding", b"chunked"))
    elif codings:
        kept = [each for each in kept if each[0].lower() != b"content-length"]
    if not {b"gzip", b"x-gzip", b"deflate"}.issuperset(codings):
        raise garbage(f"its Transfer-Encoding is {named[:60]!r}, which the gate did not ask for")
    return kept, ",".join(coding.decode("latin-1") for coding in codings)


def garbage(problem: str) -> Trouble:
    """Returns the trouble of an answer that is not HTTP."""
    return Trouble("garbage", "garbage", f"the answer is not HTTP: {problem}")
