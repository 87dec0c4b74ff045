"""Keeps secrets out of everything that is written: logs, summaries, outputs, files.

A text is searched as it stands, and again with its escapes undone (JSON, URLs, HTML, doubled quotes), one layer after the
other: a secret in JSON within JSON is found as one in plain text is. What is found in a layer is masked in the text.
"""

from __future__ import annotations

import binascii
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

MASK = "***"
SHORTEST = 6
"""Shorter values are left alone: to mask `1` or `true` would make every text unreadable and hide nothing."""

CUT = "…"
"""Our mark of a cut. At a cut, the beginning or the end of a secret is masked as the whole is."""

_CUTS = r"…|\.\.\."
"""Programs cut too: pydantic prints the first 25 and the last 24 characters of an `input_value`, with `...` between."""

_LAYERS = 24
"""Layers of a text that are searched: a text with three kinds of escapes has 23 down to the third depth."""

_WIDEST = 12
"""Characters that one character of a secret can take: `\\\\\\\\u00e9` (JSON in JSON in JSON), `%25C3%25A9` (a URL in a URL)."""

_LONGEST_REACH = 256 * 1024

_EDGE = 8
"""Letters at the edge of a line that are enough to tell the encoding of a secret from other text: 48 bits of base64."""

_PARAMETER = r"(?i)[?&; ][a-z_.-]{0,40}(?:pass|pwd|secret|token|key|credential|signature)[a-z_.-]{0,40}=([^&;\s#]+)"
_USER_ALONE = 16
"""Characters of a URL's user without a password that are taken for a key (`https://KEY@sentry.example/1`)."""


class Redactor:
    """Replaces every known secret, in all its forms, by `***`."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._search: _Search | None = None

    def add(self, secret: str) -> None:
        """Remembers a secret, its lines, and the passwords of URLs in it. Values of less than 6 characters are not masked."""
        new = _values(secret)
        if not new <= self._values:
            self._values |= new
            self._search = None  # made when it is needed: a file of a hundred secrets would make it a hundred times

    def __call__(self, text: str) -> str:
        """Returns the text with `***` in place of each secret."""
        out: list[str] = []
        done = 0
        for start, end in self._found(text):
            out += [text[done:start], MASK]
            done = end
        return "".join([*out, text[done:]]) if out else text

    @property
    def values(self) -> frozenset[str]:
        """Returns the secrets, for a process that masks them as well."""
        return frozenset(self._values)

    @property
    def reach(self) -> int:
        """Characters that the longest secret can take in a text."""
        return min(_WIDEST * max(map(len, self._values), default=0), _LONGEST_REACH)

    def seam(self, text: str) -> int:
        """Returns where the beginning of a longer text can be cut without splitting a secret: not within its last `reach`."""
        seam = max(len(text) - self.reach, 0)
        for start, end in self._found(text):
            if start < seam < end:
                # The end may be the beginning of a longer secret, so the cut is before the secret where it can be.
                return start or end
        return seam

    def _found(self, text: str) -> list[tuple[int, int]]:
        """The places of secrets, in order, none of them overlapping."""
        if not self._values:
            return []
        if self._search is None:
            self._search = _Search(self._values)
        found = self._search.places(text)
        for layer, source in _layers(text):
            found += [(source(start), source(end)) for start, end in self._search.places(layer)]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged


class _Search:
    """Finds values and their encodings in one layer of a text."""

    def __init__(self, values: Iterable[str]) -> None:
        values = set(values)
        encoded = {form for value in values for form in _encodings(value)}
        escaped = {form for value in values for form in _escaped(value)}
        literals = {_as_one_space(literal) for literal in values | encoded | escaped}
        self._whole = re.compile(_any_of(literals))
        self._longest = max(map(len, literals))
        self._heads: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        for literal in literals:
            self._heads.setdefault(literal[:SHORTEST], []).append(literal)
            self._tails.setdefault(literal[-SHORTEST:], []).append(literal)
        # Digits with separators are dumps, which have their own columns: they are found whole.
        self._letters = "\0".join(["", *sorted(form for form in encoded if not {":", " "} & {*form}), ""])

    # Most texts have neither a cut nor a line of base64.
    @cached_property
    def _head(self) -> re.Pattern[str]:
        return _overlapping(self._heads)

    @cached_property
    def _tail(self) -> re.Pattern[str]:
        return _overlapping(self._tails)

    @cached_property
    def _grams(self) -> frozenset[str]:
        return frozenset(self._letters[at : at + _EDGE] for at in range(len(self._letters) - _EDGE + 1))

    def places(self, text: str) -> list[tuple[int, int]]:
        """Returns start and end of each secret, and of each part of one beside a cut or at the edge of a line of base64."""
        plain = _as_one_space(text)
        found = [match.span() for match in self._whole.finditer(plain)]
        if CUT in text or "..." in text:
            found += self._beside_cuts(plain)
        at = 0
        for line in text.split("\n"):
            letters = line.rstrip(" \t\r\"',\\").rpartition(" ")[2].lstrip("\t\"'")
            if len(letters) >= _EDGE and self._known(letters):
                start = at + line.rindex(letters)
                found += self._at_edges(text, start, start + len(letters))
            at += len(line) + 1
        return found

    def _beside_cuts(self, text: str) -> Iterator[tuple[int, int]]:
        cuts = [match.span() for match in re.finditer(_CUTS, text)]
        before, after = [start for start, _ in cuts], [end for _, end in cuts]
        for match in self._head.finditer(text):
            at = bisect_right(before, match.end(1) - 1)
            if at < len(before) and before[at] - match.start() <= self._longest:
                part = _without_half_an_escape(text[match.start() : before[at]])
                if any(literal.startswith(part) for literal in self._heads[match[1]]):
                    yield match.start(), before[at]
        for match in self._tail.finditer(text):
            at = bisect_right(after, match.start()) - 1
            if at >= 0 and match.end(1) - after[at] <= self._longest:
                part = text[after[at] : match.end(1)]
                if any(literal.endswith(part) for literal in self._tails[match[1]]):
                    yield after[at], match.end(1)

    def _known(self, letters: str) -> bool:
        return letters[:_EDGE] in self._grams or letters[-_EDGE:] in self._grams

    def _at_edges(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Base64 that was broken into lines: what a line begins or ends with is a part of an encoded secret."""
        known = self._letters
        for at in _occurrences(known, text[start : start + _EDGE]):
            to, known_to = start + _EDGE, at + _EDGE
            while to < end and text[to] == known[known_to]:
                to, known_to = to + 1, known_to + 1
            if to == end or known[known_to] == "\0":
                yield start, to
                yield from _just_before(text, start, known[known.rfind("\0", 0, at) + 1 : at])
        for at in _occurrences(known, text[end - _EDGE : end]):
            since, known_since = end - _EDGE, at
            while since > start and text[since - 1] == known[known_since - 1]:
                since, known_since = since - 1, known_since - 1
            if since == start or known[known_since - 1] == "\0":
                yield since, end
                yield from _just_after(text, end, known[at + _EDGE : known.find("\0", at)])


