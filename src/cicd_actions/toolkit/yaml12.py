"""Reads YAML by the 1.2 core schema, so that `on:` and `3.10` stay what they are, and keeps the place of every node.

PyYAML's own parser makes the events (after `yaml12_block`, which reads the plain block style alone); nothing of it that
builds Python objects is used. What GitHub does with workflow
files is followed: aliases stand for what they name, and `<<` is a key like any other (`Mapping.merged` applies it, for
formats that have merges). Aliases share their node, so the memory used is that of the text; what they would expand to is
counted and bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

LONGEST = 1024 * 1024
"""Characters of one text. GitHub refuses workflow files above 512 KiB."""

DEEPEST = 100
"""Levels of nesting: GitHub's own bound for workflow files (`maxDepth` of its template context)."""

MOST_NODES = 1_000_000
"""Nodes after aliases are followed. An alias bomb of ten lines would have billions."""


class NotYaml(ValueError):
    """The text cannot be read. `line` and `column` count from 1; `line` is 0 where there is no one place."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {problem}" if line else problem)
        self.problem = problem
        self.line = line
        self.column = column


@dataclass(eq=False, slots=True)
class Scalar:
    """A piece of text. `kind` is what the core schema makes of it: `str`, `int`, `float`, `bool` or `null`.

    `style` is the sign it is written with: `"`, `'`, `|`, `>`, or nothing for a plain one. `start` and `end` are
    offsets into the document's text; the quotes lie within, an anchor or a tag does not. `tag` is an explicit tag that the
    core schema does not know.
    """

    text: str
    kind: str
    style: str
    line: int
    column: int
    start: int
    end: int
    tag: str = ""

    def value(self) -> str | int | float | bool | None:
        """What the core schema makes of the text (YAML 1.2.2, section 10.3.2). Raises `NotYaml` for an absurd number."""
        if self.kind == "str":
            return self.text
        if self.kind == "null":
            return None
        if self.kind == "bool":
            return self.text.lower() == "true"
        try:
            return _integer(self.text) if self.kind == "int" else _float(self.text)
        except ValueError:
            raise NotYaml("this number has too many digits", self.line, self.column) from None


@dataclass(eq=False, slots=True)
class Sequence:
    items: list[Node]
    line: int
    column: int


@dataclass(eq=False, slots=True)
class Mapping:
    """Entries in the order of the text. Of duplicate keys the first one counts for `get`; all stand in `entries`."""

    entries: list[tuple[Scalar, Node]]
    line: int
    column: int

    def get(self, key: str) -> Node | None:
        """The value of a key, as it is written; `None` when there is none."""
        for name, value in self.entries:
            if name.text == key:
                return value
        return None

    def key(self, key: str) -> Scalar | None:
        """The node of the key itself."""
        return next((name for name, _ in self.entries if name.text == key), None)

    def merged(self) -> Iterator[tuple[Scalar, Node]]:
        """The entries with `<<` applied, as YAML 1.1 and Compose have it: what stands here wins over what is merged in."""
        seen = {name.text for name, _ in self.entries}
        for name, value in self.entries:
            if name.text != "<<" or name.style:
                yield name, value
        for name, value in self.entries:
            if name.text == "<<" and not name.style:
                for source in value.items if isinstance(value, Sequence) else [value]:
                    for inner, content in source.merged() if isinstance(source, Mapping) else ():
                        if inner.text not in seen:
                            seen.add(inner.text)
                            yield inner, content


Node: TypeAlias = "Scalar | Sequence | Mapping"


@dataclass(frozen=True)
class Duplicate:
    """A key that stands twice in one mapping."""

    key: str
    line: int
    column: int
    first_line: int


@dataclass
class Document:
    """What was read. `root` is `None` for an empty text."""

    text: str
    root: Node | None = None
    duplicates: list[Duplicate] = field(default_factory=list)
    _breaks: list[int] = field(default_factory=list, repr=False)
    _walked: tuple[Scalar, list[int]] | None = field(default=None, repr=False)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of an offset into the text."""
        if not self._breaks:
            self._breaks += [0, *(match.end() for match in _BREAK.finditer(self.text))]
        line = bisect_right(self._breaks, offset)
        return line, offset - self._breaks[line - 1] + 1

    def place_in(self, scalar: Scalar, offset: int) -> tuple[int, int]:
        """Line and column of the character `offset` of a scalar's text, whatever folding, indentation or escapes lie between.

        Where a tag or an escape hides the way, the place is the nearest one before it.
        """
        quotes = 1 if scalar.style in {"'", '"'} else 0
        if scalar.end - scalar.start == len(scalar.text) + 2 * quotes and "\n" not in scalar.text:
            # Nothing was folded or escaped.
            return scalar.line, scalar.column + quotes + offset
        at = self._offset_in_source(scalar, offset)
        return self.place(_skip_space(self.text, at, scalar) if not scalar.text[offset : offset + 1].isspace() else at)

    def _offset_in_source(self, scalar: Scalar, offset: int) -> int:
        """Where the text before the character `offset` of a scalar's text ends in the source.

        Folding, indentation and line continuation only ever change white space, so the other characters are walked along.
        The way is kept: a block of 100,000 lines may be asked for a place in each of them.
        """
        if self._walked is None or self._walked[0] is not scalar:
            self._walked = (scalar, [_start_of_text(self.text, scalar)])
        way = self._walked[1]
        for char in scalar.text[len(way) - 1 : offset]:
            way.append(way[-1] if char.isspace() else _past(self.text, way[-1], scalar, char))
        return way[min(max(offset, 0), len(way) - 1)]


