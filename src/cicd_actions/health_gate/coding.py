"""Undoes gzip and deflate in bounds: a bomb of a few kilobytes must not become gigabytes.

The gate asks for `identity`; some servers compress all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_actions.health_gate.observation import Trouble

if TYPE_CHECKING:
    import zlib


class Decoder:
    """For one body, by its `Content-Encoding`. `unknown` names a coding that cannot be undone, as it was said."""

    def __init__(self, content_encoding: str) -> None:
        coding = content_encoding.strip().lower()
        self.unknown = ""
        self._coding = coding
        self._fed = False
        self._start = b""
        self._inflater: zlib._Decompress | None = None
        if coding in {"gzip", "x-gzip", "deflate"}:
            import zlib  # noqa: PLC0415 - nearly no answer needs it

            # 47: a gzip or a zlib header, whichever comes.
            self._inflater = zlib.decompressobj(47)
        elif coding not in {"", "identity"}:
            self.unknown = content_encoding

    def decode(self, data: bytes, room: int) -> bytes:
        """At most `room` bytes of what `data` unfolds to. Raises `Trouble` when it is not what it says."""
        if self._inflater is None:
            return data[:room]
        import zlib  # noqa: PLC0415 - see above

        # Two bytes tell a zlib header from data that has none, and they may come one by one.
        start, self._start = self._start, (self._start + data)[:2]
        self._fed = True
        try:
            return self._inflater.decompress(data, max(room, 1))
        except zlib.error as first:
            if self._coding == "deflate" and len(start) < 2:
                # Some servers send deflate without zlib's header (RFC 9110, section 8.4.1.2, note).
                raw = zlib.decompressobj(-15)
                try:
                    out = raw.decompress(start + data, max(room, 1))
                except zlib.error:
                    raise self._broken(first) from None
                self._inflater, self._coding = raw, "raw deflate"
                return out
            raise self._broken(first) from None

    def end(self) -> None:
        """The body is over. Raises `Trouble` when the coding was not."""
        if self._inflater is not None and self._fed and not self._inflater.eof:
            raise Trouble("closed", "cut", f"the answer's {self._coding} coding ends in the middle")

    def _broken(self, error: Exception) -> Trouble:
        return Trouble("garbage", "coding", f"the answer says it is {self._coding}, and it is not ({error})")