_BREAK = 32
"""Characters between two lines of base64: the newline, an indent, a comment's or a log's mark."""


def _just_before(text: str, start: int, part: str) -> Iterator[tuple[int, int]]:
    """The letters of the secret at the end of the line before: a few are not found by themselves."""
    end = len(text[max(start - _BREAK, 0) : start].rstrip()) + max(start - _BREAK, 0)
    if part and text.endswith(part, 0, end):
        yield end - len(part), end


def _just_after(text: str, end: int, part: str) -> Iterator[tuple[int, int]]:
    start = end + len(text[end : end + _BREAK]) - len(text[end : end + _BREAK].lstrip())
    if part and text.startswith(part, start):
        yield start, start + len(part)


def _values(secret: str) -> set[str]:
    """The secret, its lines, and the passwords of URLs in it, as far as they are masked."""
    found = {secret, secret.strip(), *secret.splitlines(), *(line.strip() for line in secret.splitlines())}
    found |= {part for line in secret.splitlines() for part in _within(line)}
    return {value for value in found if len(value) >= SHORTEST}


def _within(line: str) -> Iterator[str]:
    """Passwords within a URL. What is not percent-encoded may hold `/` and `@`, so several readings are masked."""
    _, url, rest = line.partition("://")
    if not url:
        return
    users = {rest[: rest.find("@")], rest[: rest.rfind("@")], re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[0]}
    for user in users if "@" in rest else ():
        name, colon, password = user.partition(":")
        yield from _readings(password if colon else name if len(name) >= _USER_ALONE else "")
    for parameter in re.finditer(_PARAMETER, rest):
        yield from _readings(parameter[1])


def _readings(part: str) -> Iterator[str]:
    yield part
    if "%" in part:
        yield _undone(part, *_ESCAPES["%"])[0]


def _encodings(value: str) -> set[str]:
    """Base64 at each of its three alignments, in both alphabets, and hexadecimal digits in either case."""
    raw = value.encode("utf-8", "surrogateescape")
    letters = {_base64(raw)}
    for shift in range(3):
        # base64 packs 3 bytes into 4 letters, so a secret inside a longer text has three spellings. Only letters
        # made of the secret's own bits are kept: what stands before and after may be anything.
        body = _base64(b"\0" * shift + raw)
        first = (0, 2, 3)[shift]
        letters.add(body[first : len(body.rstrip("=")) - (1 if (shift + len(raw)) % 3 else 0)])
    letters |= {each.replace("+", "-").replace("/", "_") for each in letters}
    digits = {separator.join(f"{byte:02x}" for byte in raw) for separator in ("", ":", " ")}
    return {each for each in letters | digits | {each.upper() for each in digits} if len(each) >= SHORTEST}


