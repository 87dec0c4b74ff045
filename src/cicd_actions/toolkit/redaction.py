"""Keeps secrets out of everything that is written: logs, summaries, outputs, files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator

MASK = "***"
SHORTEST = 6
"""Shorter values are left alone: to mask `1` or `true` would make every text unreadable and hide nothing."""

CUT = "…"
"""What stands where a text was cut: the beginning of a secret in front of it is masked as the whole is."""

_WIDTHS = (64, 76)
"""Letters of a line of base64 in PEM (RFC 7468) and in MIME (RFC 2045), which is coreutils' too."""

_SHORT = 100
"""Characters of what may be a password; longer are keys and documents."""


def _values(secret: str) -> set[str]:
    """The secret and its lines, as far as they are masked."""
    found = {secret, secret.strip(), *secret.splitlines(), *(line.strip() for line in secret.splitlines())}
    return {value for value in found if len(value) >= SHORTEST}


def literals(secret: str) -> set[str]:
    """The secret raw, line by line, and in base64: at each of its three alignments, in both alphabets, in broken lines."""
    found: set[str] = set()
    for value in _values(secret):
        raw = value.encode("utf-8", "surrogateescape")
        encoded = base64.b64encode(raw).decode()
        letters = {encoded}
        for shift in range(3):
            # base64 packs 3 bytes into 4 letters, so a secret inside a longer text has three spellings. Only letters
            # made of the secret's own bits are kept: what stands before and after may be anything.
            body = base64.b64encode(b"\0" * shift + raw).decode()
            first = (0, 2, 3)[shift]
            letters.add(body[first : len(body.rstrip("=")) - (1 if (shift + len(raw)) % 3 else 0)])
        for width in _WIDTHS:
            letters |= {encoded[at : at + width] for at in range(0, len(encoded), width)}
        found |= {value, *letters, *(each.replace("+", "-").replace("/", "_") for each in letters)}
    return {literal for literal in found if len(literal) >= SHORTEST}


def escaped(secret: str) -> set[tuple[str, str]]:
    """Patterns of the secret and its lines in the escapes of URLs, JSON and HTML: their first letter, and the rest.

    Each program escapes other characters, and in digits of either case: Go writes `\\u0026` where Python leaves a `&`,
    JavaScript leaves a `(` where Python writes `%28`.
    """
    found: set[tuple[str, str]] = set()
    for whole in _values(secret):
        # What begins a long text with its signs is no secret, and each way to write the first one is a pattern of its own.
        value = whole if len(whole) <= _SHORT else whole.lstrip("-{[(\"' \t\n\r")
        if value and not (value.isalnum() and value.isascii()):
            rest = "".join(_any_of(_spellings(char)) for char in value[1:])
            found |= {(first, more + rest) for first, more in _spellings(value[0])}
    return found


def _any_of(spellings: list[tuple[str, str]]) -> str:
    texts = [re.escape(first) + more for first, more in spellings]
    return texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})"


def _spellings(char: str) -> list[tuple[str, str]]:
    if char.isascii() and char.isalnum():
        return [(char, "")]
    import html  # noqa: PLC0415 - an import is start-up time, and only what is secret needs it

    units = char.encode("utf-16-be", "surrogatepass").hex()
    hexadecimal = {
        "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogateescape")),
        "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4)),
        f"&#x{ord(char):x};",
    }
    plain = {char, json.dumps(char)[1:-1], html.escape(char), f"&#{ord(char)};"}
    plain |= {"\\/"} if char == "/" else {"+"} if char == " " else set()
    plain.discard("\\")
    found = {("\\", r"(?!\\)")} if char == "\\" else set()  # not before another: a run of them has one reading only
    found |= {(each[0], f"(?i:{re.escape(each[1:])})") for each in hexadecimal}
    return sorted(found | {(each[0], re.escape(each[1:])) for each in plain}, key=lambda each: len(each[1]), reverse=True)


class Redactor:
    """Replaces every known secret, in all its forms, by `***`."""

    def __init__(self) -> None:
        self._literals: set[str] = set()
        self._escaped: set[tuple[str, str]] = set()
        self._patterns: tuple[re.Pattern[str], re.Pattern[str]] | None = None
        self._by_head: dict[str, list[str]] = {}
        self._longest = 0

    def add(self, secret: str) -> None:
        """Remember a secret. Values shorter than 6 characters are not masked."""
        new = literals(secret)
        if not new <= self._literals:
            self._literals |= new
            self._escaped |= escaped(secret)
            self._patterns = None  # made when it is needed: a file of a hundred secrets would make it a hundred times

    def __call__(self, text: str) -> str:
        if not self._literals:
            return text
        whole, head = self._patterns or self._compiled()
        text = whole.sub(MASK, text)
        return "".join(self._without_beginnings(text, head)) if CUT in text else text

    def _compiled(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        # By their first letters, because `re` tries one alternative after the other at each letter of the text.
        by_first: dict[str, list[str]] = {}
        for first, rest in {*((each[0], re.escape(each[1:])) for each in self._literals), *self._escaped}:
            by_first.setdefault(first, []).append(rest)
        # Longest first: an alternative that is the beginning of another must not win over it.
        groups = {first: "|".join(sorted(rests, key=len, reverse=True)) for first, rests in by_first.items()}
        whole = "|".join(f"{re.escape(first)}(?:{rests})" for first, rests in groups.items())
        self._by_head = {}
        for literal in self._literals:
            self._by_head.setdefault(literal[:SHORTEST], []).append(literal)
        self._longest = max(map(len, self._literals))
        self._patterns = re.compile(whole), re.compile("|".join(map(re.escape, self._by_head)))
        return self._patterns

    def _without_beginnings(self, text: str, head: re.Pattern[str]) -> Iterator[str]:
        """The text in pieces, `***` in place of what a secret begins with where the text was cut within it."""
        done = 0
        for match in head.finditer(text):
            at = match.start()
            end = text.find(CUT, at, at + self._longest)
            if at >= done and end >= 0 and any(literal.startswith(text[at:end]) for literal in self._by_head[match[0]]):
                yield text[done:at]
                yield MASK
                done = end
        yield text[done:]
