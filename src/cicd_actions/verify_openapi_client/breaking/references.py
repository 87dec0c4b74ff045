"""Writes every reference of a document as a JSON pointer from its root: `$id`, `$anchor`, `$dynamicRef` and `$self` resolved.

JSON Schema 2020-12 lets a schema have a separate base (section 8.2). A reference means something else below it, so it is
resolved where it stands. A document that uses none of this stays the very same object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

_KEYWORDS = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef"})

DATA = frozenset({"example", "examples", "default", "enum", "const"})
"""Fields whose values are data, in which `$ref` means nothing."""

NAMED = frozenset(
    {
        "properties", "patternProperties", "schemas", "responses", "parameters", "requestBodies", "headers", "securitySchemes",
        "links", "callbacks", "pathItems", "paths", "webhooks", "content", "$defs", "definitions", "dependentSchemas",
        "encoding", "variables", "mediaTypes", "additionalOperations",
    }
)  # fmt: skip
"""Fields that hold named things: a key in them is a name, never a keyword."""

OVERRIDES = "$dynamicRef"
"""Kept where several schemas may be meant: a list of references to all of them."""


def possible(text: str) -> bool:
    """Returns whether a document of this text may use any of this."""
    return any(word in text for word in (*_KEYWORDS, "$self"))


def rooted(root: Any) -> Any:
    """Returns the document with every reference as `#/…`. One that leads nowhere stays as it is."""
    own = root.get("$self") if isinstance(root, dict) else None
    base = own if isinstance(own, str) else ""
    if not base and not _uses_keywords(root):
        return root
    return _Resolver(root, base).rewritten()


def _uses_keywords(root: Any) -> bool:
    stack = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if not _KEYWORDS.isdisjoint(value):
                return True
            stack.extend(item for item in value.values() if isinstance(item, (dict, list)))
        elif isinstance(value, list):
            stack.extend(item for item in value if isinstance(item, (dict, list)))
    return False


class _Resolver:
    def __init__(self, root: Any, base: str) -> None:
        self._root = root
        self._base = base
        self._resources: dict[str, str] = {base: "#"}
        self._anchors: dict[tuple[str, str], str] = {}
        self._dynamic: dict[str, list[str]] = {}
        for schema, pointer, at in _schemas(root, base):
            if at != base:
                self._resources.setdefault(at, pointer)
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(schema.get(keyword), str):
                    self._anchors.setdefault((at, schema[keyword]), pointer)
            if isinstance(schema.get("$dynamicAnchor"), str):
                self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(pointer)

    def rewritten(self) -> Any:
        return self._written(self._root, self._base, named=False)

    def _written(self, value: Any, base: str, *, named: bool) -> Any:
        if isinstance(value, list):
            return [self._written(item, base, named=False) for item in value]
        if not isinstance(value, dict):
            return value
        if not named:
            base = _own_base(value, base)
        found: dict[str, Any] = {}
        for key, item in value.items():
            if named or not (key in DATA or key.startswith("x-")):
                found[key] = self._written(item, base, named=not named and key in NAMED)
            else:
                found[key] = item
        if not named:
            if isinstance(value.get("$ref"), str):
                found["$ref"] = self._pointer(value["$ref"], base)
            dynamic = value.get("$dynamicRef")
            if isinstance(dynamic, str):
                self._follow_dynamic(found, dynamic, base)
        return found

    def _follow_dynamic(self, found: dict[str, Any], reference: str, base: str) -> None:
        """The first target is followed as `$ref`. Where others may override it, a change of any of them counts."""
        others = self._dynamic.get(urldefrag(reference)[1], [])
        del found["$dynamicRef"]
        if "$ref" in found:
            found["allOf"] = [*found.get("allOf", []), {"$ref": self._pointer(reference, base)}]
        else:
            found["$ref"] = self._pointer(reference, base)
        if len(others) > 1:
            found[OVERRIDES] = [{"$ref": pointer} for pointer in others]

    def _pointer(self, reference: str, base: str) -> str:
        address, fragment = urldefrag(_joined(base, reference))
        start = self._resources.get(address)
        if start is None:
            return reference
        fragment = unquote(fragment)
        if not fragment:
            return start
        if fragment.startswith("/"):
            return "#" + fragment if start == "#" else start + fragment
        return self._anchors.get((address, fragment), reference)


def _schemas(root: Any, base: str) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """Yields every object that may be a schema, its pointer, and the base of its references."""
    stack: list[tuple[Any, str, str, bool]] = [(root, "#", base, False)]
    while stack:
        value, pointer, at, named = stack.pop()
        if isinstance(value, list):
            stack.extend((item, f"{pointer}/{index}", at, False) for index, item in enumerate(value))
        elif isinstance(value, dict):
            if not named:
                at = _own_base(value, at)
                yield value, pointer, at
            for key, item in value.items():
                if isinstance(item, (dict, list)) and (named or not (key in DATA or key.startswith("x-"))):
                    below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                    stack.append((item, below, at, not named and key in NAMED))


def _own_base(schema: Mapping[str, Any], base: str) -> str:
    own = schema.get("$id")
    return urldefrag(_joined(base, own))[0] if isinstance(own, str) and own else base


def _joined(base: str, reference: str) -> str:
    """Joins a reference to its base; one that is not an address stays as it is."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