def _escaped(value: str) -> set[str]:
    """Returns the value in JSON and in a URL, as whole words: a sign of escapes before one hides where its escapes begin."""
    raw = value.encode("utf-8", "surrogateescape")
    quoted = re.sub(rb"[^A-Za-z0-9_.~-]", lambda match: b"%%%02X" % match[0][0], raw).decode()
    return {quoted, quoted.replace("%20", "+"), *(json.dumps(value, ensure_ascii=each)[1:-1] for each in (True, False))}


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def _as_one_space(text: str) -> str:
    """Forms and queries write a space as `+`: both are one character here, in the text and in the secret."""
    return text.replace("+", " ") if "+" in text else text


def _any_of(literals: Iterable[str]) -> str:
    """A pattern of all of them. By their first letters, because `re` tries one alternative after the other."""
    by_first: dict[str, dict[str, list[str]]] = {}
    for literal in literals:
        by_first.setdefault(literal[0], {}).setdefault(literal[1], []).append(literal[2:])
    # Longest first: an alternative that is the beginning of another must not win over it.
    return "|".join(
        f"{re.escape(first)}(?:{'|'.join(re.escape(second) + _longest_first(rests) for second, rests in seconds.items())})"
        for first, seconds in by_first.items()
    )


def _overlapping(literals: Iterable[str]) -> re.Pattern[str]:
    return re.compile(f"(?=({_any_of(literals)}))")


def _longest_first(rests: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(rests, key=len, reverse=True)))})"


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = -1
    while (at := text.find(part, at + 1)) != -1:
        yield at


_HALF = 12
"""Characters of the longest half of an escape: eight backslashes, `u`, three digits."""

_HALF_AN_ESCAPE = r"(?:[\udc80-\udcff]{0,3}%[0-9A-Fa-f]?|[\udc80-\udcff]{1,3}|\\{1,8}(?:u[0-9a-f]{0,3})?|&#?[a-z0-9]{0,6})\Z"


def _without_half_an_escape(text: str) -> str:
    """The text without the beginning of an escape that a cut left at its end."""
    return text[: -len(half[0])] if (half := re.search(_HALF_AN_ESCAPE, text[-_HALF:])) and len(text) > len(half[0]) else text


Piece = tuple[str, int]
"""What a part of an escape stands for, and its length in the text."""


def _backslash(escape: str) -> list[Piece]:
    """JSON, JavaScript, Python, Go, YAML."""
    kind, digits = escape[1], escape[2:].strip("{}")
    if len(escape) == 12:
        text = bytes.fromhex(digits[:4] + digits[6:]).decode("utf-16-be")
    elif digits:
        code = int(digits, 16)
        text = chr(code) if code < 0x110000 else escape
    else:
        text = _CONTROLS.get(kind, kind)
    return [(text, len(escape))]


_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0", "e": "\x1b"}


def _percent(escapes: str) -> list[Piece]:
    raw = bytes.fromhex(escapes.replace("%", ""))
    return [(char, 3 * len(char.encode("utf-8", "surrogateescape"))) for char in raw.decode("utf-8", "surrogateescape")]


def _entity(escape: str) -> list[Piece]:
    return [(html.unescape(escape), len(escape))]


_ESCAPES: dict[str, tuple[str, Callable[[str], list[Piece]]]] = {
    "\\": (
        r"(?si)\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?-i:U)[0-9a-f]{8}|u[0-9a-f]{4}|u\{[0-9a-f]{1,6}\}|x[0-9a-f]{2}|[^ux])",
        _backslash,
    ),
    "%": (r"(?:%[0-9A-Fa-f]{2})+", _percent),
    "&": (r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,7});", _entity),
    '""': (r'""', lambda _: [('"', 2)]),
    "''": (r"''", lambda _: [("'", 2)]),
}
"""By a sign that each such escape has: its pattern, and what undoes it. `re` compiles them when a text has the sign."""

Source = Callable[[int], int]
"""Where in the text a place of a layer is."""


def _layers(text: str) -> Iterator[tuple[str, Source]]:
    """The text with its escapes undone: once, and what comes out again, each result once."""
    seen = {text}
    layers: list[tuple[str, Source]] = [(text, int)]
    for layer, source in layers:
        for sign, (escape, undo) in _ESCAPES.items():
            if sign in layer and len(layers) <= _LAYERS:
                below, within = _undone(layer, escape, undo)
                if below not in seen:
                    seen.add(below)
                    layers.append((below, lambda at, within=within, source=source: source(within(at))))  # type: ignore[misc]
                    yield layers[-1]


def _undone(text: str, escape: str, undo: Callable[[str], list[Piece]]) -> tuple[str, Source]:
    parts: list[str] = []
    starts, sources = [0], [0]
    at = length = 0
    for match in re.finditer(escape, text):
        for part, width in [(text[at : match.start()], match.start() - at), *undo(match[0])]:
            parts.append(part)
            length += len(part)
            at += width
            starts.append(length)
            sources.append(at)

    def source(place: int) -> int:
        segment = bisect_right(starts, place) - 1
        return sources[segment] + place - starts[segment]

    return "".join([*parts, text[at:]]), source
