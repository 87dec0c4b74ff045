"""Finds the operations of two documents that belong together, and those that are removed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cicd_actions.verify_openapi_client.breaking import bodies, parameters, responses, security, servers
from cicd_actions.verify_openapi_client.breaking.change import Comparison
from cicd_actions.verify_openapi_client.breaking.document import METHODS, Document, Part, mapping, text
from cicd_actions.verify_openapi_client.breaking.matching import Paired, one_to_one
from cicd_actions.verify_openapi_client.breaking.rules import Flow, rule

_ALL_CALLERS = "all its callers"

PATH_REMOVED = rule(
    "path-removed",
    "a path is removed",
    whom=_ALL_CALLERS,
    why="The API now answers every request to it with 404.",
    compatibly="Keep the path, mark its operations `deprecated`, and remove it when no caller uses it.",
    removal=True,
)
OPERATION_REMOVED = rule(
    "operation-removed",
    "an operation is removed",
    whom=_ALL_CALLERS,
    why="The API now answers every request to it with 404 or 405.",
    compatibly="Keep the operation, mark it `deprecated`, and remove it when no caller uses it.",
    removal=True,
)
OPERATION_MOVED = rule(
    "operation-moved",
    "operations have another path or method",
    whom=_ALL_CALLERS,
    why="The API now answers every request to the old path and method with 404 or 405.",
    compatibly="Serve both places for a while, and mark the old one `deprecated`.",
    removal=True,
)
WEBHOOK_REMOVED = rule(
    "webhook-removed",
    "a webhook or callback is removed",
    whom="receivers that wait for it",
    why="The API never sends it again.",
    compatibly="Keep sending it until no receiver needs it.",
    removal=True,
)
WEBHOOK_ANSWER = rule(
    "webhook-answer-code",
    "a receiver's status code is no longer expected",
    whom="receivers that answer it",
    why="The API may treat their answer as a failure, and send the webhook again.",
    compatibly="Keep accepting the old status code beside the new one.",
)


@dataclass(frozen=True)
class Operation:
    """One operation. `prefix` is the path that its servers share, so `prefix` and `path` are what a caller requests."""

    method: str
    path: str
    part: Part
    item: Part
    prefix: str = ""

    @property
    def label(self) -> str:
        """Returns `GET /items/{item_id}`."""
        return f"{self.method.upper()} {self.path}"

    @property
    def id(self) -> str:
        return text(mapping(self.part.raw).get("operationId"))

    def moved_by_server(self, other: Operation) -> bool:
        """Returns whether only the line between server and path moved: the same address is requested."""
        mine, theirs = (template(each.prefix + each.path) for each in (self, other))
        return self.prefix != other.prefix and mine == theirs


def template(path: str) -> str:
    """Returns the path without the names of its parameters, which never travel."""
    return re.sub(r"\{[^{}]*\}", "{}", path)


def operations(document: Document, paths: Part) -> Iterator[Operation]:
    """Yields the operations of an object of path items."""
    nothing = Part(None, "#", "#")
    shared = servers.prefix(document, nothing, nothing)
    for path, item in paths.entries():
        followed = document.followed(item)
        methods = [(method, followed.at(method)) for method in METHODS if followed.has(method)]
        methods += followed.at("additionalOperations").entries()
        for method, part in methods:
            if isinstance(part.raw, dict):
                # Where an operation is called from counts, not where its path item stands.
                place = Part(part.raw, part.pointer, f"{paths.place}/{template(path)}/{method}")
                own = "servers" in part.raw or "servers" in mapping(followed.raw)
                prefix = servers.prefix(document, followed, part) if own else shared
                yield Operation(method, path, place, followed, prefix)


def matched(old: Sequence[Operation], new: Sequence[Operation]) -> Paired[Operation]:
    """Pairs operations that callers reach by the same method and address; then those of an equal path."""
    return one_to_one(
        old,
        new,
        lambda one: (one.method, one.prefix + one.path),
        lambda one: (one.method, template(one.prefix + one.path)),
        lambda one: one.label,
        lambda one: (one.method, template(one.path)),
    )


def compare(comparison: Comparison) -> None:
    """Compares all operations, webhooks and callbacks."""
    old = list(operations(comparison.old, comparison.old.root.at("paths")))
    new = list(operations(comparison.new, comparison.new.root.at("paths")))
    found = matched(old, new)
    moved = _gone(comparison, found, {operation.path for operation, _ in found.pairs})
    for one, other in (*found.pairs, *moved):
        _both(comparison, one, other)
    hooks = [[("", one) for one in operations(each, each.root.at("webhooks"))] for each in (comparison.old, comparison.new)]
    _webhooks(comparison, "", *hooks)


def _gone(comparison: Comparison, found: Paired[Operation], kept: set[str]) -> list[tuple[Operation, Operation]]:
    """Notes the removed operations: moved together with others, moved alone, or gone. Returns those that moved."""
    moved: list[tuple[Operation, Operation]] = []
    left, added = list(found.removed), list(found.added)
    for (before, after), pairs in _moves(left, added):
        labels = tuple(one.label for one, _ in pairs)
        what = f"{len(pairs)} operations move from `{before or '/'}` to `{after or '/'}`."
        paths = comparison.old.root.at("paths")
        comparison.found(OPERATION_MOVED, what, labels, paths, in_base=True, detail=f"{before} {after}")
        moved += pairs
        left = [one for one in left if all(one is not pair[0] for pair in pairs)]
        added = [one for one in added if all(one is not pair[1] for pair in pairs)]
    by_id = {operation.id: operation for operation in added if operation.id}
    by_path: dict[str, list[Operation]] = {}
    for operation in left:
        other = by_id.pop(operation.id, None)
        if other is not None:
            what = f"{operation.label} is now {other.label} (operationId `{operation.id}`)."
            comparison.found(OPERATION_MOVED, what, (operation.label,), operation.part, in_base=True, detail=other.label)
            moved.append((operation, other))
        elif operation.path in kept:
            what = f"{operation.label} is removed."
            comparison.found(OPERATION_REMOVED, what, (operation.label,), operation.part, in_base=True)
        else:
            by_path.setdefault(operation.path, []).append(operation)
    for path, removed in by_path.items():
        labels = tuple(operation.label for operation in removed)
        at = comparison.old.root.at("paths", path)
        place = Part(at.raw, at.pointer, f"#/paths/{template(path)}")
        detail = " ".join(sorted(operation.method for operation in removed))
        what = f"The path {path} is removed ({', '.join(labels)})."
        comparison.found(PATH_REMOVED, what, labels, place, in_base=True, detail=detail)
    return moved


_Move = tuple[tuple[str, str], list[tuple[Operation, Operation]]]


def _moves(old: Sequence[Operation], new: Sequence[Operation]) -> Iterator[_Move]:
    """Yields the prefixes (before, after) from and to which several paths moved together, the most frequent first."""
    by_end: dict[tuple[str, str], list[Operation]] = {}
    for operation in new:
        by_end.setdefault((operation.method, template(operation.path).rsplit("/", 1)[-1]), []).append(operation)
    groups: dict[tuple[str, str], list[tuple[Operation, Operation]]] = {}
    for operation in old:
        path = template(operation.path)
        for other in by_end.get((operation.method, path.rsplit("/", 1)[-1]), ())[:50]:
            groups.setdefault(_prefixes(path, template(other.path)), []).append((operation, other))
    taken: set[int] = set()
    for prefixes, pairs in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        free = [pair for pair in pairs if not {id(pair[0]), id(pair[1])} & taken]
        if len({one.path for one, _ in free}) > 1:
            taken.update(id(operation) for pair in free for operation in pair)
            yield prefixes, free


def _prefixes(old: str, new: str) -> tuple[str, str]:
    """Returns what stands before the segments that both paths end with."""
    one, other = old.split("/"), new.split("/")
    while one and other and one[-1] == other[-1] and len(one) > 1 and len(other) > 1:
        one.pop()
        other.pop()
    return "/".join(one), "/".join(other)


def _both(comparison: Comparison, old: Operation, new: Operation) -> None:
    label = new.label
    parameters.compare(comparison, label, (old.item, old.part, old.path), (new.item, new.part, new.path))
    bodies.compare_request(comparison, label, old.part, new.part)
    responses.compare(comparison, label, old.part.at("responses"), new.part.at("responses"))
    security.compare(comparison, label, old.part, new.part)
    prefixes = (old.prefix, new.prefix) if old.moved_by_server(new) else ("", "")
    servers.compare(comparison, label, (old.item, old.part), (new.item, new.part), prefixes)
    calls = [_callbacks(document, each.part) for document, each in ((comparison.old, old), (comparison.new, new))]
    _webhooks(comparison, f"{label} → ", *calls)


_Call = tuple[str, Operation]


def _callbacks(document: Document, operation: Part) -> list[_Call]:
    return [
        (name, each)
        for name, callback in operation.at("callbacks").entries()
        for each in operations(document, document.followed(callback))
    ]


def _webhooks(comparison: Comparison, within: str, old: Sequence[_Call], new: Sequence[_Call]) -> None:
    """Compares what the API sends: a request to its receivers is an answer here, and the other way round."""

    def shown(call: _Call) -> str:
        return f"{within}{call[0]} → {call[1].label}" if call[0] else f"{within}{call[1].label}"

    # A callback's name does not travel; its expression and method do.
    found = one_to_one(old, new, lambda call: (call[0], call[1].label), lambda call: call[1].label)
    for call in found.removed:
        part = call[1].part
        comparison.found(
            WEBHOOK_REMOVED, f"{shown(call)} is removed.", (shown(call),), part, in_base=True, detail=call[1].label
        )
    for (_, one), call in found.pairs:
        other, label = call[1], shown(call)
        sides = ((comparison.old, one), (comparison.new, other))
        before, after = (document.followed(each.part.at("requestBody")) for document, each in sides)
        bodies.compare_content(comparison, label, before, after, Flow.RESPONSE)
        answered, expected = (list(each.part.at("responses").entries()) for _, each in sides)
        codes = responses.codes(answered, expected)
        for (_, answer), (_, theirs) in codes.pairs:
            followed = comparison.old.followed(answer), comparison.new.followed(theirs)
            bodies.compare_content(comparison, label, *followed, Flow.REQUEST)
        for code, part in codes.unknown:
            if code[:1] == "2" and expected:
                now = f" (Now: {', '.join(sorted(name for name, _ in expected))}.)"
                what = f"The answer {code} of receivers is no longer expected.{now}"
                comparison.found(WEBHOOK_ANSWER, what, (label,), part, in_base=True)
