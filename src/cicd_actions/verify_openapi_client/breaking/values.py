"""Compares what single values have to be: types, enums, formats, bounds, patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import canonical
from cicd_actions.verify_openapi_client.breaking.shape import Bound, Shape, types_of
from cicd_actions.verify_openapi_client.breaking.sides import Sides

_WIDER_FORMATS = {("int32", "int64"), ("float", "double")}
"""Every value of the first has the second format too (OpenAPI's format registry)."""

_SIZES = {
    "minLength": "string",
    "maxLength": "string",
    "minItems": "array",
    "maxItems": "array",
    "minProperties": "object",
    "maxProperties": "object",
}


def compare(sides: Sides) -> frozenset[str]:
    """Notes what differs; returns the types that both sides have."""
    sent, known = sides.sent, sides.known
    extra = sent.types - known.types
    shared = sent.types & known.types
    if extra:
        sides.differ("type", f"The type goes from {_types(sides.old)} to {_types(sides.new)}.", "type")
    if not shared:
        return shared
    _enums(sides, shared)
    _formats(sides, shared)
    _patterns(sides, shared)
    if sent.enum is None:
        _bounds(sides, shared)
        _sizes(sides, shared)
        _multiples(sides, shared)
    else:
        _values_in_bounds(sides, sent.enum.values())
    return shared


def _types(shape: Shape) -> str:
    return "any" if len(shape.types) >= 6 else named(shape.types)


def named(types: Iterable[str]) -> str:
    """The types as people write them: a number may always be an integer."""
    found = set(types)
    if "number" in found:
        found.discard("integer")
    return " or ".join(sorted(found)) or "nothing"


_LENGTHS = {"int32": (1, 11), "int64": (1, 20)}
"""The characters of the least and the most that a value has as text."""


def as_text(shape: Shape) -> Shape:
    """Returns what a number, a boolean or any text is as text, the way parameters travel."""
    enum = None if shape.enum is None else {canonical(_text(value)): _text(value) for value in shape.enum.values()}
    if shape.types == {"boolean"} and enum is None:
        enum = {canonical(word): word for word in ("true", "false")}
    sizes = dict(shape.sizes)
    if "string" not in shape.types:
        least, most = next((_LENGTHS[name] for name in sorted(shape.formats) if name in _LENGTHS), (1, None))
        if "number" not in shape.types and shape.lower is not None and shape.upper is not None:
            lengths = [len(str(bound.value)) for bound in (shape.lower, shape.upper)]
            least, most = 1 if shape.lower.value <= 0 <= shape.upper.value else min(lengths), max(lengths)
        sizes = {"minLength": least, **({"maxLength": most} if most is not None else {})}
    formats = frozenset() if "string" not in shape.types else shape.formats
    types = frozenset({"string"})
    key = (*shape.key, "text")
    return replace(shape, key=key, types=types, enum=enum, sizes=sizes, formats=formats, lower=None, upper=None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _enums(sides: Sides, shared: frozenset[str]) -> None:
    sent, known = sides.sent.enum, sides.known.enum
    if sides.old_is_sent and sides.known.extensible:
        for value in sorted(sides.sent.extensible.keys() - sides.known.extensible.keys()):
            sides.differ("enum-value", f"The value {value} is removed from the enum.", "x-extensible-enum", value)
    if known is None:
        return
    if sent is None:
        values = ", ".join(sorted(known)[:8]) + (", …" if len(known) > 8 else "")
        gone = sides.old.enum is not None
        what = f"The enum ({values}) is gone." if gone else f"The values are restricted to an enum: {values}."
        sides.differ("enum", what, "enum", ",".join(sorted(known)))
        return
    for value in sorted(sent.keys() - known.keys()):
        if not shared.intersection(types_of(sent[value])):
            continue  # said by its type already
        word = "removed from" if sides.old_is_sent else "added to"
        sides.differ("enum-value", f"The value {value} is {word} the enum.", "enum", value)


def _formats(sides: Sides, shared: frozenset[str]) -> None:
    if not shared & {"string", "number", "integer"}:
        return
    for known in sorted(sides.known.formats):
        if known not in sides.sent.formats and not any((sent, known) in _WIDER_FORMATS for sent in sides.sent.formats):
            old, new = (" and ".join(sorted(shape.formats)) or "none" for shape in (sides.old, sides.new))
            sides.differ("format", f"The format goes from {old} to {new}.", "format")
            return


def _patterns(sides: Sides, shared: frozenset[str]) -> None:
    if "string" in shared:
        for pattern in sorted(sides.known.patterns - sides.sent.patterns):
            word = "new" if sides.old_is_sent else "gone"
            sides.differ("pattern", f"The pattern {pattern} is {word}.", "pattern", pattern)


def _bounds(sides: Sides, shared: frozenset[str]) -> None:
    if not shared & {"number", "integer"}:
        return
    for keyword, sign in (("minimum", 1), ("maximum", -1)):
        sent, known = (_end(shape, keyword) for shape in (sides.sent, sides.known))
        if known is None:
            continue
        if sent is None or (sent.value * sign, sent.exclusive) < (known.value * sign, known.exclusive):
            old, new = (_bound(_end(shape, keyword)) for shape in (sides.old, sides.new))
            sides.differ("bound", f"The {keyword} goes from {old} to {new}.", keyword)


def _end(shape: Shape, keyword: str) -> Bound | None:
    return shape.lower if keyword == "minimum" else shape.upper


def _bound(bound: Bound | None) -> str:
    if bound is None:
        return "none"
    return f"{bound.value} (exclusive)" if bound.exclusive else f"{bound.value}"


def _sizes(sides: Sides, shared: frozenset[str]) -> None:
    for keyword, of_type in _SIZES.items():
        known = sides.known.sizes.get(keyword)
        if known is None or of_type not in shared:
            continue
        sent = sides.sent.sizes.get(keyword)
        tighter = (sent or 0) < known if keyword.startswith("min") else sent is None or sent > known
        if tighter:
            old, new = (shape.sizes.get(keyword, "none") for shape in (sides.old, sides.new))
            sides.differ("bound", f"{keyword} goes from {old} to {new}.", keyword)


def _multiples(sides: Sides, shared: frozenset[str]) -> None:
    if not shared & {"number", "integer"}:
        return
    for factor in sorted(sides.known.multiples):
        if factor == "1" and "number" not in sides.sent.types:
            continue  # every integer is one
        if not any(_is_multiple(one, factor) for one in sides.sent.multiples):
            word = "has to be" if sides.old_is_sent else "need no longer be"
            sides.differ("bound", f"The number {word} a multiple of {factor}.", "multipleOf", factor)


def _is_multiple(number: Any, factor: Any) -> bool:
    try:
        return Decimal(str(number)) % Decimal(str(factor)) == 0
    except (InvalidOperation, ZeroDivisionError):
        return bool(number == factor)  # too far apart for a remainder


def _values_in_bounds(sides: Sides, values: Iterable[Any]) -> None:
    """A list of values needs no separate bound: each of them has to meet the other side's."""
    for value in values:
        if _within(value, sides.sent) and not _within(value, sides.known):
            sides.differ("bound", f"The value {value} of the enum lies outside the bounds.", "enum", str(value))


def _within(value: Any, shape: Shape) -> bool:
    if isinstance(value, str):
        return shape.sizes.get("minLength", 0) <= len(value) <= shape.sizes.get("maxLength", len(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    lower, upper = shape.lower, shape.upper
    if lower is not None and (value < lower.value or (lower.exclusive and value == lower.value)):
        return False
    if upper is not None and (value > upper.value or (upper.exclusive and value == upper.value)):
        return False
    return all(_is_multiple(value, factor) for factor in shape.multiples)
