"""Compares the keywords that hold schemas themselves, part by part where that decides it."""

from __future__ import annotations

from cicd_actions.verify_openapi_client.breaking.document import Part, mapping, sequence
from cicd_actions.verify_openapi_client.breaking.patterns import normal
from cicd_actions.verify_openapi_client.breaking.shape import Shape
from cicd_actions.verify_openapi_client.breaking.sides import Sides

_OF_TYPE = {
    "propertyNames": "object",
    "dependentSchemas": "object",
    "dependentRequired": "object",
    "patternProperties": "object",
    "contains": "array",
    "contentSchema": "string",
}

READ = frozenset((*_OF_TYPE, "minContains", "maxContains"))
"""The keywords that are compared here."""


def compare(sides: Sides, shared: frozenset[str]) -> None:
    """Notes what a constraint of the known side no longer lets through."""
    for keyword, kind in _OF_TYPE.items():
        if kind not in shared or not (sides.known.constraints.get(keyword) or sides.sent.constraints.get(keyword)):
            continue
        if keyword == "contains":
            _contains(sides)
        elif keyword == "dependentRequired":
            _dependent_required(sides)
        elif keyword in {"propertyNames", "contentSchema"}:
            _single(sides, keyword)
        else:
            _named(sides, keyword)


def _missing(sides: Sides, keyword: str, detail: str = "") -> None:
    shown = f"`{keyword}`{f' of `{detail}`' if detail else ''}"
    sides.differ("constraint", f"{shown} is {'new' if sides.old_is_sent else 'removed'}.", keyword, f"{keyword} {detail}")


def _single(sides: Sides, keyword: str) -> None:
    sent, known = (side.constraints.get(keyword, ()) for side in (sides.sent, sides.known))
    if known and sent:
        sides.need(sent, known)
    elif known:
        _missing(sides, keyword)


def _named(sides: Sides, keyword: str) -> None:
    """Compares `patternProperties` and `dependentSchemas`: the same name, or what else holds for its properties."""
    sent, known = _entries(sides.sent, keyword), _entries(sides.known, keyword)
    for name, parts in known.items():
        others = sent.get(name)
        if others is None and keyword == "patternProperties":
            open_to = sides.sent.additional
            if open_to is False:
                continue
            others = open_to if isinstance(open_to, tuple) else None
        if others is None:
            _missing(sides, keyword, name)
        else:
            sides.need(others, parts)
    if keyword == "patternProperties" and isinstance(sides.known.additional, tuple):
        for name, parts in sent.items():
            if name not in known:
                sides.need(parts, sides.known.additional)
    elif keyword == "patternProperties" and sides.known.additional is False:
        for name in sent.keys() - known.keys():
            word = "no longer accepted" if sides.old_is_sent else "new in a closed object"
            sides.differ("additional", f"Properties that match `{name}` are {word}.", keyword, name)


def _entries(shape: Shape, keyword: str) -> dict[str, tuple[Part, ...]]:
    found: dict[str, tuple[Part, ...]] = {}
    for part in shape.constraints.get(keyword, ()):
        for name, schema in part.entries():
            key = normal(name) if keyword == "patternProperties" else name
            found[key] = (*found.get(key, ()), schema)
    return found


def _dependent_required(sides: Sides) -> None:
    sent, known = _names(sides.sent), _names(sides.known)
    for name, wanted in known.items():
        closed = sides.sent.additional is False and name not in sides.sent.properties
        if not closed and not wanted <= sent.get(name, frozenset()) | sides.sent.required:
            missing = ", ".join(sorted(wanted - sent.get(name, frozenset())))
            word = "now requires" if sides.old_is_sent else "no longer implies"
            sides.differ("constraint", f"`{name}` {word} {missing}.", "dependentRequired", f"{name} {missing}")


def _names(shape: Shape) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in shape.constraints.get("dependentRequired", ()):
        for name, names in mapping(part.raw).items():
            found[name] = found.get(name, frozenset()) | {each for each in sequence(names) if isinstance(each, str)}
    return found


def _contains(sides: Sides) -> None:
    """An array that has `least` items of a kind has as many of every wider kind; `most` works the other way round."""
    sent, known = (side.constraints.get("contains", ()) for side in (sides.sent, sides.known))
    if not known:
        return
    if not sent:
        _missing(sides, "contains")
        return
    least, most = _counts(sides.sent)
    wanted, allowed = _counts(sides.known)
    if least < wanted or (allowed is not None and (most is None or most > allowed)):
        what = (
            "The number of items that `contains` counts is narrower."
            if sides.old_is_sent
            else "`contains` counts less strictly."
        )
        sides.differ("constraint", what, "contains", f"{wanted} {allowed}")
    sides.need(sent, known)
    if allowed is not None:
        sides.need(sent, known, turned=True)


def _counts(shape: Shape) -> tuple[int, int | None]:
    return shape.sizes.get("minContains", 1), shape.sizes.get("maxContains")
