"""Compares objects and arrays: properties, what is required, further properties, items."""

from __future__ import annotations

import math

from cicd_actions.verify_openapi_client.breaking.document import Part, canonical, mapping
from cicd_actions.verify_openapi_client.breaking.rules import Flow
from cicd_actions.verify_openapi_client.breaking.shape import Shape
from cicd_actions.verify_openapi_client.breaking.shapes import Schemas
from cicd_actions.verify_openapi_client.breaking.sides import Sides

_HIDDEN_BY = {Flow.REQUEST: "readOnly", Flow.RESPONSE: "writeOnly"}


def visible(shape: Shape, flow: Flow, schemas: Schemas) -> dict[str, tuple[Part, ...]]:
    """Returns the properties that travel this way: `readOnly` ones are not sent, `writeOnly` ones not answered."""
    keyword = _HIDDEN_BY[flow]
    return {name: parts for name, parts in shape.properties.items() if not _says(parts, keyword, schemas)}


def _says(parts: tuple[Part, ...], keyword: str, schemas: Schemas) -> bool:
    # A part without a reference or `allOf` is all that `whole` would find.
    followed = any(isinstance(part.raw, dict) and ("$ref" in part.raw or "allOf" in part.raw) for part in parts)
    return any(mapping(part.raw).get(keyword) is True for part in (*parts, *(schemas.whole(parts).parts if followed else ())))


def compare(sides: Sides, old: dict[str, tuple[Part, ...]], new: dict[str, tuple[Part, ...]]) -> None:
    """Compares the objects of both sides; `old` and `new` are their visible properties."""
    for name, parts in old.items():
        if name in new:
            sides.need(*((parts, new[name]) if sides.old_is_sent else (new[name], parts)))
        else:
            _removed(sides, name, parts, new, old)
    for name, parts in new.items():
        if name not in old:
            _added(sides, name, parts)
    _required(sides, old, new)
    _additional(sides)


def _removed(
    sides: Sides, name: str, parts: tuple[Part, ...], new: dict[str, tuple[Part, ...]], old: dict[str, tuple[Part, ...]]
) -> None:
    if name in sides.new.properties:
        word = "read-only" if sides.flow is Flow.REQUEST else "write-only"
        sides.differ("property-hidden", f"The property `{name}` is now {word}.", detail=name, at=parts[0])
        return
    open_to = sides.new.additional
    if isinstance(open_to, tuple):
        sides.need(*((parts, open_to) if sides.old_is_sent else (open_to, parts)))
        return
    hint = ""
    for other, others in new.items():
        if other not in old and canonical(others[0].raw) == _with_title_of(parts[0].raw, others[0].raw):
            hint = f" (Renamed to `{other}`?)"
            break
    if sides.old_is_sent and not sides.new.properties and sides.new.types > {"object"}:
        return  # without any schema everything is taken
    closed = sides.old_is_sent and open_to is False
    what = f"The property `{name}` is removed{', and the object takes no others' if closed else ''}.{hint}"
    sides.differ("property-closed" if closed else "property-removed", what, detail=name, at=parts[0])


def _with_title_of(raw: object, other: object) -> str:
    """The schema's text with the other's title, which FastAPI makes of the property's name."""
    if isinstance(raw, dict) and isinstance(other, dict):
        raw = {
            **{key: value for key, value in raw.items() if key != "title"},
            **{k: v for k, v in other.items() if k == "title"},
        }
    return canonical(raw)


def _added(sides: Sides, name: str, parts: tuple[Part, ...]) -> None:
    was = sides.old.additional
    if isinstance(was, tuple):
        sides.need(*((was, parts) if sides.old_is_sent else (parts, was)))
    elif was is False and not sides.old_is_sent:
        sides.differ("property-closed", f"The property `{name}` is added to a closed object.", "additionalProperties", name)


def _required(sides: Sides, old: dict[str, tuple[Part, ...]], new: dict[str, tuple[Part, ...]]) -> None:
    sent, known = (_needed(sides.old, old), _needed(sides.new, new))[:: 1 if sides.old_is_sent else -1]
    for name in sorted(known - sent):
        if sides.old_is_sent:
            word = "newly required" if name in old else "new and required"
            sides.differ("required", f"The property `{name}` is {word}.", "required", name)
        elif name in new or name not in old or sides.new.additional is not True:
            sides.differ("required", f"The property `{name}` is no longer always there.", "required", name)


def _needed(shape: Shape, visible_: dict[str, tuple[Part, ...]]) -> set[str]:
    """The required properties that travel this way."""
    return {name for name in shape.required if name in visible_ or name not in shape.properties}


def _additional(sides: Sides) -> None:
    sent, known = sides.sent.additional, sides.known.additional
    if known is True or sent is False:
        return
    if isinstance(known, tuple) and isinstance(sent, tuple):
        sides.need(sent, known)
        return
    if sides.old_is_sent:
        what = "are refused" if known is False else "have to be of one type"
    else:
        what = "may be answered" if known is False else "may be of any type"
    sides.differ("additional", f"Further properties {what}.", "additionalProperties")


def compare_arrays(sides: Sides) -> None:
    """Compares the items of arrays."""
    sent, known = sides.sent, sides.known
    longest = sent.sizes.get("maxItems", math.inf)
    for index in range(int(min(longest, max(len(sent.prefix), len(known.prefix))))):
        one, other = _item(sent, index), _item(known, index)
        if other is False:
            if one is not False:
                sides.differ("constraint", f"Item {index} is not allowed on one side.", "items", f"item {index}")
        elif other is not True and one is not False:
            sides.need(one if isinstance(one, tuple) else (), other)
    if longest <= len(sent.prefix):
        pass  # no item stands behind those
    elif known.items is False:
        if sent.items is not False:
            sides.differ("constraint", "The array takes no further items on one side.", "items", "further items")
    elif known.items is not True and sent.items is not False:
        sides.need(sent.items if isinstance(sent.items, tuple) else (), known.items)
    if known.unique and not sent.unique and sent.sizes.get("maxItems", 2) > 1:
        what = "have to be unique" if sides.old_is_sent else "may repeat"
        sides.differ("constraint", f"The items {what}.", "uniqueItems")


def _item(shape: Shape, index: int) -> tuple[Part, ...] | bool:
    return shape.prefix[index] if index < len(shape.prefix) else shape.items
