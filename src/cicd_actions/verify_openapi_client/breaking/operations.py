"""Finds the operations of two documents that belong together, and those that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cicd_actions.verify_openapi_client.breaking import bodies, parameters, responses, security, servers
from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import METHODS, Document, Part, mapping, text
from cicd_actions.verify_openapi_client.breaking.rules import Flow, rule

_EVERYBODY = "everybody who calls it"

PATH_REMOVED = rule(
    "path-removed",
    "a path is removed",
    whom=_EVERYBODY,
    why="Every request to it is answered with 404 from now on.",
    compatibly="Keep the path, mark its operations `deprecated`, and remove it when nobody calls it.",
)
OPERATION_REMOVED = rule(
    "operation-removed",
    "an operation is removed",
    whom=_EVERYBODY,
    why="Every request to it is answered with 404 or 405 from now on.",
    compatibly="Keep the operation, mark it `deprecated`, and remove it when nobody calls it.",
)
OPERATION_MOVED = rule(
    "operation-moved",
    "an operation has another path or method",
    whom=_EVERYBODY,
    why="Every request to the old path and method is answered with 404 or 405 from now on.",
    compatibly="Serve it at both places for a while, the old one marked `deprecated`.",
)
WEBHOOK_REMOVED = rule(
    "webhook-removed",
    "a webhook or callback is removed",
    whom="receivers that wait for it",
    why="It is never sent again.",
    compatibly="Go on sending it until nobody listens.",
)


@dataclass(frozen=True)
class Operation:
    """One operation: its `label` is `GET /items/{item_id}`, its `key` the same without the parameters' names."""

    method: str
    path: str
    part: Part
    item: Part

    @property
    def label(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def key(self) -> tuple[str, str]:
        return self.method, template(self.path)

    @property
    def id(self) -> str:
        return text(mapping(self.part.raw).get("operationId"))


def template(path: str) -> str:
    """The path without the names of its parameters, which never travel."""
    return re.sub(r"\{[^{}]*\}", "{}", path)


def operations(document: Document, paths: Part) -> Iterator[Operation]:
    """The operations of an object of path items."""
    for path, item in paths.entries():
        followed = document.followed(item)
        for method in METHODS:
            part = followed.at(method)
            if isinstance(part.raw, dict):
                # Where an operation is called from counts, not where its path item stands.
                place = Part(part.raw, part.pointer, f"{paths.place}/{template(path)}/{method}")
                yield Operation(method, path, place, followed)


def matched(old: list[Operation], new: list[Operation]) -> tuple[list[tuple[Operation, Operation]], list[Operation]]:
    """Operations of the same method and path, and the old ones that have none. An equal path wins over an equal template."""
    exact = {operation.label: operation for operation in new}
    by_key: dict[tuple[str, str], Operation] = {}
    for operation in new:
        by_key.setdefault(operation.key, operation)
    pairs: list[tuple[Operation, Operation]] = []
    gone: list[Operation] = []
    for operation in old:
        other = exact.get(operation.label) or by_key.get(operation.key)
        if other is None:
            gone.append(operation)
        else:
            pairs.append((operation, other))
    return pairs, gone


def compare(comparison: Comparison) -> None:
    """Compare all operations, webhooks and callbacks."""
    old = list(operations(comparison.old, comparison.old.root.at("paths")))
    new = list(operations(comparison.new, comparison.new.root.at("paths")))
    pairs, gone = matched(old, new)
    _gone(comparison, gone, old, new)
    for one, other in pairs:
        _both(comparison, one, other)
    _webhooks(
        comparison,
        list(operations(comparison.old, comparison.old.root.at("webhooks"))),
        list(operations(comparison.new, comparison.new.root.at("webhooks"))),
    )


def _gone(comparison: Comparison, gone: list[Operation], old: list[Operation], new: list[Operation]) -> None:
    ids = {operation.id: operation for operation in new if operation.id}
    kept = {operation.path for operation in old if operation not in gone}
    by_path: dict[str, list[Operation]] = {}
    for operation in gone:
        moved = ids.get(operation.id)
        if moved is not None and moved.key not in {each.key for each in old}:
            what = f"{operation.label} is now {moved.label} (operationId `{operation.id}`)."
            comparison.found(OPERATION_MOVED, what, (operation.label,), operation.part, in_base=True, detail=moved.label)
        elif operation.path in kept:
            comparison.found(
                OPERATION_REMOVED, f"{operation.label} is removed.", (operation.label,), operation.part, in_base=True
            )
        else:
            by_path.setdefault(operation.path, []).append(operation)
    for path, removed in by_path.items():
        labels = tuple(operation.label for operation in removed)
        at = comparison.old.root.at("paths", path)
        place = Part(at.raw, at.pointer, f"#/paths/{template(path)}")
        detail = " ".join(sorted(operation.method for operation in removed))
        comparison.found(
            PATH_REMOVED, f"The path {path} is removed ({', '.join(labels)}).", labels, place, in_base=True, detail=detail
        )


def _both(comparison: Comparison, old: Operation, new: Operation) -> None:
    label = new.label
    parameters.compare(comparison, label, (old.item, old.part, old.path), (new.item, new.part, new.path))
    bodies.compare_request(comparison, label, old.part, new.part)
    responses.compare(comparison, label, old.part.at("responses"), new.part.at("responses"))
    security.compare(comparison, label, old.part, new.part)
    servers.compare(comparison, label, (old.item, old.part), (new.item, new.part))
    for name, callback in old.part.at("callbacks").entries():
        other = new.part.at("callbacks", name)
        _webhooks(
            comparison,
            list(operations(comparison.old, comparison.old.followed(callback))),
            list(operations(comparison.new, comparison.new.followed(other))),
            within=f"{label} → {name} → ",
        )


def _webhooks(comparison: Comparison, old: list[Operation], new: list[Operation], *, within: str = "") -> None:
    """The API calls its callers: what is a request to them is an answer here, and the other way round."""
    pairs, gone = matched(old, new)
    for operation in gone:
        label = f"{within}{operation.label}"
        comparison.found(WEBHOOK_REMOVED, f"{label} is removed.", (label,), operation.part, in_base=True)
    for one, other in pairs:
        label = f"{within}{other.label}"
        body_old, body_new = (
            document.followed(each.part.at("requestBody"))
            for document, each in ((comparison.old, one), (comparison.new, other))
        )
        bodies.compare_content(comparison, label, body_old, body_new, Flow.RESPONSE)
        for code, answer in one.part.at("responses").entries():
            theirs = comparison.new.followed(other.part.at("responses", code))
            if theirs.raw is not None:
                bodies.compare_content(comparison, label, comparison.old.followed(answer), theirs, Flow.REQUEST)
