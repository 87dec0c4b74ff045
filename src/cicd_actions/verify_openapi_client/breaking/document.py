"""Reads an OpenAPI document by JSON pointer, whatever stands in it: what is not of the expected kind counts as absent."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.verify_openapi_client.breaking.references import rooted

Json: TypeAlias = Any
"""A value as `json.loads` makes it."""

_NOTHING: Mapping[str, Json] = {}

UNORDERED = frozenset({"required", "enum", "type", "allOf", "anyOf", "oneOf", "parameters", "security", "tags"})
"""Fields that hold arrays whose order means nothing."""

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
"""The fields of a path item that are operations (OpenAPI 3.2.0, section 4.9; `query` is new in 3.2)."""


def mapping(value: Json) -> Mapping[str, Json]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def sequence(value: Json) -> Sequence[Json]:
    """The value if it is an array, else an empty one."""
    return value if isinstance(value, list) else ()


def text(value: Json) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def canonical(value: Json) -> str:
    """One spelling of a value: keys in order, `1.0` as `1`; `true` stays apart from `1`."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def escaped(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")


def tokens(pointer: str) -> list[str]:
    """The keys of a pointer that starts with `#/`; an empty list for `#`."""
    if pointer in {"#", "#/"}:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[2:].split("/")]


def join(pointer: str, *keys: str | int) -> str:
    """The pointer below `pointer`."""
    for key in keys:
        token = key if isinstance(key, str) else str(key)
        pointer = f"{pointer}/{escaped(token) if '/' in token or '~' in token else token}"
    return pointer


class Part(NamedTuple):
    """A value and where it stands: `pointer` exactly, `place` with names instead of the indices of arrays.

    `place` stays the same when an array is reordered, so fingerprints are made of it.
    """

    raw: Json
    pointer: str
    place: str

    def at(self, *keys: str) -> Part:
        """The value below these keys; `None` as its `raw` where there is none."""
        raw, pointer, place = self
        for key in keys:
            raw = raw.get(key) if isinstance(raw, dict) else None
        below = join(pointer, *keys)
        return Part(raw, below, below if place == pointer else join(place, *keys))

    def has(self, key: str) -> bool:
        """Returns whether the value is an object with this key. Asking takes a fraction of what `at` takes."""
        return isinstance(self.raw, dict) and key in self.raw

    def entries(self) -> Iterator[tuple[str, Part]]:
        """The members of an object."""
        if not self.raw or not isinstance(self.raw, dict):
            return
        same = self.place == self.pointer
        for key, value in self.raw.items():
            pointer = join(self.pointer, key)
            yield str(key), Part(value, pointer, pointer if same else join(self.place, key))

    def items(self) -> Iterator[Part]:
        """The members of an array; each place ends with a name of what stands there."""
        values = sequence(self.raw)
        if not values:
            return
        names = [_name(value) for value in values]
        often = Counter(names)
        for index, (value, name) in enumerate(zip(values, names, strict=True)):
            unique = name if often[name] == 1 else f"{name} {_digest(value)}"
            yield Part(value, join(self.pointer, index), join(self.place, unique))


def _name(value: Json) -> str:
    """What an array's member is called where its index may change: its reference, name, title or own text."""
    fields = mapping(value)
    if text(fields.get("$ref")):
        return text(fields["$ref"]).rsplit("/", 1)[-1]
    if text(fields.get("name")) and text(fields.get("in")):
        return f"{fields['in']}:{fields['name']}"
    if text(fields.get("title")):
        return str(fields["title"])
    return _digest(value)


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical(_settled(value)).encode("utf-8", "replace")).hexdigest()[:12]


def _settled(value: Json) -> Json:
    """The value with the arrays in order whose order means nothing."""
    if isinstance(value, list):
        return [_settled(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _settled(item) for key, item in value.items()}
    return {
        key: sorted(item, key=canonical) if key in UNORDERED and isinstance(item, list) else item for key, item in found.items()
    }


class Document:
    """A parsed OpenAPI document. Nothing outside of it is ever read; pointers are those of the text."""

    def __init__(self, root: Json, *, rooted_already: bool = False) -> None:
        self.root = Part(root if rooted_already else rooted(root), "#", "#")
        self._found: dict[str, Part | None] = {}

    @cached_property
    def nullable_keyword(self) -> bool:
        """OpenAPI 3.0: null is said with `nullable`, and what stands beside a `$ref` has no meaning."""
        return text(mapping(self.root.raw).get("openapi")).startswith("3.0")

    def find(self, reference: str) -> Part | None:
        """What a `$ref` within the document means; `None` when there is nothing."""
        if reference not in self._found:
            self._found[reference] = self._find(reference)
        return self._found[reference]

    def _find(self, reference: str) -> Part | None:
        if not reference.startswith("#/") and reference != "#":
            return None
        raw: Json = self.root.raw
        keys = tokens(unquote(reference))
        for key in keys:
            if isinstance(raw, dict) and key in raw:
                raw = raw[key]
            elif isinstance(raw, list) and is_whole(key) and int(key) < len(raw):
                raw = raw[int(key)]
            else:
                return None
        pointer = join("#", *keys) if keys else "#"
        return Part(raw, pointer, pointer)

    def followed(self, part: Part, *, bare: bool = False) -> Part:
        """The part, or what its `$ref` leads to in the end; a part of nothing for references in a circle.

        With `bare` only a `$ref` that has nothing beside it is followed.
        """
        seen: set[str] = set()
        while part.has("$ref") and text(part.raw["$ref"]) and not (bare and len(part.raw) > 1):
            reference = part.raw["$ref"]
            target = self.find(reference)
            if target is None or reference in seen:
                return Part(None, part.pointer, part.place)
            seen.add(reference)
            part = target
        return part
