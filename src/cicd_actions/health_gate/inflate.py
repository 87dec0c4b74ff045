"""Unfolds one layer of gzip or deflate, piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cicd_actions.health_gate.observation import Trouble

PIECE = 64 * 1024
"""Bytes that are unfolded at a time."""


class Layer:
    """One coding."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start: bytes | None = b""
        """The first bytes of a deflate: two tell a zlib header from data without one."""
        self._inflater: zlib._Decompress = zlib.decompressobj(47)  # a gzip or a zlib header, whichever comes
        self._fed = False
        self._over = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yields what `data` unfolds to, at most `PIECE` bytes at a time."""
        while data and not self._over:
            self._fed = True
            yield self._inflate(data)
            if self._inflater.eof:
                data = self._inflater.unused_data
                self._next_member(data)
            else:
                data = self._inflater.unconsumed_tail

    def _inflate(self, data: bytes) -> bytes:
        start = self._start
        if start is not None:
            self._start = start + data if len(start + data) < 2 else None
        try:
            return self._inflater.decompress(data, PIECE)
        except zlib.error as first:
            if self._name == "deflate" and start is not None:
                # Some servers send deflate without zlib's header (RFC 9110, section 8.4.1.2, note).
                self._inflater = zlib.decompressobj(-15)
                try:
                    return self._inflater.decompress(start + data, PIECE)
                except zlib.error:
                    pass
            raise Trouble("garbage", "coding", f"the answer claims to be {self._name} and is not ({first})") from None

    def _next_member(self, data: bytes) -> None:
        """A gzip may have several members (RFC 1952, section 2.2); what follows and is not one is padding, as for `gzip`."""
        if self._name == "gzip" and data.startswith(b"\x1f"):
            self._inflater, self._fed = zlib.decompressobj(31), False
        elif data or self._name == "deflate":
            self._over = True

    def end(self) -> None:
        if self._fed and not self._over and not self._inflater.eof:
            raise Trouble("closed", "cut", f"the {self._name} coding of the answer ends in the middle")
