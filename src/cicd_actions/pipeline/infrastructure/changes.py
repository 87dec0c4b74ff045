"""Reads what a plan would change from its JSON: addresses, actions and names of attributes. Values are never kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DESTROYS = frozenset({"destroy", "replace"})
ORDER = ("destroy", "replace", "change", "create", "import", "forget")
"""Actions, the most dangerous first."""

_TERRAFORM = {
    ("create",): "create",
    ("update",): "change",
    ("delete",): "destroy",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
    ("create", "forget"): "create",
}
"""https://developer.hashicorp.com/terraform/internals/json-format#change-representation"""

_PULUMI = {
    "create": "create",
    "update": "change",
    "delete": "destroy",
    "replace": "replace",
    "import": "import",
    "import-replacement": "replace",
    "discard": "destroy",
    "discard-replaced": "destroy",
}
"""https://github.com/pulumi/pulumi/blob/master/sdk/go/common/apitype/history.go; a replacement's parts are not told twice."""


class NotAPlan(ValueError):
    """The text is not the JSON of a plan."""


@dataclass(frozen=True)
class Change:
    """What happens to one resource, and the names of the attributes that change."""

    address: str
    action: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What a plan changes. `outputs` are the names of changed outputs, `fingerprint` stands for all of it, values included."""

    changes: tuple[Change, ...]
    outputs: tuple[str, ...]
    fingerprint: str

    def __bool__(self) -> bool:
        return bool(self.changes or self.outputs)

    def counted(self) -> str:
        """Returns the counts as words, such as `1 to destroy, 2 to create`."""
        counts = {action: sum(each.action == action for each in self.changes) for action in ORDER}
        words = [f"{count} to {action}" for action, count in counts.items() if count]
        words += [f"{len(self.outputs)} outputs to change"] if self.outputs else []
        return ", ".join(words) or "no changes"

    def destroyed(self, allowed: Sequence[str] = ()) -> tuple[Change, ...]:
        """Returns what is destroyed or replaced, without the addresses that may be."""
        return tuple(each for each in self.changes if each.action in DESTROYS and not _matches(each.address, allowed))


def _matches(address: str, patterns: Iterable[str]) -> bool:
    # Addresses hold brackets (`x["a"]`, `x[0]`), which other patterns would take for classes.
    return any(address.startswith(each[:-1]) if each.endswith("*") else address == each for each in patterns)


def read(text: str, *, drift: bool = False) -> Planned:
    """Returns what a plan changes; with *drift* what changed outside of the code. Raises `NotAPlan`."""
    try:
        document = json.loads(text, parse_int=int)  # two numbers that are too long would have one fingerprint
    except (ValueError, RecursionError) as error:
        raise NotAPlan(str(error)) from None
    if not isinstance(document, dict):
        raise NotAPlan("it is not an object")
    pulumi = "steps" in document or "changeSummary" in document
    if not pulumi and "format_version" not in document:
        raise NotAPlan("it has neither `format_version`, as Terraform's has, nor `steps`, as Pulumi's has")
    try:
        return _pulumi(document) if pulumi else _terraform(document, "resource_drift" if drift else "resource_changes")
    except (TypeError, AttributeError, RecursionError) as error:
        raise NotAPlan(f"a value has another type than in a plan: {error}") from None


def _terraform(document: Mapping[str, Any], key: str) -> Planned:
    found: list[Change] = []
    kept: list[Any] = []
    for each in _objects(document.get(key)):
        change: dict[str, Any] = each.get("change") or {}
        actions = tuple(change.get("actions") or ())
        action = "import" if change.get("importing") and actions == ("no-op",) else _TERRAFORM.get(actions)
        if action is None:
            if actions not in {("no-op",), ("read",)}:
                raise NotAPlan(f"the action {list(actions)} of {each.get('address')} is unknown")
            continue
        found.append(Change(str(each.get("address")), action, _changed(change)))
        kept.append([each.get("address"), change])
    outputs = {} if key == "resource_drift" else document.get("output_changes") or {}
    moved = {name: change for name, change in outputs.items() if change.get("actions") != ["no-op"]}
    return Planned(_sorted(found), tuple(sorted(moved)), _fingerprint([kept, moved]))


def _changed(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after, unknown = (change.get(each) or {} for each in ("before", "after", "after_unknown"))
    if not before or not all(isinstance(each, dict) for each in (before, after, unknown)):
        return ()
    names = {*before, *after, *(name for name, value in unknown.items() if value)}
    return tuple(sorted(name for name in names if unknown.get(name) or before.get(name) != after.get(name)))


def _pulumi(document: Mapping[str, Any]) -> Planned:
    steps = _objects(document.get("steps"))
    if not steps and any(name != "same" and count for name, count in (document.get("changeSummary") or {}).items()):
        raise NotAPlan("it counts changes and lists none")
    found, kept = [], []
    for each in steps:
        operation = str(each.get("op"))
        if operation in _PULUMI:
            reasons = each.get("diffReasons") or ()
            found.append(Change(str(each.get("urn")), _PULUMI[operation], tuple(sorted(map(str, reasons)))))
            kept.append([each.get("urn"), operation, each.get("detailedDiff"), each.get("newState")])
    return Planned(_sorted(found), (), _fingerprint(kept))


def _objects(found: Any) -> list[dict[str, Any]]:
    """Returns a list's objects, none where it is missing. What is passed over here would be applied unseen."""
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise NotAPlan("its changes are not a list of objects")
    return found


def _sorted(found: list[Change]) -> tuple[Change, ...]:
    return tuple(sorted(found, key=lambda each: (ORDER.index(each.action), each.address)))


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
