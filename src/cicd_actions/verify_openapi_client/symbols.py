"""Finds what breaks in generated code although the wire stays as it is: names of functions, types and enums.

`openapi-typescript` makes types of components and operation ids; `@hey-api/openapi-ts`, orval and others make functions of
operation ids, groups of tags, and enums of `x-enum-varnames`.
"""

from __future__ import annotations

from collections.abc import Iterator

from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, sequence, text
from cicd_actions.verify_openapi_client.breaking.operations import Operation, matched, operations
from cicd_actions.verify_openapi_client.breaking.rules import Effect, Rule, rule
from cicd_actions.verify_openapi_client.breaking.sameness import Sameness

_TYPED = "code that uses the generated name"
_NOTE = "Keep the name, or rename its uses in the same pull request as the regenerated client."

OPERATION_ID = rule(
    "operation-id",
    "an operation has another operationId",
    whom=_TYPED,
    why="Generators name functions and types after it; code that calls the old name does not compile.",
    compatibly="Set the old operationId explicitly (FastAPI: `operation_id=` or `generate_unique_id_function`).",
    effect=Effect.GENERATED_SYMBOL,
)
TAG = rule(
    "operation-tag",
    "an operation has another first tag",
    whom=_TYPED,
    why="Generators group functions by the first tag; code that imports the old group does not compile.",
    compatibly="Keep the first tag, and add new ones behind it.",
    effect=Effect.GENERATED_SYMBOL,
)
COMPONENT = rule(
    "component-name",
    "a component is renamed or gone",
    whom=_TYPED,
    why="Generators make a type of each component; code that imports the old name does not compile.",
    compatibly=_NOTE,
    effect=Effect.GENERATED_SYMBOL,
)
ENUM_NAMES = rule(
    "enum-names",
    "an enum's members have other names",
    whom=_TYPED,
    why="Generators name an enum's members after them; code that uses the old name does not compile.",
    compatibly=_NOTE,
    effect=Effect.GENERATED_SYMBOL,
)

_KINDS = ("schemas", "responses", "parameters", "requestBodies", "headers", "pathItems")
_NAMES = ("x-enum-varnames", "x-enumNames", "x-enum-names")


def compare(old: Document, new: Document) -> list[Change]:
    """The changes of generated names from `old` to `new`."""
    return [*_operations(old, new), *_components(old, new)]


def _operations(old: Document, new: Document) -> Iterator[Change]:
    for one, other in matched(_listed(old), _listed(new)).pairs:
        if one.id and one.id != other.id:
            now = f"`{other.id}`" if other.id else "nothing"
            yield _change(
                OPERATION_ID,
                f"The operationId of {other.label} goes from `{one.id}` to {now}.",
                other,
                Part(None, other.part.at("operationId").pointer, one.part.place),
                f"{one.id} {other.id}",
            )
        before, after = _tag(one), _tag(other)
        if before and before != after:
            now = f"`{after}`" if after else "nothing"
            yield _change(
                TAG,
                f"The first tag of {other.label} goes from `{before}` to {now}.",
                other,
                Part(None, other.part.at("tags").pointer, one.part.place),
                f"{before} {after}",
            )


def _listed(document: Document) -> list[Operation]:
    return list(operations(document, document.root.at("paths")))


def _tag(operation: Operation) -> str:
    tags = sequence(mapping(operation.part.raw).get("tags"))
    return text(tags[0]) if tags else ""


def _change(found: Rule, what: str, operation: Operation, at: Part, detail: str) -> Change:
    return Change(found, what, (operation.label,), at.pointer, False, at.place, detail)


def _components(old: Document, new: Document) -> Iterator[Change]:
    sameness: Sameness | None = None  # which takes a look at the whole of both documents
    for kind in _KINDS:
        before, after = (dict(document.root.at("components", kind).entries()) for document in (old, new))
        added = {name: _untitled(part) for name, part in after.items() if name not in before}
        for name, part in before.items():
            if name in after:
                yield from _enum_names(name, part, after[name])
                continue
            sameness = sameness or Sameness(old, new)
            renamed = _renamed(name, _untitled(part), added, sameness)
            what = f"{renamed} is what `{name}` was." if renamed else f"`{name}` is gone."
            yield Change(COMPONENT, what, (), part.pointer, True, part.place, renamed)


def _renamed(name: str, part: Part, added: dict[str, Part], sameness: Sameness) -> str:
    """The added components that the old one became: FastAPI splits `Item` into `Item-Input` and `Item-Output`."""
    split = [each for each in (f"{name}-Input", f"{name}-Output") if each in added]
    joined = [each for each in (name.removesuffix("-Input").removesuffix("-Output"),) if each != name and each in added]
    same = [each for each, other in added.items() if sameness.same((part,), (other,))]
    return " and ".join(f"`{each}`" for each in sorted(set(split or joined or same[:1])))


def _untitled(part: Part) -> Part:
    raw = {key: value for key, value in mapping(part.raw).items() if key != "title"}
    return Part(raw, part.pointer, part.place)


def _enum_names(name: str, old: Part, new: Part) -> Iterator[Change]:
    for keyword in _NAMES:
        before, after = _names(old, keyword), _names(new, keyword)
        for value, member in before.items():
            if value in after and after[value] != member:
                what = f"The member of `{name}` for {value} goes from `{member}` to `{after[value]}`."
                at = new.at(keyword)
                yield Change(ENUM_NAMES, what, (), at.pointer, False, old.at(keyword).place, f"{value} {member} {after[value]}")


def _names(part: Part, keyword: str) -> dict[str, str]:
    raw = mapping(part.raw)
    values, names = sequence(raw.get("enum")), sequence(raw.get(keyword))
    return {str(value): text(name) for value, name in zip(values, names, strict=False) if text(name)}
