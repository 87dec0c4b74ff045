"""Compares parameters: those of the operation and those that it inherits from its path item."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, canonical, mapping, text
from cicd_actions.verify_openapi_client.breaking.matching import Paired, one_to_one
from cicd_actions.verify_openapi_client.breaking.rules import DEFAULT, Effect, Flow, rule
from cicd_actions.verify_openapi_client.breaking.shape import SCALARS, TYPES, Meaning

REMOVED = rule(
    "parameter-removed",
    "a parameter is removed",
    whom="callers that send it",
    why="The API silently ignores what they send, or refuses it.",
    compatibly="Keep accepting it, mark it `deprecated`, and remove it when no caller sends it.",
    removal=True,
)
REQUIRED = rule(
    "parameter-required",
    "a parameter is newly required",
    whom="callers that do not send it",
    why="The API now refuses requests without it, which it accepted.",
    compatibly="Keep it optional, with a default for callers that do not send it.",
)
SERIALIZATION = rule(
    "parameter-serialization",
    "a parameter is written another way",
    whom="callers that send it",
    why="The same value has another form in the URL or the header, and the API misreads the old form.",
    compatibly="Add a parameter of another name for the new way, and keep the old one for a while.",
)
EMPTY = rule(
    "parameter-empty-value",
    "a query parameter may no longer be empty",
    whom="callers that send it without a value",
    why="The API now refuses `?name=`, which it accepted.",
    compatibly="Keep `allowEmptyValue: true`, and treat an empty value as a missing parameter.",
)
TYPE = rule(
    "parameter-type",
    "a parameter has another type that is written the same",
    whom="typed code that passes the old type",
    why="The request on the wire stays the same, because parameters travel as text. TypeScript that passes the old type no"
    " longer compiles.",
    compatibly="Keep the type, or release the client with the note that the parameter's type changes.",
    effect=Effect.GENERATED_SYMBOL,
)
NAME = rule(
    "path-parameter-name",
    "a path parameter has another name",
    whom="typed code that names it",
    why="The name is not part of the request, but generated code has it in types and arguments.",
    compatibly="Keep the name, or release the client with the note that the name changes.",
    effect=Effect.GENERATED_SYMBOL,
)

_STYLES = {"query": "form", "querystring": "", "cookie": "form", "path": "simple", "header": "simple"}
_NAMES = re.compile(r"\{([^{}]*)\}")

_IGNORED_HEADERS = {"accept", "content-type", "authorization"}
"""Header parameters of these names have no meaning (OpenAPI 3.1.1, section 4.8.12)."""


class Serialization(NamedTuple):
    """How a value becomes text; `media` where `content` says it (OpenAPI 3.1.1, section 4.8.12.2)."""

    style: str
    explode: bool
    reserved: bool
    media: str

    def __str__(self) -> str:
        if self.media:
            return self.media
        reserved = ", reserved characters allowed" if self.reserved else ""
        return f"style {self.style}{', exploded' if self.explode else ''}{reserved}"


def serialization(part: Part, location: str) -> Serialization:
    """Returns how a parameter or header is written, with the defaults of its location."""
    raw = mapping(part.raw)
    content = sorted(mapping(raw.get("content")))
    if content:
        return Serialization("", False, False, content[0])
    style = text(raw.get("style")) or _STYLES.get(location, "form")
    explode = raw["explode"] if isinstance(raw.get("explode"), bool) else style == "form"
    explode = explode or style == "deepObject"  # it has one form only
    return Serialization(style, bool(explode), raw.get("allowReserved") is True, "")


def schema(part: Part) -> Part:
    """Returns the schema of a parameter or header, which `content` may hold."""
    content = sorted(mapping(part.at("content").raw))
    return part.at("content", content[0], "schema") if content else part.at("schema")


@dataclass(frozen=True)
class Parameter:
    """One parameter after its references are followed; `position` counts the path's parameters."""

    name: str
    location: str
    part: Part
    position: int | None

    @property
    def required(self) -> bool:
        return self.location == "path" or mapping(self.part.raw).get("required") is True

    @property
    def may_be_empty(self) -> bool:
        return self.location == "query" and mapping(self.part.raw).get("allowEmptyValue") is True

    @property
    def written(self) -> Serialization:
        return serialization(self.part, self.location)

    @property
    def schema_parts(self) -> tuple[Part, ...]:
        """Its schema, as the comparison of schemas takes it."""
        found = schema(self.part)
        return (found,) if found.raw is not None else ()

    @property
    def on_the_wire(self) -> tuple[str, str]:
        """What it is known by there: a header by its name in any case, a path parameter by its position."""
        if self.location == "path" and self.position is not None:
            return self.location, str(self.position)
        return self.location, self.name.lower() if self.location == "header" else self.name


def parameters(document: Document, item: Part, operation: Part, path: str) -> list[Parameter]:
    """Returns the parameters that hold for an operation: its own win over those of the path item."""
    names = _NAMES.findall(path)
    found: dict[tuple[str, str], Parameter] = {}
    for owner in (item, operation):
        for member in owner.at("parameters").items() if owner.has("parameters") else ():
            part = document.followed(member)
            raw = mapping(part.raw)
            name, location = text(raw.get("name")), text(raw.get("in"))
            if not name or location not in _STYLES or (location == "header" and name.lower() in _IGNORED_HEADERS):
                continue
            made = Parameter(name, location, part, names.index(name) if location == "path" and name in names else None)
            place = f"{operation.place}/parameters/{':'.join(made.on_the_wire)}"
            found[location, name] = Parameter(name, location, Part(part.raw, part.pointer, place), made.position)
    return list(found.values())


