"""Normalises schemas: references, `allOf`, `anyOf` and `oneOf`, both spellings of null, both of exclusive bounds.

A schema becomes a list of alternatives, and each alternative one flat shape in which every keyword of all its parts holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import UNORDERED, Document, Part, canonical, mapping, sequence, text

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
"""JSON Schema's types; where `number` stands, `integer` does too, because every integer is a number."""

SCALARS = frozenset({"string", "number", "integer", "boolean"})

_NOTES = frozenset(
    {
        "title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "$comment", "$id",
        "$schema", "$anchor", "$defs", "definitions", "$ref", "allOf", "readOnly", "writeOnly", "nullable",
    }
)  # fmt: skip
"""Keywords that restrict no value by themselves (`$ref` and `allOf` are followed; the last three are read apart)."""

_COMPARED_AS_TEXT = (
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "patternProperties",
    "dependentRequired", "dependentSchemas", "unevaluatedItems", "contentSchema", "contentEncoding", "$dynamicRef",
)  # fmt: skip

MOST_ALTERNATIVES = 512
"""A union of more, nested ones multiplied out, is compared by its text."""

_DEEPEST_UNION = 24


@dataclass(frozen=True)
class Bound:
    """An end of an interval."""

    value: int | float
    exclusive: bool


@dataclass(frozen=True)
class Whole:
    """A schema with its references and `allOf` followed: the parts that all hold. No parts: everything is allowed."""

    parts: tuple[Part, ...]
    never: bool = False
    null_too: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return (
            *(part.pointer for part in self.parts),
            *(("never",) if self.never else ()),
            *(("null",) if self.null_too else ()),
        )


ANYTHING = Whole(())


@dataclass
class Shape:
    """One alternative: what every value of it has to be."""

    key: tuple[str, ...]
    pointer: str
    place: str
    name: str = ""
    tags: frozenset[str] = frozenset()
    types: frozenset[str] = TYPES
    enum: dict[str, Any] | None = None
    formats: frozenset[str] = frozenset()
    lower: Bound | None = None
    upper: Bound | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    multiples: frozenset[str] = frozenset()
    unique: bool = False
    patterns: frozenset[str] = frozenset()
    properties: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    additional: tuple[Part, ...] | bool = True
    items: tuple[Part, ...] | bool = True
    prefix: list[tuple[Part, ...]] = field(default_factory=list)
    others: dict[str, frozenset[str]] = field(default_factory=dict)
    where: dict[str, Part] = field(default_factory=dict)

    def origin(self, keyword: str) -> Part:
        """Where the keyword stands, or the shape itself."""
        return self.where.get(keyword) or Part(None, self.pointer, self.place)


