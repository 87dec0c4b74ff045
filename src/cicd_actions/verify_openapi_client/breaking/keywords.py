"""Reads the keywords of one part of a schema into a shape: each makes it narrower or leaves it as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.verify_openapi_client.breaking.constraints import READ
from cicd_actions.verify_openapi_client.breaking.document import Part, canonical, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.patterns import normal
from cicd_actions.verify_openapi_client.breaking.shape import TYPES, Bound, Shape, types_of

_COMPARED_AS_TEXT = frozenset({"not", "if", "then", "else", "$dynamicRef"})

_CONDITION = ("if", "then", "else")
"""`if` alone restricts nothing, and neither do the others without it (JSON Schema 2020-12, section 10.2.2)."""

_SIZES = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"}
)

_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})

_TEXTS = frozenset({"format", "contentEncoding", "contentMediaType", "pattern", "uniqueItems"})

_EXTENSIBLE = "x-extensible-enum"
"""A list of values that may grow (Zalando's RESTful API guidelines, rule 112): readers expect further ones."""

_HINTS = frozenset({"password", "commonmark", "html", "markdown", "multiline", "textarea"})
"""Formats that say how a form shows the value; every text has them (OpenAPI's format registry)."""

_ENCODINGS = {"base64": "byte"}
"""What OpenAPI 3.0 called the `contentEncoding` of 3.1."""


@dataclass(frozen=True)
class Dialect:
    """What reading a schema asks of its document.

    `nullable_keyword` says that it is OpenAPI 3.0; `text_of` gives a keyword's value as one text; `restricts` says whether a
    schema restricts anything.
    """

    nullable_keyword: bool
    text_of: Callable[[Part, str], str]
    restricts: Callable[[Part], bool]


class Reader:
    """Adds one part's keywords to a shape: each makes it narrower or leaves it as it is."""

    def __init__(self, dialect: Dialect, shape: Shape, part: Part) -> None:
        self._dialect = dialect
        self._shape = shape
        self._part = part
        self._raw: Mapping[str, Any] = mapping(part.raw)
        self._old = dialect.nullable_keyword

    def read(self) -> None:
        """Reads every keyword."""
        self._types()
        self._enum()
        if not _BOUNDS.isdisjoint(self._raw):
            self._numbers()
        self._sizes()
        if not _TEXTS.isdisjoint(self._raw):
            self._texts()
        self._objects()
        self._arrays()
        for keyword in READ & self._raw.keys():
            if isinstance(self._raw[keyword], (dict, bool)):
                self._shape.constraints[keyword] = (*self._shape.constraints.get(keyword, ()), self._mark(keyword))
        conditional = "if" in self._raw and not {"then", "else"}.isdisjoint(self._raw)
        for keyword in sorted(_COMPARED_AS_TEXT & self._raw.keys()):
            if conditional or keyword not in _CONDITION:
                text_of = self._dialect.text_of(self._mark(keyword), keyword)
                self._shape.others[keyword] = self._shape.others.get(keyword, frozenset()) | {text_of}

    def _mark(self, keyword: str) -> Part:
        part = self._part.at(keyword)
        self._shape.where.setdefault(keyword, part)
        return part

    def _types(self) -> None:
        written = self._raw.get("type")
        named = [word for word in ([written] if isinstance(written, str) else sequence(written)) if text(word) in TYPES]
        if named:
            types = set(named)
            self._mark("type")
        else:
            types = self._guessed()
        if "number" in types:
            types.add("integer")
        if self._old and "type" in self._raw and self._raw.get("nullable") is True:
            types.add("null")
        self._shape.types &= types

    def _guessed(self) -> set[str]:
        """Without `type`, a schema with properties still means an object to those who write it."""
        if any(key in self._raw for key in ("properties", "required", "additionalProperties")):
            return {"object"}
        if "items" in self._raw or "prefixItems" in self._raw:
            return {"array"}
        return set(TYPES)

    def _enum(self) -> None:
        for value in sequence(self._raw.get(_EXTENSIBLE)):
            self._shape.extensible[canonical(value)] = value
            self._mark(_EXTENSIBLE)
        values: list[Any] | None = None
        if isinstance(self._raw.get("enum"), list):
            values = list(self._raw["enum"])
            self._mark("enum")
        if "const" in self._raw:
            values = [self._raw["const"]]
            self._mark("const")
            self._shape.where.setdefault("enum", self._part.at("const"))
        if values is None:
            return
        if self._old and self._raw.get("nullable") is True:
            values.append(None)
        found = {canonical(value): value for value in values}
        known = self._shape.enum
        self._shape.enum = found if known is None else {key: value for key, value in known.items() if key in found}
        self._shape.types &= {name for value in values for name in types_of(value)}

    def _numbers(self) -> None:
        lower, upper = _number(self._raw.get("minimum")), _number(self._raw.get("maximum"))
        over, under = self._raw.get("exclusiveMinimum"), self._raw.get("exclusiveMaximum")
        shape = self._shape
        # In OpenAPI 3.0 the exclusive ones are booleans beside the bound, in 3.1 separate bounds.
        for keyword, value, exclusive in (
            ("minimum", lower, over is True),
            ("exclusiveMinimum", _number(over), True),
        ):
            if value is not None and (shape.lower is None or (value, exclusive) > (shape.lower.value, shape.lower.exclusive)):
                shape.lower = Bound(value, exclusive)
                shape.where["minimum"] = self._part.at(keyword)
        for keyword, value, exclusive in (
            ("maximum", upper, under is True),
            ("exclusiveMaximum", _number(under), True),
        ):
            if value is not None and (
                shape.upper is None or (value, not exclusive) < (shape.upper.value, not shape.upper.exclusive)
            ):
                shape.upper = Bound(value, exclusive)
                shape.where["maximum"] = self._part.at(keyword)
        factor = _number(self._raw.get("multipleOf"))
        if factor is not None and factor > 0:
            shape.multiples |= {canonical(factor)}
            self._mark("multipleOf")

    def _sizes(self) -> None:
        shape = self._shape
        for keyword in sorted(_SIZES & self._raw.keys()):
            value = _number(self._raw.get(keyword))
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                continue
            known = shape.sizes.get(keyword)
            narrower = max if keyword.startswith("min") else min
            shape.sizes[keyword] = int(value) if known is None else narrower(known, int(value))
            self._mark(keyword)

    def _texts(self) -> None:
        written = {text(self._raw.get("format"))}
        encoding, media = text(self._raw.get("contentEncoding")), text(self._raw.get("contentMediaType"))
        if encoding:
            written.add(_ENCODINGS.get(encoding.lower(), f"contentEncoding {encoding.lower()}"))
        if media == "application/octet-stream":
            written |= set() if encoding else {"binary"}  # OpenAPI 3.1's word for 3.0's `format: binary`
        elif media:
            written.add(media.lower())
        written -= {"", *_HINTS}
        if written:
            self._shape.formats |= written
            self._mark(next(key for key in ("format", "contentEncoding", "contentMediaType") if key in self._raw))
        pattern = normal(text(self._raw.get("pattern")))
        if pattern:
            self._shape.patterns |= {pattern}
            self._mark("pattern")
        if self._raw.get("uniqueItems") is True:
            self._shape.unique = True
            self._mark("uniqueItems")

    def _objects(self) -> None:
        shape = self._shape
        for name, part in self._part.at("properties").entries():
            shape.properties[name] = (*shape.properties.get(name, ()), part)
        names = {name for name in sequence(self._raw.get("required")) if isinstance(name, str)}
        if names:
            shape.required |= names
            self._mark("required")
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            value = self._raw.get(keyword)
            if value is False:
                shape.additional = False
                shape.where.setdefault("additionalProperties", self._part.at(keyword))
            elif isinstance(value, dict) and self._dialect.restricts(self._part.at(keyword)):
                known = shape.additional
                if known is not False:
                    shape.additional = (*(known if isinstance(known, tuple) else ()), self._part.at(keyword))
                shape.where.setdefault("additionalProperties", self._part.at(keyword))

    def _arrays(self) -> None:
        shape = self._shape
        for keyword in ("items", "unevaluatedItems"):
            value = self._raw.get(keyword)
            if value is False:
                shape.items = False
                shape.where.setdefault("items", self._part.at(keyword))
            elif isinstance(value, dict) and shape.items is not False:
                shape.items = (*(shape.items if isinstance(shape.items, tuple) else ()), self._part.at(keyword))
                shape.where.setdefault("items", self._part.at(keyword))
        for index, part in enumerate(self._part.at("prefixItems").items() if self._part.has("prefixItems") else ()):
            if index < len(shape.prefix):
                shape.prefix[index] = (*shape.prefix[index], part)
            else:
                shape.prefix.append((part,))


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
