"""The nodes of a document, with their places, and what the core schema makes of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

DEEPEST = 100
"""Levels of nesting: GitHub's own bound for workflow files (`maxDepth` of its template context)."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = {"": "null", "~": "null"}
for _word in ("null", "true", "false"):
    for _spelling in (_word, _word.capitalize(), _word.upper()):
        _WORDS[_spelling] = "null" if _word == "null" else "bool"
_NUMERIC = frozenset("0123456789-+.")
_FIRST_OF_WORDS = frozenset(word[:1] for word in _WORDS)


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


def kind_of_plain(text: str) -> str:
    """What the core schema makes of a plain scalar: `str`, `int`, `float`, `bool` or `null`."""
    first = text[:1]
    if first in _NUMERIC:
        return "int" if _INT.fullmatch(text) else "float" if _FLOAT.fullmatch(text) else "str"
    # The first letter decides for nearly every text: this is asked of each scalar.
    return _WORDS.get(text, "str") if first in _FIRST_OF_WORDS else "str"


def _integer(text: str) -> int:
    if text[:2] not in {"0o", "0x"}:
        return int(text)
    number = int(text, 0)
    str(number)  # only other bases have no longest number, and what cannot be written cannot be reported
    return number


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
