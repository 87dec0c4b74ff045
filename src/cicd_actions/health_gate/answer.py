"""What came back for a request. It imports nothing that a reader of inputs has to wait for."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_BODY = 64 * 1024
LARGE_BODY = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is decoded, and cut at the cap when `cut`; `coding` is a content coding that was not decoded."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    cut: bool = False
    coding: str = ""

    def header(self, name: str) -> str | None:
        """The header's value, several joined by commas (RFC 9110, section 5.3); `None` when there is none."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")