@dataclass(frozen=True)
class Meaning:
    """What a schema allows: null or not, and the alternatives (without null). `discriminator` is a property's name."""

    nullable: bool
    shapes: tuple[Shape, ...]
    discriminator: str = ""


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._meanings: dict[tuple[str, ...], Meaning] = {}

    def whole(self, parts: Iterable[Part]) -> Whole:
        """The parts with references and `allOf` followed, each once."""
        stack = list(reversed(list(parts)))
        seen: set[str] = set()
        leaves: list[Part] = []
        never = null_too = False
        old = self.document.nullable_keyword
        while stack:
            part = stack.pop()
            if part.pointer in seen:
                continue
            seen.add(part.pointer)
            if part.raw is False:
                never = True
            raw = mapping(part.raw)
            reference = text(raw.get("$ref"))
            target = self.document.find(reference) if reference else None
            if not (reference and old):
                # A wrapper's `nullable` beside `allOf` means the whole for all who write it, though OpenAPI 3.0.3
                # would have it mean nothing there.
                null_too = null_too or (old and raw.get("nullable") is True)
                if any(key not in _NOTES for key in raw):
                    leaves.append(part)
                stack.extend(reversed(list(part.at("allOf").items())))
            if target is not None:
                stack.append(target)
        # In an order of their own, so that nothing depends on the order of `allOf`; the outermost usually comes first.
        leaves.sort(key=lambda part: (len(part.place), part.place))
        return Whole(tuple(leaves), never, null_too)

    def meaning(self, whole: Whole) -> Meaning:
        """What the schema allows, as alternatives."""
        known = self._meanings.get(whole.key)
        if known is None:
            known = self._meanings[whole.key] = self._meant(whole)
        return known

    def _meant(self, whole: Whole) -> Meaning:
        if whole.never:
            return Meaning(False, ())
        combined, discriminator = _Alternatives(self).of(whole)
        shapes = [self._shape(choice) for choice in combined]
        nullable = (
            whole.null_too or any(choice.null_too for choice in combined) or any("null" in shape.types for shape in shapes)
        )
        kept: list[Shape] = []
        for shape in shapes:
            shape.types -= {"null"}
            if shape.enum is not None:
                shape.enum.pop("null", None)
            if shape.types and (shape.enum is None or shape.enum):
                kept.append(shape)
        return Meaning(nullable, tuple(_as_one_enum(kept)), discriminator if len(kept) > 1 else "")

    def _shape(self, choice: _Choice) -> Shape:
        shape = Shape(choice.key, choice.pointer, choice.place, choice.name, choice.tags)
        for part in choice.parts:
            _Reader(self, shape, part).read()
        for group in choice.opaque:
            keyword = group.pointer.rsplit("/", 1)[-1]
            shape.others[keyword] = shape.others.get(keyword, frozenset()) | {self.text_of(group, keyword)}
            shape.where.setdefault(keyword, group)
        if "number" not in shape.types and "integer" in shape.types:
            shape.lower = _inclusive(shape.lower, 1)
            shape.upper = _inclusive(shape.upper, -1)
            shape.multiples -= {"1"}
        if shape.types - {"null"} == {"boolean"} and shape.enum is not None and {"true", "false"} <= shape.enum.keys():
            shape.enum = None
        return shape

    def text_of(self, part: Part, keyword: str) -> str:
        """A keyword's value as one text, references replaced by what they mean: a renamed component reads the same."""
        budget = [5000]
        return canonical(self._inlined({keyword: part.raw}, (), budget, 40))

    def _inlined(self, raw: Any, inside: tuple[str, ...], budget: list[int], levels: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or levels == 0:
            return raw
        if isinstance(raw, list):
            return [self._inlined(item, inside, budget, levels - 1) for item in raw]
        if not isinstance(raw, dict):
            return raw
        reference = text(raw.get("$ref"))
        if reference:
            if reference in inside:
                return {"$ref": len(inside) - inside.index(reference)}
            target = self.document.find(reference)
            if target is not None:
                return self._inlined(target.raw, (*inside, reference), budget, levels - 1)
        found: dict[str, Any] = {}
        for key, value in sorted(raw.items()):
            if not (key in {"title", "description"} and isinstance(value, str)):
                inner = self._inlined(value, inside, budget, levels - 1)
                found[key] = sorted(inner, key=canonical) if key in UNORDERED and isinstance(inner, list) else inner
        return found


@dataclass(frozen=True)
class _Choice:
    """One way through the unions of a schema: the parts that hold then."""

    parts: tuple[Part, ...]
    key: tuple[str, ...]
    pointer: str
    place: str
    name: str = ""
    tags: frozenset[str] = frozenset()
    opaque: tuple[Part, ...] = ()
    null_too: bool = False


class _Alternatives:
    """Multiplies unions out: `{anyOf: [A, B], oneOf: [C, D]}` has four alternatives."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._discriminators: set[str] = set()

    def of(self, whole: Whole) -> tuple[list[_Choice], str]:
        found = self._of(whole, ())
        return found, self._discriminators.pop() if len(self._discriminators) == 1 else ""

    def _of(self, whole: Whole, inside: tuple[str, ...]) -> list[_Choice]:
        first = whole.parts[0] if whole.parts else Part(None, "#", "#")
        found = [_Choice(whole.parts, whole.key, first.pointer, first.place)]
        for part in whole.parts:
            for keyword in ("anyOf", "oneOf"):
                group = part.at(keyword)
                if not sequence(group.raw):
                    continue
                if group.pointer in inside:
                    return []  # a union within itself adds nothing
                options = self._options(part, group, (*inside, group.pointer)) if len(inside) < _DEEPEST_UNION else None
                if options is None or len(found) * len(options) > MOST_ALTERNATIVES:
                    found = [replace(one, opaque=(*one.opaque, group)) for one in found]
                else:
                    found = [_joined(one, option) for one in found for option in options]
        return found

    def _options(self, owner: Part, group: Part, inside: tuple[str, ...]) -> list[_Choice]:
        tags = _Tags(self._schemas.document, owner)
        options: list[_Choice] = []
        for member in group.items():
            inner = self._schemas.whole([member])
            if inner.never:
                continue
            name = text(mapping(member.raw).get("$ref")).rsplit("/", 1)[-1] or text(mapping(member.raw).get("title"))
            for choice in self._of(inner, inside):
                nearest = choice if choice.parts else member
                options.append(
                    replace(
                        choice,
                        key=(member.pointer, *choice.key),
                        pointer=nearest.pointer,
                        place=nearest.place,
                        name=name or choice.name,
                        tags=tags.of(member) or choice.tags,
                        null_too=choice.null_too or inner.null_too,
                    )
                )
        if tags.property:
            self._discriminators.add(tags.property)
        return options


def _joined(one: _Choice, other: _Choice) -> _Choice:
    pointers = {part.pointer for part in one.parts}
    return _Choice(
        (*one.parts, *(part for part in other.parts if part.pointer not in pointers)),
        (*one.key, "|", *other.key),
        other.pointer,
        other.place,
        "/".join(sorted({one.name, other.name} - {""})),
        other.tags or one.tags,
        (*one.opaque, *other.opaque),
        one.null_too or other.null_too,
    )


class _Tags:
    """The values of a discriminator that choose each alternative (OpenAPI 3.1.1, section 4.8.25)."""

    def __init__(self, document: Document, owner: Part) -> None:
        discriminator = mapping(mapping(owner.raw).get("discriminator"))
        self.property = text(discriminator.get("propertyName"))
        self._values: dict[str, set[str]] = {}
        for value, target in mapping(discriminator.get("mapping")).items():
            # A mapping's target is a name or a reference.
            pointer = text(target) if text(target).startswith("#") else f"#/components/schemas/{text(target)}"
            found = document.find(pointer)
            self._values.setdefault(found.pointer if found else pointer, set()).add(str(value))
        self._document = document

    def of(self, member: Part) -> frozenset[str]:
        reference = text(mapping(member.raw).get("$ref"))
        if not self.property or not reference:
            return frozenset()
        target = self._document.find(reference)
        mapped = self._values.get(target.pointer if target else reference)
        return frozenset(mapped or {reference.rsplit("/", 1)[-1]})


def _as_one_enum(shapes: list[Shape]) -> list[Shape]:
    """`oneOf` of constants, the way to give each value a title, is one enum."""
    if len(shapes) < 2 or not all(_only_enum(shape) for shape in shapes):
        return shapes
    first = shapes[0]
    for other in shapes[1:]:
        assert first.enum is not None  # noqa: S101 - just tested
        first.enum |= other.enum or {}
        first.types |= other.types
        first.key += other.key
    return [first]


def _only_enum(shape: Shape) -> bool:
    rest = (shape.tags, shape.formats, shape.patterns, shape.sizes, shape.others, shape.multiples, shape.lower, shape.upper)
    return shape.enum is not None and shape.types <= SCALARS and not any(rest)


def _inclusive(bound: Bound | None, step: int) -> Bound | None:
    """For integers `> 0` is `>= 1`."""
    if bound is None or (isinstance(bound.value, float) and not math.isfinite(bound.value)):
        return bound
    whole = isinstance(bound.value, int) or bound.value.is_integer()
    if whole and bound.exclusive:
        return Bound(int(bound.value) + step, False)
    return Bound(math.ceil(bound.value) if step > 0 else math.floor(bound.value), False)


_SIZES = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


class _Reader:
    """Adds one part's keywords to a shape: each makes it narrower or leaves it as it is."""

    def __init__(self, schemas: Schemas, shape: Shape, part: Part) -> None:
        self._schemas = schemas
        self._shape = shape
        self._part = part
        self._raw: Mapping[str, Any] = mapping(part.raw)
        self._old = schemas.document.nullable_keyword

    def read(self) -> None:
        self._types()
        self._enum()
        self._numbers()
        self._texts()
        self._objects()
        self._arrays()
        for keyword in _COMPARED_AS_TEXT:
            if keyword in self._raw:
                text_of = self._schemas.text_of(self._mark(keyword), keyword)
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
        # In OpenAPI 3.0 the exclusive ones are booleans beside the bound, in 3.1 bounds of their own.
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
        for keyword in _SIZES:
            value = _number(self._raw.get(keyword))
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                continue
            known = shape.sizes.get(keyword)
            narrower = max if keyword.startswith("min") else min
            shape.sizes[keyword] = int(value) if known is None else narrower(known, int(value))
            self._mark(keyword)

    def _texts(self) -> None:
        written = text(self._raw.get("format"))
        if not written and text(self._raw.get("contentMediaType")) == "application/octet-stream":
            written = "binary"  # OpenAPI 3.1's word for 3.0's `format: binary`
        if written:
            self._shape.formats |= {written}
            self._mark("format" if "format" in self._raw else "contentMediaType")
        if text(self._raw.get("pattern")):
            self._shape.patterns |= {self._raw["pattern"]}
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
            elif isinstance(value, dict) and self._schemas.whole([self._part.at(keyword)]).parts:
                known = shape.additional
                if known is not False:
                    shape.additional = (*(known if isinstance(known, tuple) else ()), self._part.at(keyword))
                shape.where.setdefault("additionalProperties", self._part.at(keyword))

    def _arrays(self) -> None:
        shape = self._shape
        value = self._raw.get("items")
        if value is False:
            shape.items = False
            self._mark("items")
        elif isinstance(value, dict) and shape.items is not False:
            shape.items = (*(shape.items if isinstance(shape.items, tuple) else ()), self._mark("items"))
        for index, part in enumerate(self._part.at("prefixItems").items()):
            if index < len(shape.prefix):
                shape.prefix[index] = (*shape.prefix[index], part)
            else:
                shape.prefix.append((part,))


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def types_of(value: Any) -> tuple[str, ...]:
    """The types that a value has; a fraction counts as a number and all its integers, as `number` does."""
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return ("integer",)
    if isinstance(value, float):
        return ("number", "integer")
    if isinstance(value, str):
        return ("string",)
    return ("array",) if isinstance(value, list) else ("object",)