def read(
    text: str, *, strict: bool = True, fold_case: bool = False, longest: int = LONGEST, most_nodes: int = MOST_NODES
) -> Document:
    """The one document of the text, in linear time.

    Duplicate keys are an error when `strict`, else they are listed in the document; with `fold_case`, keys that differ
    only in case are duplicates too, as for GitHub. Raises `NotYaml`.
    """
    if len(text) > longest:
        raise NotYaml(f"the text has {len(text)} characters, which is more than {longest}")
    document = Document(text.removeprefix("\ufeff"))
    from cicd_actions.toolkit import yaml12_block  # noqa: PLC0415 - it takes its nodes from here

    if not yaml12_block.read(document, fold_case=fold_case, most_nodes=most_nodes):
        _Builder(document, fold_case=fold_case, most_nodes=most_nodes).build()
    if strict and document.duplicates:
        twice = document.duplicates[0]
        raise NotYaml(f"the key `{twice.key}` stands in line {twice.first_line} already", twice.line, twice.column)
    return document


def plain(node: Node | None) -> Any:
    """The node as dicts, lists, strings, numbers, booleans and `None`. Keys are strings, as they are written.

    Raises `NotYaml` for a number with absurdly many digits.
    """
    if node is None:
        return None
    if isinstance(node, Scalar):
        return node.value()
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


_BREAK = re.compile(r"\r\n?|\n")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = {"": "null", "~": "null"}
for _word in ("null", "true", "false"):
    for _spelling in (_word, _word.capitalize(), _word.upper()):
        _WORDS[_spelling] = "null" if _word == "null" else "bool"
_NUMERIC = frozenset("0123456789-+.")
_FIRST_OF_WORDS = frozenset(word[:1] for word in _WORDS)
_TAGS = {f"tag:yaml.org,2002:{kind}": kind for kind in ("str", "int", "float", "bool", "null")}


def kind_of_plain(text: str) -> str:
    """What the core schema makes of a plain scalar: `str`, `int`, `float`, `bool` or `null`."""
    first = text[:1]
    if first in _NUMERIC:
        return "int" if _INT.fullmatch(text) else "float" if _FLOAT.fullmatch(text) else "str"
    # The first letter decides for nearly every text: this is asked of each scalar.
    return _WORDS.get(text, "str") if first in _FIRST_OF_WORDS else "str"


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


