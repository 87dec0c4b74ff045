"""Names what a change is about: operations and schemas of the document, and those that a client's diff touches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cicd_actions.verify_openapi_client.breaking.document import Document, Part, canonical
from cicd_actions.verify_openapi_client.breaking.operations import Operation, matched, operations

_MOST_LINES = 3000


@dataclass(frozen=True)
class Overview:
    """Operations and schemas, each with what happened to it: added, changed, removed."""

    operations: tuple[tuple[str, str], ...]
    schemas: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.operations or self.schemas)


def compare(old: Document, new: Document) -> Overview:
    """What differs between two documents by its own text; what only refers to it is not listed."""
    before, after = _listed(old), _listed(new)
    found = matched(before, after)
    named = [(operation.label, "removed") for operation in found.removed]
    named += [(operation.label, "added") for operation in found.added]
    named += [(other.label, "changed") for one, other in found.pairs if _text(one.part) != _text(other.part)]
    return Overview(tuple(sorted(named)), tuple(sorted(_schemas(old, new))))


def _listed(document: Document) -> list[Operation]:
    return list(operations(document, document.root.at("paths")))


def _text(part: Part) -> str:
    return canonical(part.raw)


def _schemas(old: Document, new: Document) -> Iterator[tuple[str, str]]:
    before, after = (dict(document.root.at("components", "schemas").entries()) for document in (old, new))
    for name in before.keys() | after.keys():
        if name not in after:
            yield name, "removed"
        elif name not in before:
            yield name, "added"
        elif _text(before[name]) != _text(after[name]):
            yield name, "changed"


def touched(patch: str, contents: dict[str, tuple[str, str]], document: Document) -> Overview:
    """The operations and schemas of the document in whose generated code the patch changes lines.

    `contents` has the old and the new text of each file. The name is looked for in the changed line, then in the lines
    above it that are indented less: generators nest what belongs together.
    """
    labels = {operation.label: operation for operation in _listed(document)}
    names: dict[str, tuple[str, str]] = {}
    for label, operation in labels.items():
        if operation.id:
            names[operation.id] = ("operation", label)
        names.setdefault(operation.path, ("operation", label))
    for name, _ in document.root.at("components", "schemas").entries():
        names[name] = ("schema", name)
    found: dict[tuple[str, str], None] = {}
    for file, old, number in _changed_lines(patch):
        before, after = contents.get(file, ("", ""))
        for name in _enclosing((before if old else after).splitlines(), number - 1, names):
            found[names[name]] = None
    return Overview(
        tuple((label, "changed") for kind, label in found if kind == "operation"),
        tuple((name, "changed") for kind, name in found if kind == "schema"),
    )


def _changed_lines(patch: str) -> Iterator[tuple[str, bool, int]]:
    """The file, whether the line is one of the old text, and its number."""
    file, old, new, count = "", 0, 0, 0
    for line in patch.splitlines():
        header = re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@", line)
        if line.startswith("diff --git "):
            file = line.rsplit(" b/", 1)[-1]
            old = new = 0
        elif header:
            old, new = int(header[1]), int(header[2])
        elif not (old or new):
            continue
        elif line.startswith("-"):
            yield file, True, old
            old += 1
            count += 1
        elif line.startswith("+"):
            yield file, False, new
            new += 1
            count += 1
        elif line.startswith(" "):
            old, new = old + 1, new + 1
        if count > _MOST_LINES:
            return


def _enclosing(lines: list[str], index: int, names: Iterable[str]) -> list[str]:
    known = set(names)
    limit = float("inf")
    for line in reversed(lines[max(index - 2000, 0) : index + 1]):
        bare = line.lstrip()
        if not bare or bare.startswith(("*", "//", "/*", "}", "]", ")")):
            continue
        indent = len(line) - len(bare)
        if indent >= limit:
            continue
        limit = indent
        found = [word for word in re.findall(r'"([^"]+)"|\'([^\']+)\'|([\w$-]+)', bare) if set(word) & known]
        if found:
            return [name for word in found for name in word if name in known]
        if indent == 0:
            break
    return []
