"""The answer to a request, and its body as text. It imports nothing that a reader of inputs has to wait for."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

SMALL_BODY = 64 * 1024
LARGE_BODY = 1024 * 1024

_BOMS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)

_SAY_HIT = ("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status")
_HIT = re.compile(r"(?<![a-z])(?:hit(?!-for)|stale|updating)(?![a-z])", re.IGNORECASE)
"""`HIT-FOR-PASS` and `HIT-FOR-MISS` remember that an answer must not be stored."""

_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
"""Codecs of Python that no answer can mean, by their Python names. Some take quadratic time."""


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """One answer. `body` has its content coding undone and is cut at the cap when `cut`.

    `coding` names a content coding that could not be undone.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    cut: bool = False
    coding: str = ""

    def header(self, name: str) -> str | None:
        """Returns the header's value, several joined by commas (RFC 9110, section 5.3); `None` without the header."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def age(self) -> int:
        """Returns the seconds for which caches have stored the answer (RFC 9111, section 5.1); 0 for the service's own."""
        found = re.match(r"[0-9]{1,20}", self.header("age") or "")
        return int(found[0]) if found else 0

    @property
    def stored_at_any_time(self) -> bool:
        """Tells whether a cache says that it had the answer, without an `Age`.

        RFC 9211 has the parameter `hit`; caches that write no `Age` (nginx) are set up to name the hit in a header of theirs.
        """
        if self.header("age") is not None:
            return False
        said = re.sub(r'"(?:\\.|[^"\\])*"', "", self.header("cache-status") or "")
        return bool(re.search(r";[ \t]*hit\b", said)) or any(_HIT.search(self.header(name) or "") for name in _SAY_HIT)

    @property
    def charset(self) -> str:
        """Returns the codec of the body: by its byte order mark, else the declared charset, else empty."""
        marked = next((codec for mark, codec in _BOMS if self.body.startswith(mark)), "")
        return marked or _declared(self.header("content-type") or "")

    @property
    def text(self) -> str:
        """Returns the body as text: UTF-8 without a charset, garbage as U+FFFD, CRLF as LF."""
        return self.body.decode(self.charset or "utf-8", "replace").replace("\r\n", "\n")


def _declared(content_type: str) -> str:
    found = re.search(r""";[ \t]*charset[ \t]*=[ \t]*["']?([0-9A-Za-z._:-]{1,40})""", content_type, re.IGNORECASE)
    if not found:
        return ""

    try:
        codec = codecs.lookup(found[1])
        b" ".decode(codec.name, "replace")  # refuses codecs that give no text, such as `zip`
    except (LookupError, UnicodeError):
        return ""
    return "" if codec.name.replace("-", "_") in _NOT_CHARSETS else codec.name
