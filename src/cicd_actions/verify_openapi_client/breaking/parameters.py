"""Compares parameters: those of the operation and those that it inherits from its path item."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, text
from cicd_actions.verify_openapi_client.breaking.rules import Effect, Flow, rule
from cicd_actions.verify_openapi_client.breaking.shape import SCALARS, Meaning

REMOVED = rule(
    "parameter-removed",
    "a parameter is removed",
    whom="callers that send it",
    why="What they send is ignored without a word, or refused.",
    compatibly="Go on accepting it, mark it `deprecated`, and remove it when nobody sends it.",
)
REQUIRED = rule(
    "parameter-required",
    "a parameter is newly required",
    whom="callers that do not send it",
    why="Requests without it, which were accepted, are refused from now on.",
    compatibly="Keep it optional, with a default for callers that do not send it.",
)
SERIALIZATION = rule(
    "parameter-serialization",
    "a parameter is written another way",
    whom="callers that send it",
    why="The same value is written differently in the URL or the header, and the old way is misread.",
    compatibly="Add a parameter of another name for the new way, and keep the old one for a while.",
)
TYPE = rule(
    "parameter-type",
    "a parameter has another type that is written the same",
    whom="typed code that passes the old type",
    why="The request on the wire stays as it was, because parameters travel as text; TypeScript that passes the old type does"
    " not compile any more.",
    compatibly="Keep the type, or release the client with the note that the parameter's type changes.",
    effect=Effect.GENERATED_SYMBOL,
)
NAME = rule(
    "path-parameter-name",
    "a path parameter has another name",
    whom="typed code that names it",
    why="The name is no part of the request, but generated code has it in types and arguments.",
    compatibly="Keep the name, or release the client with the note that the name changes.",
    effect=Effect.GENERATED_SYMBOL,
)

_STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
_IGNORED_HEADERS = {"accept", "content-type", "authorization"}
"""Header parameters of these names have no meaning (OpenAPI 3.1.1, section 4.8.12)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter after its references are followed. `key` is what it is known by on the wire."""

    name: str
    location: str
    part: Part
    key: tuple[str, str]

    @property
    def required(self) -> bool:
        return self.location == "path" or mapping(self.part.raw).get("required") is True

    @property
    def serialization(self) -> tuple[str, bool, bool, str]:
        """Style, explode, allowReserved, and the media type where `content` is used (OpenAPI 3.1.1, section 4.8.12.2)."""
        raw = mapping(self.part.raw)
        content = sorted(mapping(raw.get("content")))
        if content:
            return "", False, False, content[0]
        style = text(raw.get("style")) or _STYLES.get(self.location, "form")
        explode = raw.get("explode") if isinstance(raw.get("explode"), bool) else style == "form"
        return style, bool(explode), raw.get("allowReserved") is True, ""

    @property
    def schema(self) -> Part:
        content = sorted(mapping(self.part.at("content").raw))
        return self.part.at("content", content[0], "schema") if content else self.part.at("schema")


def parameters(document: Document, item: Part, operation: Part, path: str) -> dict[tuple[str, str], Parameter]:
    """The parameters that hold for an operation: its own win over those of the path item."""
    names = re.findall(r"\{([^{}]*)\}", path)
    found: dict[tuple[str, str], Parameter] = {}
    for owner in (item, operation):
        for member in owner.at("parameters").items():
            part = document.followed(member)
            raw = mapping(part.raw)
            name, location = text(raw.get("name")), text(raw.get("in"))
            if not name or location not in _STYLES or (location == "header" and name.lower() in _IGNORED_HEADERS):
                continue
            # A path parameter is known by its position, a header by its name in any case.
            known_by = name.lower() if location == "header" else name
            if location == "path":
                known_by = str(names.index(name)) if name in names else f"not in the path: {name}"
            place = f"{operation.place}/parameters/{location}:{known_by}"
            found[location, known_by] = Parameter(name, location, Part(part.raw, part.pointer, place), (location, known_by))
    return found


def compare(comparison: Comparison, label: str, old: tuple[Part, Part, str], new: tuple[Part, Part, str]) -> None:
    """Compare the parameters of one operation; each side is path item, operation and path."""
    before = parameters(comparison.old, *old)
    after = parameters(comparison.new, *new)
    for key, parameter in before.items():
        other = after.get(key)
        if other is not None:
            _both(comparison, label, parameter, other)
        elif parameter.location != "path":
            moved = next((each for each in after.values() if each.name == parameter.name and each.key not in before), None)
            hint = f" (There is one in the {moved.location} now.)" if moved else ""
            what = f"The {parameter.location} parameter `{parameter.name}` is removed.{hint}"
            comparison.found(REMOVED, what, (label,), parameter.part, in_base=True)
    for key, parameter in after.items():
        if key not in before and parameter.required and parameter.location != "path":
            what = f"The {parameter.location} parameter `{parameter.name}` is new and required."
            comparison.found(REQUIRED, what, (label,), parameter.part, in_base=False)


def _both(comparison: Comparison, label: str, old: Parameter, new: Parameter) -> None:
    if new.location == "path" and old.name != new.name:
        what = f"The path parameter `{old.name}` is called `{new.name}`."
        comparison.found(NAME, what, (label,), new.part, in_base=False, detail=f"{old.name} {new.name}")
    if new.required and not old.required:
        what = f"The {new.location} parameter `{new.name}` is newly required."
        comparison.found(REQUIRED, what, (label,), new.part, in_base=False)
    schemas = [(part,) if part.raw is not None else () for part in (old.schema, new.schema)]
    if comparison.schemas.sameness.same(schemas[0], schemas[1]) and old.serialization == new.serialization:
        return
    before, after = comparison.schemas.meanings(schemas[0], schemas[1])
    if _serialization(old, before) != _serialization(new, after) and (old.schema.raw, new.schema.raw) != (None, None):
        what = f"The {new.location} parameter `{new.name}` goes from {_words(old)} to {_words(new)}."
        comparison.found(SERIALIZATION, what, (label,), new.part, in_base=False, detail=f"{_words(old)} {_words(new)}")
    if _any_text(after) and not before.nullable and all(shape.types <= SCALARS for shape in before.shapes):
        if any("string" not in shape.types for shape in before.shapes):
            types = " or ".join(sorted({name for shape in before.shapes for name in shape.types} - {"string"}))
            what = f"The {new.location} parameter `{new.name}` goes from {types} to string."
            comparison.found(TYPE, what, (label,), new.part, in_base=False, detail=types)
        return
    comparison.need(label, Part(old.schema.raw, old.schema.pointer, old.schema.place), new.schema, Flow.REQUEST)


def _any_text(meaning: Meaning) -> bool:
    """Whether any text is accepted, so every number and boolean too: on the wire they are text."""
    if len(meaning.shapes) != 1:
        return False
    shape = meaning.shapes[0]
    narrow = shape.enum is not None or shape.formats or shape.patterns or shape.sizes or shape.others
    return "string" in shape.types and not narrow


def _serialization(parameter: Parameter, meaning: Meaning) -> tuple[str, bool, bool, str]:
    style, explode, reserved, media = parameter.serialization
    composite = any(shape.types & {"array", "object"} for shape in meaning.shapes)
    if not composite and style in {"form", "spaceDelimited", "pipeDelimited", "deepObject", "simple"}:
        style, explode = "", False  # these differ for arrays and objects alone
    return style, explode if composite else False, reserved, media


def _words(parameter: Parameter) -> str:
    style, explode, reserved, media = parameter.serialization
    if media:
        return media
    return f"style {style}{', exploded' if explode else ''}{', reserved characters allowed' if reserved else ''}"
