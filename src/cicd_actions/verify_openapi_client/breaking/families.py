"""Finds the components that inherit by `allOf` from one with a discriminator (OpenAPI 3.1.1, section 4.8.25)."""

from __future__ import annotations

from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import Document, Part, mapping, sequence, text


class Families:
    """The parents of one document, and the components that stand for them. `heirs` are the pointers of all of those."""

    def __init__(self, document: Document) -> None:
        self._members: dict[str, list[str]] = {}
        components = document.root.at("components", "schemas")
        inherits: dict[str, set[str]] = {}
        for _, part in components.entries():
            for member in sequence(mapping(part.raw).get("allOf")):
                target = document.find(text(mapping(member).get("$ref")))
                if target is not None:
                    inherits.setdefault(target.pointer, set()).add(part.pointer)
        for _, part in components.entries():
            raw = mapping(part.raw)
            if part.pointer in inherits and "discriminator" in raw and not {"oneOf", "anyOf"} & raw.keys():
                self._members[part.pointer] = _all(part.pointer, inherits)
        self.heirs = frozenset(pointer for members in self._members.values() for pointer in members)
        self.references: dict[int, frozenset[str]] = {}
        for pointer, members in self._members.items():
            parent = document.find(pointer)
            if parent is not None:
                self.references[id(parent.raw)] = frozenset(members)

    def of(self, parent: Part) -> Part | None:
        """Returns the union of the parent and its heirs; `None` where nothing inherits from it."""
        members = self._members.get(parent.pointer)
        if members is None:
            return None
        raw: list[dict[str, Any]] = [{"$ref": pointer} for pointer in (*members, parent.pointer)]
        return Part(raw, f"{parent.pointer}/discriminator", f"{parent.place}/discriminator")

    def members(self, parent: Part) -> frozenset[str]:
        """Returns the pointers of the components that inherit from the parent."""
        return frozenset(self._members.get(parent.pointer, ()))


def _all(parent: str, inherits: dict[str, set[str]]) -> list[str]:
    """The heirs of a component and their heirs, in an order that does not depend on the document's."""
    found: set[str] = set()
    waiting = [parent]
    while waiting:
        for heir in inherits.get(waiting.pop(), ()):
            if heir not in found and heir != parent:
                found.add(heir)
                waiting.append(heir)
    return sorted(found)
