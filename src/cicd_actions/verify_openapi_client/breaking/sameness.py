"""Which parts of two documents are the same, references followed: these need no comparison."""

from __future__ import annotations

import json
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import Document, Part
from cicd_actions.verify_openapi_client.breaking.families import Families


class Sameness:
    """Equality of parts of `old` and `new`, including everything that they refer to."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        # What is known of a value is kept by its id; the value is kept too, so that no other one gets the id.
        self._references: dict[int, tuple[Any, frozenset[str]]] = {}
        self._same: dict[tuple[int, int], tuple[Any, Any, bool]] = {}
        self._heirs = Families(old).references | Families(new).references
        self._same_version = old.nullable_keyword == new.nullable_keyword
        self._changed = self._changed_references()

    def same(self, old: tuple[Part, ...], new: tuple[Part, ...]) -> bool:
        """Returns whether the parts mean the same in both documents by their text alone."""
        if not self._same_version or len(old) != len(new):
            return False
        for one, other in zip(old, new, strict=True):
            key = id(one.raw), id(other.raw)
            known = self._same.get(key)
            if known is None:
                alike = _equal(one.raw, other.raw) and self._unchanged(one.raw, other.raw)
                known = self._same[key] = one.raw, other.raw, alike
            if not known[2]:
                return False
        return True

    def _unchanged(self, one: Any, other: Any) -> bool:
        """Whether nothing changed that two parts of equal text lead to; only heirs may make that differ."""
        if not self._changed.isdisjoint(self.references(one)):
            return False
        return not self._heirs or self._changed.isdisjoint(self.references(other))

    def references(self, raw: Any) -> frozenset[str]:
        """Returns every `$ref` in the value, and the components that inherit from what is in it."""
        known = self._references.get(id(raw))
        if known is None:
            known = self._references[id(raw)] = raw, frozenset(self._found(raw))
        return known[1]

    def _changed_references(self) -> set[str]:
        """References whose target differs, directly or through further references."""
        direct: set[str] = set()
        used_by: dict[str, set[str]] = {}
        seen: set[str] = set()
        waiting = list(self.references(self._old.root.raw) | self.references(self._new.root.raw))
        while waiting:
            reference = waiting.pop()
            if reference in seen:
                continue
            seen.add(reference)
            old, new = self._old.find(reference), self._new.find(reference)
            if old is None or new is None or not _equal(old.raw, new.raw):
                direct.add(reference)
                continue
            for inner in self.references(old.raw) | self.references(new.raw):
                used_by.setdefault(inner, set()).add(reference)
                waiting.append(inner)
        changed = set(direct)
        queue = list(direct)
        while queue:
            for user in used_by.get(queue.pop(), ()):
                if user not in changed:
                    changed.add(user)
                    queue.append(user)
        return changed

    def _found(self, raw: Any) -> set[str]:
        found: set[str] = set()
        heirs = self._heirs
        stack = [raw] if isinstance(raw, (dict, list)) else []
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                if id(value) in heirs:
                    found |= heirs[id(value)]
                reference = value.get("$ref")
                if reference and isinstance(reference, str):
                    found.add(reference)
                stack += [item for item in value.values() if isinstance(item, (dict, list))]
            else:
                stack += [item for item in value if isinstance(item, (dict, list))]
        return found


def _equal(one: Any, other: Any) -> bool:
    # Python takes `true` for `1`; the text does not. `==` comes first, because it stops at the first difference.
    # `repr` is the faster text, and is the same unless the keys stand in another order.
    return bool(one == other) and (
        repr(one) == repr(other) or json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )
