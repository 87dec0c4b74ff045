"""Undoes gzip and deflate in bounds: a bomb of a few kilobytes must not become gigabytes.

The gate asks for `identity`; some servers compress anyway.
"""

from __future__ import annotations

import re

from cicd_actions.health_gate import inflate
from cicd_actions.health_gate.observation import Trouble

MOST_CODINGS = 5
"""Layers of coding that are undone, as many as in curl (`MAX_ENCODE_STACK`)."""

MOST_UNFOLDED = 16 * 1024 * 1024
"""Bytes that all layers may make together: a bomb inside a bomb costs time although nothing of it comes out."""

_PLAIN = {"", "identity", "none", "binary", "8bit", "utf-8", "utf8", "us-ascii", "iso-8859-1"}
"""What servers write for "no coding". Some write the charset here; httpx and browsers then read the body as it is."""


class Decoder:
    """Undoes the codings of one body. `names` is the value of `Content-Encoding`, in the order in which they were applied.

    `unknown` is that value when one of them cannot be undone: the body then comes out as it came in.
    """

    def __init__(self, names: str) -> None:
        codings = [name for each in names.split(",") if (name := each.strip().lower()) not in _PLAIN]
        known = len(codings) <= MOST_CODINGS and all(re.fullmatch(r"(x-)?gzip|deflate", name) for name in codings)
        self.unknown = "" if known else names
        self._unfolded = 0
        self._layers = [inflate.Layer(name.removeprefix("x-")) for name in reversed(codings)] if known else []

    def decode(self, data: bytes, room: int) -> bytes:
        """Returns at most `room` bytes of what `data` unfolds to. Raises `Trouble` when it is not what it claims to be.

        What there is no room for is lost: the caller has its cap, and asks no further.
        """
        return self._through(0, data, max(room, 1))[:room]

    def _through(self, depth: int, data: bytes, room: int) -> bytes:
        if depth == len(self._layers):
            return data
        out = bytearray()
        for piece in self._layers[depth].pieces(data):
            self._unfolded += len(piece)
            if self._unfolded > MOST_UNFOLDED:
                raise Trouble("garbage", "coding", f"the answer unfolds to more than {MOST_UNFOLDED // 1024**2} MiB")
            out += self._through(depth + 1, piece, room - len(out))
            if len(out) >= room:
                break
        return bytes(out)

    def end(self) -> None:
        """Takes note that the body is complete. Raises `Trouble` when a coding is not."""
        for layer in self._layers:
            layer.end()
