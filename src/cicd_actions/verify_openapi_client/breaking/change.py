"""One change that breaks callers, and what the rules add to while two documents are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cicd_actions.verify_openapi_client.breaking.document import METHODS, Document, Part, mapping, text, tokens
from cicd_actions.verify_openapi_client.breaking.rules import Flow, Rule, for_flow
from cicd_actions.verify_openapi_client.breaking.schemas import SchemaComparison
from cicd_actions.verify_openapi_client.breaking.sides import Difference, Pair


@dataclass(frozen=True)
class Change:
    """What changed (`what`, a sentence), for which operations, and where.

    `pointer` is a JSON pointer into the new document, or into the base where `in_base` says so. `place` and `detail` make
    the fingerprint: they hold names, never the indices of arrays or the numbers of lines.

    `deprecated` says that the base had marked as `deprecated` what a removal removes, and `sunset` is its `x-sunset`.
    """

    rule: Rule
    what: str
    operations: tuple[str, ...]
    pointer: str
    in_base: bool
    place: str
    detail: str
    deprecated: bool = False
    sunset: str = ""

    @property
    def fingerprint(self) -> str:
        """Returns 32 hexadecimal digits that stay the same while the change does."""
        text = f"{self.rule.id}\0{self.place}\0{self.detail}"
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


class Comparison:
    """Holds two documents and what was found in them so far."""

    def __init__(self, old: Document, new: Document, schemas: SchemaComparison) -> None:
        self.old = old
        self.new = new
        self.schemas = schemas
        self._changes: list[Change] = []
        self._roots: dict[str, list[Pair]] = {}

    def found(self, rule: Rule, what: str, operations: tuple[str, ...], at: Part, *, in_base: bool, detail: str = "") -> None:
        """Notes a change at a part of the new document, or of the base."""
        self._changes.append(Change(rule, what, operations, at.pointer, in_base, at.place, detail))

    def need(self, operation: str, old: Part, new: Part, flow: Flow, level: str = "schema") -> None:
        """Has two schemas compared for an operation; an absent one allows everything. `level` is that of `schemas.need`."""
        pair = self.schemas.need(_parts(old), _parts(new), flow, level)
        if pair is not None:
            self._roots.setdefault(operation, []).append(pair)

    def changes(self) -> list[Change]:
        """Returns all that was found, each once, in the order of the places. Raises `graph.TooMuch`."""
        self.schemas.solve()
        # Operations that share their schemas share what is wrong with them: each such set is read once.
        alike: dict[int, list[str]] = {}
        for operation, pairs in self._roots.items():
            alike.setdefault(self.schemas.marks(pairs), []).append(operation)
        users: dict[Difference, list[str]] = {}
        for marks, operations in alike.items():
            for difference in self.schemas.differences(marks):
                users.setdefault(difference, []).extend(operations)
        found = list(self._changes)
        for difference, operations in users.items():
            rule = for_flow(difference.kind, difference.flow)
            found.append(
                Change(
                    rule,
                    _about(difference),
                    tuple(dict.fromkeys(operations)),
                    difference.pointer,
                    difference.in_base,
                    difference.place,
                    difference.detail,
                )
            )
        unique: dict[str, Change] = {}
        for change in found:
            known = unique.get(change.fingerprint)
            together = tuple(dict.fromkeys((*(known.operations if known else ()), *change.operations)))
            unique[change.fingerprint] = replace(known or self._retired(change), operations=together)
        return sorted(unique.values(), key=lambda change: (change.place, change.rule.id, change.detail))

    def _retired(self, change: Change) -> Change:
        """The change with what the base says of the end of what is removed."""
        at = self.old.find(change.pointer) if change.rule.removal and change.in_base else None
        if at is None:
            return change
        parts = [self.old.followed(at)]
        if change.rule.id in {"path-removed", "operation-removed", "operation-moved"}:
            parts = list(self._operations(change)) or parts
        ends = [mapping(part.raw) for part in parts]
        deprecated = all(end.get("deprecated") is True for end in ends)
        return replace(change, deprecated=deprecated, sunset=max((text(end.get("x-sunset")) for end in ends), default=""))

    def _operations(self, change: Change) -> Iterator[Part]:
        """The operations of the base that a change of several is about."""
        for path, item in self.old.root.at("paths").entries():
            followed = self.old.followed(item)
            for method in METHODS:
                if f"{method.upper()} {path}" in change.operations:
                    yield followed.at(method)


def _about(difference: Difference) -> str:
    """The sentence with the schema and property that it is about: `Item.name`."""
    keys = tokens(difference.place)
    names = keys[2:3] if keys[:2] == ["components", "schemas"] else []
    steps = iter(keys[2:] if names else keys)
    for key in steps:
        if key == "properties":
            names.append(next(steps, ""))
        elif key in {"items", "additionalProperties"} and names:
            names[-1] += "[]" if key == "items" else "[…]"
    return f"`{'.'.join(names)}`: {difference.what}" if names else difference.what


def _parts(part: Part) -> tuple[Part, ...]:
    return (part,) if part.raw is not None else ()
