"""Decides whether a value can fit two alternatives of a union."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking.document import Part, canonical, mapping, sequence
from cicd_actions.verify_openapi_client.breaking.shape import Shape


def possible(one: Shape, other: Shape, *, tagged: bool = True) -> bool:
    """Returns whether a value may fit both; `True` where that cannot be ruled out.

    Without `tagged` the values of a discriminator, which a validator does not look at, do not tell them apart.
    """
    shared = one.types & other.types
    if not shared or told_apart(one, other):
        return False
    if tagged and one.tags and other.tags and not one.tags & other.tags:
        return False
    if one.enum is not None and other.enum is not None and not one.enum.keys() & other.enum.keys():
        return False
    if shared <= {"number", "integer"} and (_below(one, other) or _below(other, one)):
        return False
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")):
        for low, high in ((one, other), (other, one)):
            if high.sizes.get(most, float("inf")) < low.sizes.get(least, 0) and shared <= _TYPES[least]:
                return False
    return not (shared == {"object"} and (_closed_to(one, other) or _closed_to(other, one)))


def expected(sent: Shape, other: Shape) -> bool:
    """Returns whether a value that is sent may fit `other` by the properties that its sender knows."""
    objects_only = sent.types == {"object"}
    return possible(sent, other) and not (objects_only and any(name not in sent.properties for name in other.required))


_TYPES = {"minLength": {"string"}, "minItems": {"array"}, "minProperties": {"object"}}


def _below(one: Shape, other: Shape) -> bool:
    if one.upper is None or other.lower is None:
        return False
    return one.upper.value < other.lower.value or (
        one.upper.value == other.lower.value and (one.upper.exclusive or other.lower.exclusive)
    )


def _closed_to(closed: Shape, other: Shape) -> bool:
    """Returns whether `other` requires a property that the closed object does not allow."""
    return closed.additional is False and any(name not in closed.properties for name in other.required)


def told_apart(one: Shape, other: Shape) -> bool:
    """Returns whether a property with constant values rules out that a value is both (a union tagged without discriminator)."""
    for name, parts in one.properties.items():
        if name in other.properties and name in one.required | other.required:
            mine, theirs = _constants(parts), _constants(other.properties[name])
            if mine and theirs and not mine.keys() & theirs.keys():
                return True
    return False


def texts(shape: Shape, name: str) -> frozenset[str]:
    """Returns the constant texts of a required property; empty where it is not required, or not constant."""
    found = _constants(shape.properties.get(name, ())) if name in shape.required else {}
    return frozenset(value for value in found.values() if isinstance(value, str))


def _constants(parts: tuple[Part, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for part in parts:
        raw = mapping(part.raw)
        found |= {canonical(value): value for value in sequence(raw.get("enum"))}
        if "const" in raw:
            found[canonical(raw["const"])] = raw["const"]
    return found
