"""Builds the nodes from the events of PyYAML's parser: for whatever `block` leaves to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from cicd_actions.toolkit.yaml12 import tabs
from cicd_actions.toolkit.yaml12.nodes import DEEPEST, Mapping, Node, NotYaml, Scalar, Sequence, kind_of_plain
from cicd_actions.toolkit.yaml12.source_map import Document, Duplicate

_TAGS = {f"tag:yaml.org,2002:{kind}": kind for kind in ("str", "int", "float", "bool", "null")}
_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)*")


@dataclass
class _Open:
    """A collection that is being read."""

    node: Sequence | Mapping
    size: int = 1
    anchor: str | None = None
    key: Scalar | None = None
    seen: dict[str, int] = field(default_factory=dict)


class Builder:
    """Turns PyYAML's events into nodes, with its own stack: no depth of nesting can exhaust Python's."""

    def __init__(self, document: Document, *, fold_case: bool, most_nodes: int) -> None:
        self._document = document
        self._most_nodes = most_nodes
        self._fold_case = fold_case
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}

    def build(self) -> None:
        documents = 0
        try:
            for event in yaml.parse(self._document.text, Loader=tabs.Loader):
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse("a second document starts here, and there may be only one", event)
                elif isinstance(event, yaml.AliasEvent):
                    self._alias(event)
                elif isinstance(event, yaml.ScalarEvent):
                    self._scalar(event)
                elif isinstance(event, yaml.CollectionStartEvent):
                    self._start(event, sequence=isinstance(event, yaml.SequenceStartEvent))
                elif isinstance(event, yaml.CollectionEndEvent):
                    done = self._open.pop()
                    self._add(done.node, done.size, done.anchor, event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(part for part in (error.context, error.problem) if part)
            raise NotYaml(said, *(self._document.place(mark.index) if mark else ())) from None
        except yaml.reader.ReaderError as error:
            place = self._document.place(error.position)
            raise NotYaml(f"the character U+{error.character:04X} is not allowed in YAML", *place) from None

    def _refuse(self, problem: str, event: Any) -> None:
        raise NotYaml(problem, *self._document.place(event.start_mark.index))

    def _scalar(self, event: Any) -> None:
        kind = kind_of_plain(event.value) if event.implicit[0] else _TAGS.get(event.tag or "", "str")
        tag = event.tag if event.tag and event.tag not in _TAGS else ""
        start = _after_properties(self._document.text, event)
        line, column = self._document.place(start)
        node = Scalar(event.value, kind, event.style or "", line, column, start, event.end_mark.index, tag)
        self._add(node, 1, event.anchor, event)

    def _start(self, event: Any, *, sequence: bool) -> None:
        if len(self._open) >= DEEPEST:
            self._refuse(f"more than {DEEPEST} levels of nesting", event)
        line, column = self._document.place(event.start_mark.index)
        node = Sequence([], line, column) if sequence else Mapping([], line, column)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(node, anchor=event.anchor))

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._refuse(f"the alias `*{event.anchor}` names no anchor above it", event)
        named = self._anchors[event.anchor]
        if named is None:
            self._refuse(f"the alias `*{event.anchor}` stands within what it names", event)
        else:
            self._add(*named, None, event)

    def _add(self, node: Node, size: int, anchor: str | None, event: Any) -> None:
        """Put a finished node where it belongs: as the root, an item, a key or a value."""
        if anchor:
            self._anchors[anchor] = (node, size)
        if not self._open:
            self._document.root = node
            return
        parent = self._open[-1]
        parent.size += size
        if parent.size > self._most_nodes:
            self._refuse(f"the text stands for more than {self._most_nodes} nodes when its aliases are followed", event)
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is not None:
            parent.node.entries.append((parent.key, node))
            parent.key = None
        elif isinstance(node, Scalar):
            parent.key = node
            self._notice_duplicate(parent, node, event)
        else:
            self._refuse("a key must be a single word or text, not a list or a mapping", event)

    def _notice_duplicate(self, parent: _Open, key: Scalar, event: Any) -> None:
        line, column = self._document.place(event.start_mark.index)
        name = key.text.upper() if self._fold_case else key.text
        if name in parent.seen:
            self._document.duplicates.append(Duplicate(key.text, line, column, parent.seen[name]))
        else:
            parent.seen[name] = line


def _after_properties(text: str, event: Any) -> int:
    """Where the scalar itself starts: PyYAML's mark is that of its anchor or tag where it has one."""
    start: int = event.start_mark.index
    if event.anchor or event.tag:
        match = _PROPERTIES.match(text, start, event.end_mark.index)
        return match.end() if match else start
    return start
