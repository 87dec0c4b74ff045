"""Normalises schemas: references, `allOf`, `anyOf` and `oneOf`, both spellings of null, both of exclusive bounds.

A schema becomes a list of alternatives, and each alternative one flat shape in which every keyword of all its parts holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import UNORDERED, Document, Part, canonical, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.families import Families
from cicd_actions.verify_openapi_client.breaking.keywords import Dialect, Reader
from cicd_actions.verify_openapi_client.breaking.references import NAMED
from cicd_actions.verify_openapi_client.breaking.shape import SCALARS, Bound, Meaning, Shape, Whole

_NOTES = frozenset(
    {
        "title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "$comment", "$id",
        "$schema", "$anchor", "$dynamicAnchor", "$defs", "definitions", "$ref", "allOf", "readOnly", "writeOnly", "nullable",
    }
)  # fmt: skip
"""Keywords that restrict no value by themselves (`$ref` and `allOf` are followed; the last three are read apart)."""

_ANNOTATIONS = _NOTES - {"$ref", "allOf", "nullable", "readOnly", "writeOnly"}

MOST_ALTERNATIVES = 512
"""A union of more, nested ones multiplied out, is compared by its text."""

_DEEPEST_UNION = 24


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.families = Families(document)
        self._dialect = Dialect(document.nullable_keyword, self.text_of, lambda part: bool(self.whole([part]).parts))
        self._meanings: dict[tuple[str, ...], Meaning] = {}
        self._wholes: dict[tuple[tuple[str, int], ...], Whole] = {}

    def whole(self, parts: Iterable[Part]) -> Whole:
        """The parts with references and `allOf` followed, each once."""
        asked = tuple([self.document.followed(part, bare=True) for part in parts])
        key = tuple([(part.pointer, id(part.raw)) for part in asked])  # the document outlives this object
        known = self._wholes.get(key)
        if known is None:
            known = self._wholes[key] = self._whole(asked)
        return known

    def _whole(self, parts: tuple[Part, ...]) -> Whole:
        stack = list(reversed(parts))
        seen: set[str] = set()
        leaves: list[Part] = []
        never = null_too = False
        default: object = None
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
                default = raw.get("default") if default is None else default
                # A wrapper's `nullable` beside `allOf` means the whole for all who write it, though OpenAPI 3.0.3
                # would have it mean nothing there.
                null_too = null_too or (old and raw.get("nullable") is True)
                if not _NOTES.issuperset(raw):
                    leaves.append(part)
                if "allOf" in raw:
                    stack.extend(reversed(list(part.at("allOf").items())))
            if target is not None:
                stack.append(target)
        # In their own order, so that nothing depends on the order of `allOf`; the outermost usually comes first.
        leaves.sort(key=lambda part: (len(part.place), part.place))
        return Whole(
            tuple(leaves), never, null_too, self.families.heirs & seen if self.families.heirs else frozenset(), default
        )

    def meaning(self, whole: Whole) -> Meaning:
        """What the schema allows, as alternatives."""
        known = self._meanings.get(whole.key)
        if known is None:
            known = self._meanings[whole.key] = self._meant(whole)
        return known

    def _meant(self, whole: Whole) -> Meaning:
        if whole.never:
            return Meaning(False, ())
        combined, discriminator, exclusive = _Alternatives(self).of(whole)
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
        return Meaning(nullable, tuple(_as_one_enum(kept)), discriminator if len(kept) > 1 else "", exclusive)

    def _shape(self, choice: _Choice) -> Shape:
        shape = Shape(choice.key, choice.pointer, choice.place, choice.name, choice.tags)
        for part in choice.parts:
            Reader(self._dialect, shape, part).read()
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
        """Returns a keyword's value as one text, without notes, and with references replaced by what they mean."""
        budget = [5000]
        return canonical(self._inlined({keyword: part.raw}, (), budget, 40))

    def _inlined(self, raw: Any, inside: tuple[str, ...], budget: list[int], levels: int, *, named: bool = False) -> Any:
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
            if named or key not in _ANNOTATIONS:
                inner = self._inlined(value, inside, budget, levels - 1, named=not named and key in NAMED)
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
        self._unions: list[str] = []

    def of(self, whole: Whole) -> tuple[list[_Choice], str, bool]:
        """Returns the alternatives, the discriminator's property, and whether only one alternative may fit."""
        found = self._of(whole, ())
        discriminator = self._discriminators.pop() if len(self._discriminators) == 1 else ""
        return found, discriminator, self._unions == ["oneOf"]

    def _of(self, whole: Whole, inside: tuple[str, ...]) -> list[_Choice]:
        first = whole.parts[0] if whole.parts else Part(None, "#", "#")
        found = [_Choice(whole.parts, whole.key, first.pointer, first.place)]
        for part in whole.parts:
            for keyword, group in self._groups(part, whole, inside):
                if group.pointer in inside:
                    return []  # a union within itself adds nothing
                self._unions.append(keyword)
                options = self._options(part, group, (*inside, group.pointer)) if len(inside) < _DEEPEST_UNION else None
                if options is None or len(found) * len(options) > MOST_ALTERNATIVES:
                    found = [replace(one, opaque=(*one.opaque, group)) for one in found]
                else:
                    found = [_joined(one, option) for one in found for option in options]
        return found

    def _groups(self, part: Part, whole: Whole, inside: tuple[str, ...]) -> Iterator[tuple[str, Part]]:
        """Yields the unions of a part: `anyOf`, `oneOf`, and the components that inherit from it by `allOf`."""
        for keyword in ("anyOf", "oneOf"):
            if part.has(keyword) and sequence(part.raw[keyword]):
                yield keyword, part.at(keyword)
        family = self._schemas.families.of(part)
        if family is None or family.pointer in inside:
            return
        if not whole.heirs & self._schemas.families.members(part):
            yield "inherited", family

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
    # In an order that does not depend on the document's: the place of the one is in fingerprints.
    first, *others = sorted(shapes, key=lambda shape: shape.place)
    for other in others:
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