@dataclass
class _Open:
    """A collection that is being read."""

    node: Sequence | Mapping
    size: int = 1
    anchor: str | None = None
    key: Scalar | None = None
    seen: dict[str, int] = field(default_factory=dict)


class _Builder:
    """Turns PyYAML's events into nodes, with its own stack: no depth of nesting can exhaust Python's."""

    def __init__(self, document: Document, *, fold_case: bool, most_nodes: int) -> None:
        self._document = document
        self._most_nodes = most_nodes
        self._fold_case = fold_case
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}

    def build(self) -> None:
        import yaml  # noqa: PLC0415 - an import is start-up time

        documents = 0
        try:
            for event in yaml.parse(self._document.text, Loader=_with_tabs(yaml.SafeLoader)):
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


_SEPARATION = " \t"


def _with_tabs(loader: Any) -> Any:
    """Returns the loader with tabs as separation (YAML 1.2.2, section 6.2), as GitHub reads them: PyYAML takes blanks only.

    A tab in the indentation stays an error.
    """

    class WithTabs(loader):  # type: ignore[misc]
        def scan_to_next_token(self) -> None:
            super().scan_to_next_token()
            while self.peek() == "\t" and self._separates():
                while self.peek() in _SEPARATION:
                    self.forward()
                super().scan_to_next_token()

        def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:
            length = 0
            while self.peek(length) in _SEPARATION:
                length += 1
            white: str = self.prefix(length)
            if "\t" in white:
                self.forward(length)
                if self.peek() not in "\r\n\x85\u2028\u2029":
                    return [white]
            found: list[str] | None = super().scan_plain_spaces(indent, start_mark)
            return found

        def _separates(self) -> bool:
            """Whether the tab stands behind something in its line, or in front of nothing but a comment."""
            behind = self.buffer[self.pointer - self.column : self.pointer]
            if self.flow_level or behind.strip(" "):
                return True
            length = 0
            while self.peek(length) in _SEPARATION:
                length += 1
            return self.peek(length) in "#\r\n\0"

    return WithTabs


_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)*")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|(?:\r\n?|\n)|.)", re.DOTALL)


def _after_properties(text: str, event: Any) -> int:
    """Where the scalar itself starts: PyYAML's mark is that of its anchor or tag where it has one."""
    start: int = event.start_mark.index
    if event.anchor or event.tag:
        match = _PROPERTIES.match(text, start, event.end_mark.index)
        return match.end() if match else start
    return start


def _start_of_text(text: str, scalar: Scalar) -> int:
    """Where the text of a scalar starts: after the line of a block's sign, or after the quote."""
    if scalar.style in {"|", ">"}:
        found = _BREAK.search(text, scalar.start, scalar.end)
        return found.end() if found else scalar.start
    return scalar.start + (1 if scalar.style else 0)


def _skip_space(text: str, at: int, scalar: Scalar) -> int:
    while at < scalar.end:
        if scalar.style == '"' and text[at] == "\\":
            escape = _ESCAPE.match(text, at)
            if escape is None or escape[0][1] not in "nrt \n\r_N":
                return at
            at = escape.end()
        elif text[at].isspace():
            at += 1
        else:
            return at
    return min(at, scalar.end)


def _past(text: str, at: int, scalar: Scalar, char: str) -> int:
    """Past the next character that is not white space; it is `char`, or an escape for it."""
    at = _skip_space(text, at, scalar)
    if scalar.style == '"' and text[at : at + 1] == "\\":
        escape = _ESCAPE.match(text, at)
        return escape.end() if escape else at + 1
    if scalar.style == "'" and char == "'":
        return min(at + 2, scalar.end)
    return min(at + 1, scalar.end)