def compare(comparison: Comparison, label: str, old: tuple[Part, Part, str], new: tuple[Part, Part, str]) -> None:
    """Compares the parameters of one operation; each side is path item, operation and path."""
    matched = _matched(parameters(comparison.old, *old), parameters(comparison.new, *new))
    for one, other in matched.pairs:
        _both(comparison, label, one, other)
    for parameter in matched.removed:
        if parameter.location != "path":
            moved = next((each for each in matched.added if each.name == parameter.name), None)
            hint = f" (The {moved.location} has one now.)" if moved else ""
            what = f"The {parameter.location} parameter `{parameter.name}` is removed.{hint}"
            comparison.found(REMOVED, what, (label,), parameter.part, in_base=True)
    for parameter in matched.added:
        if parameter.required and parameter.location != "path":
            what = f"The {parameter.location} parameter `{parameter.name}` is new and required."
            comparison.found(REQUIRED, what, (label,), parameter.part, in_base=False)


def _matched(old: list[Parameter], new: list[Parameter]) -> Paired[Parameter]:
    counts = [len([each for each in side if each.position is not None]) for side in (old, new)]

    def exactly(parameter: Parameter) -> tuple[str, str, int | None]:
        # The path's parameters travel by position alone, as long as the path has as many of them.
        if parameter.position is not None and counts[0] == counts[1]:
            return parameter.location, "", parameter.position
        return parameter.location, parameter.name, None

    return one_to_one(old, new, exactly, lambda parameter: parameter.on_the_wire)


def _both(comparison: Comparison, label: str, old: Parameter, new: Parameter) -> None:
    if new.location == "path" and old.name != new.name:
        what = f"The path parameter `{old.name}` is called `{new.name}`."
        comparison.found(NAME, what, (label,), new.part, in_base=False, detail=f"{old.name} {new.name}")
    if new.required and not old.required:
        what = f"The {new.location} parameter `{new.name}` is newly required."
        comparison.found(REQUIRED, what, (label,), new.part, in_base=False)
    if old.may_be_empty and not new.may_be_empty:
        what = f"The query parameter `{new.name}` may no longer be sent without a value."
        comparison.found(EMPTY, what, (label,), new.part, in_base=False)
    if comparison.schemas.sameness.same(old.schema_parts, new.schema_parts) and old.written == new.written:
        return
    before, after = comparison.schemas.meanings(old.schema_parts, new.schema_parts)
    # What has to be sent needs no default: that it became required says it all.
    if not old.required and not new.required:
        _default(comparison, label, new, comparison.schemas.defaults(old.schema_parts, new.schema_parts))
    if _rewritten(old, before, new, after) and (old.schema_parts or new.schema_parts):
        what = f"The {new.location} parameter `{new.name}` goes from {old.written} to {new.written}."
        detail = f"{old.written} {new.written}"
        comparison.found(SERIALIZATION, what, (label,), new.part, in_base=False, detail=detail)
    if not new.written.media and (types := text_types(before, after)):
        what = f"The {new.location} parameter `{new.name}` goes from {types[0]} to {types[1]}."
        comparison.found(TYPE, what, (label,), new.part, in_base=False, detail=types[0])
    comparison.need(label, schema(old.part), schema(new.part), Flow.REQUEST, _level(new))


def _default(comparison: Comparison, label: str, new: Parameter, values: tuple[object, object] | None) -> None:
    if values is not None:
        before, after = (canonical(value) if value is not None else "none" for value in values)
        what = f"The default of the {new.location} parameter `{new.name}` goes from {before} to {after}."
        comparison.found(DEFAULT, what, (label,), new.part, in_base=False, detail=f"{before} {after}")


def _level(parameter: Parameter) -> str:
    """What a value travels as: JSON, text, or text that may be repeated, so one value is a list of one."""
    written = parameter.written
    if written.media:
        return "schema"
    return "list" if written.style == "form" and written.explode else "text"


def text_types(before: Meaning, after: Meaning) -> tuple[str, str] | None:
    """Returns the types that are no longer named, and the one whose text has the same form; `None` where there is none."""
    now = "string" if "string" in _types(after) else "array" if "array" in _types(after) - _types(before) else ""
    lost = (_types(before) - _types(after)) & (SCALARS if now == "string" else TYPES)
    return (" or ".join(sorted(lost)), now) if lost and now else None


def _types(meaning: Meaning) -> set[str]:
    found = {name for shape in meaning.shapes for name in shape.types}
    return found - {"integer"} if "number" in found else found


def _rewritten(old: Parameter, before: Meaning, new: Parameter, after: Meaning) -> bool:
    """Returns whether the same value is written another way. Most styles differ for arrays and objects alone."""
    one, other = old.written, new.written
    if one.media != other.media or (one.reserved and not other.reserved):
        return True
    both = _types(before) & _types(after)
    plain = {"form", "spaceDelimited", "pipeDelimited", "deepObject", "simple", "cookie"}
    if not both & {"array", "object"}:
        return one.style != other.style and not {one.style, other.style} <= plain
    return one[:2] != other[:2]
