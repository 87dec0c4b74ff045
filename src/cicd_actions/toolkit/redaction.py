"""Keeps secrets out of everything that is written: logs, summaries, outputs, files."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 6
"""Shorter values are left alone: to mask `1` or `true` would make every text unreadable and hide nothing."""


def forms(secret: str) -> set[str]:
    """The spellings in which a secret travels: raw, line by line, URL, JSON and base64 at each of its three alignments."""
    found: set[str] = set()
    for value in {secret, secret.strip(), *secret.splitlines(), *(line.strip() for line in secret.splitlines())}:
        if len(value) < SHORTEST:
            continue
        found |= {value, quote(value, safe=""), quote(value), quote_plus(value)}
        found |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        raw = value.encode("utf-8", "surrogateescape")
        for shift in range(3):
            # base64 packs 3 bytes into 4 letters, so a secret inside a longer text has three spellings. Only letters
            # made of the secret's own bits are kept: what stands before and after may be anything.
            body = base64.b64encode(b"\0" * shift + raw).decode()
            first = (0, 2, 3)[shift]
            end = len(body.rstrip("=")) - (1 if (shift + len(raw)) % 3 else 0)
            found |= {body[first:end], body[first:end].replace("+", "-").replace("/", "_")}
            if shift == 0:
                found |= {body, body.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= SHORTEST}


class Redactor:
    """Replaces every known secret, in all its forms, by `***`."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """Remember a secret. Values shorter than 6 characters are not masked."""
        new = forms(secret) - self._forms
        if new:
            self._forms |= new
            # Longest first: an alternative that is the beginning of another must not win over it.
            ordered = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text
