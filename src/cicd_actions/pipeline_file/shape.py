"""The kinds of values in the pipeline file. Each kind reads a node, and writes its part of the JSON Schema.

The two agree: what a kind reads without a problem is what its schema accepts. What a schema cannot say (a name that has to
exist, a command that has to split) is checked later, in `rules`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.grammar import is_whole, nearest
from cicd_actions.toolkit.yaml12 import Node, Scalar
from cicd_actions.toolkit.yaml12.nodes import kind_of_plain

T = TypeVar("T")
S = TypeVar("S")

Path = tuple[str, ...]
"""The keys that lead to a value; the number of an item stands for its key."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A mistake in the file: its key, its line (from 1), what is wrong, and the YAML to write instead."""

    path: Path
    line: int
    what: str
    fix: str = ""

    @property
    def place(self) -> str:
        """Returns the key as people write it: `lanes.api.python`."""
        return ".".join(self.path)


class Reading:
    """What is noted while a document is read: the problems, and the line of every key."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}

    def found(self, path: Path, line: int) -> None:
        """Notes where a key or an item stands."""
        self.lines[path] = line

    def line(self, path: Path) -> int:
        """Returns the line of a key, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def wrong(self, path: Path, what: str, fix: str = "", line: int = 0) -> None:
        """Notes a problem."""
        self.problems.append(Problem(path, line or self.line(path), what, fix))


class Kind(Generic[T]):
    """A kind of value. `example` is YAML that the kind accepts."""

    example: str = ""

    def read(self, node: Node, path: Path, reading: Reading) -> T | None:
        """Returns the value, or `None` after it noted a problem."""
        raise NotImplementedError

    def schema(self) -> Schema:
        """Returns the JSON Schema (draft 2020-12) of the kind."""
        raise NotImplementedError

    def words(self) -> str:
        """Returns what the documentation calls a value of this kind."""
        raise NotImplementedError

    def _refuse(self, node: Node, path: Path, reading: Reading, what: str, example: str = "") -> None:
        shown = example or self.example
        fix = f"{path[-1] if path and not is_whole(path[-1]) else '-'}: {shown}".replace("-: ", "- ", 1) if shown else ""
        reading.wrong(path, what, fix, line=node.line)


def anchored(pattern: str) -> str:
    """Returns the pattern for a whole text, the same for Python and for JavaScript: neither lets a final newline through."""
    return rf"^(?:{pattern})$(?!\n)"


class Text(Kind[str]):
    """Text that matches a pattern as a whole. A number or a boolean is refused: YAML would read `3.10` as 3.1."""

    def __init__(self, what: str, pattern: str = r"[\s\S]*\S[\s\S]*", example: str = "") -> None:
        self.what = what
        self.pattern = re.compile(anchored(pattern))
        self.example = example

    def read(self, node: Node, path: Path, reading: Reading) -> str | None:
        if not isinstance(node, Scalar) or node.kind == "null":
            self._refuse(node, path, reading, f"it is {named(node)}, not {self.what}")
        elif node.kind != "str":
            quoted = f'"{node.text}"' if self.pattern.search(node.text) else ""
            self._refuse(node, path, reading, f"YAML reads `{node.text}` as {named(node)}, not as text", quoted)
        elif not self.pattern.search(node.text):
            self._refuse(node, path, reading, f"`{shortened(node.text)}` is not {self.what}")
        else:
            return node.text
        return None

    def schema(self) -> Schema:
        return {"type": "string", "pattern": self.pattern.pattern}

    def words(self) -> str:
        return self.what


class Anything(Kind[str]):
    """A single value of any type, taken as the text that stands in the file: the value of a variable."""

    def read(self, node: Node, path: Path, reading: Reading) -> str | None:
        if isinstance(node, Scalar) and node.kind != "null":
            return node.text
        self._refuse(node, path, reading, f"it is {named(node)}, not a single value", '""')
        return None

    def schema(self) -> Schema:
        return {"type": ["string", "number", "boolean"]}

    def words(self) -> str:
        return "a single value"


class Flag(Kind[bool]):
    example = "true"

    def read(self, node: Node, path: Path, reading: Reading) -> bool | None:
        if isinstance(node, Scalar) and node.kind == "bool":
            return bool(node.value())
        guess = "false" if isinstance(node, Scalar) and node.text.lower() in {"no", "off", "false", "0"} else "true"
        self._refuse(node, path, reading, "it is neither `true` nor `false`", guess)
        return None

    def schema(self) -> Schema:
        return {"type": "boolean"}

    def words(self) -> str:
        return "`true` or `false`"


class Number(Kind[float]):
    """A number within bounds; a whole one where `whole` is set."""

    def __init__(self, least: int, most: int, *, whole: bool = False) -> None:
        self.least, self.most, self.whole = least, most, whole
        self.example = str(least)

    def read(self, node: Node, path: Path, reading: Reading) -> float | None:
        number = isinstance(node, Scalar) and node.kind in {"int", "float"} and len(node.text) <= 20
        value = node.value() if isinstance(node, Scalar) and number else None
        if isinstance(value, (int, float)) and self.least <= value <= self.most and not (self.whole and value % 1):
            return int(value) if self.whole else value
        self._refuse(node, path, reading, f"it is not {self.words()}")
        return None

    def schema(self) -> Schema:
        return {"type": "integer" if self.whole else "number", "minimum": self.least, "maximum": self.most}

    def words(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.least} to {self.most}"


class Choice(Kind[str]):
    """One of a few words. `true`, `false` and numbers among them are written without quotes."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.example = allowed[0]
        self._values = {word: Scalar(word, kind_of_plain(word), "", 0, 0, 0, 0).value() for word in allowed}

    def read(self, node: Node, path: Path, reading: Reading) -> str | None:
        for word, value in self._values.items() if isinstance(node, Scalar) else ():
            if (
                isinstance(node, Scalar)
                and len(node.text) <= 100
                and (type(value), value) == (type(node.value()), node.value())
            ):
                return word
        said = f"`{shortened(node.text)}`" if isinstance(node, Scalar) else f"it ({named(node)})"
        guess = nearest(node.text, self.allowed) if isinstance(node, Scalar) else None
        self._refuse(node, path, reading, f"{said} is not {self.words()}", guess or self.example)
        return None

    def schema(self) -> Schema:
        return {"enum": list(self._values.values())}

    def words(self) -> str:
        *others, last = (f"`{word}`" for word in self.allowed)
        return f"{', '.join(others)} or {last}" if others else last


class Listed(Kind[tuple[T, ...]]):
    """A list. A single value stands for a list of one, unless `alone` forbids it."""

    def __init__(self, of: Kind[T], least: int = 0, most: int = 100, *, alone: bool = True) -> None:
        self.of, self.least, self.most, self.alone = of, least, most, alone
        self.example = of.example if alone else f"[{of.example}]" if of.example and "\n" not in of.example else ""

    def read(self, node: Node, path: Path, reading: Reading) -> tuple[T, ...] | None:
        if not isinstance(node, yaml12.Sequence):
            if not self.alone:
                self._refuse(node, path, reading, f"it is {named(node)}, not a list")
                return None
            one = self.of.read(node, path, reading)
            return None if one is None else (one,)
        if not self.least <= len(node.items) <= self.most:
            self._refuse(node, path, reading, f"the list has {len(node.items)} items, not {self.least} to {self.most}")
            return None
        found: list[T] = []
        for number, item in enumerate(node.items):
            reading.found((*path, str(number)), item.line)
            value = self.of.read(item, (*path, str(number)), reading)
            if value is not None:
                found.append(value)
        return tuple(found) if len(found) == len(node.items) else None

    def schema(self) -> Schema:
        bounds = {"minItems": self.least, "maxItems": self.most}
        many = {"type": "array", "items": self.of.schema(), **bounds}
        return {"anyOf": [self.of.schema(), many]} if self.alone else many

    def words(self) -> str:
        return f"{self.of.words()}, or a list" if self.alone else f"a list: {self.of.words()}"


class Named(Kind[Mapping[str, T]]):
    """A mapping whose keys the user chooses."""

    def __init__(self, of: Kind[T], names: Text, most: int = 100) -> None:
        self.of, self.names, self.most = of, names, most

    def read(self, node: Node, path: Path, reading: Reading) -> Mapping[str, T] | None:
        if not isinstance(node, yaml12.Mapping):
            self._refuse(node, path, reading, f"it is {named(node)}, not a mapping of names")
            return None
        if len(node.entries) > self.most:
            reading.wrong(path, f"it has {len(node.entries)} entries, and {self.most} are the most")
            return None
        found: dict[str, T] = {}
        for key, item in node.entries:
            reading.found((*path, key.text), key.line)
            if not self.names.pattern.search(key.text):
                what = f"`{shortened(key.text)}` is not {self.names.what}"
                reading.wrong((*path, key.text), what, f"{self.names.example}: …", line=key.line)
            value = self.of.read(item, (*path, key.text), reading)
            if value is not None:
                found[key.text] = value
        return found

    def schema(self) -> Schema:
        names = {"pattern": self.names.pattern.pattern}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.of.schema(),
            "maxProperties": self.most,
        }

    def words(self) -> str:
        return f"by name: {self.of.words()}"


@dataclass(frozen=True)
class Key:
    """What is known of one key: its kind, its meaning, whether it has to be there."""

    kind: Kind[Any]
    help: str
    required: bool = False


def key(kind: Kind[T], help: str, default: Any = None, *, required: bool = False) -> Any:
    """Returns a field of a class that describes a mapping. The key is the field's name with hyphens."""
    metadata = {"key": Key(kind, help, required)}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def keys(cls: type[Any]) -> dict[str, Key]:
    """Returns every key of the class, in its order."""
    return {each.name.replace("_", "-"): each.metadata["key"] for each in dataclasses.fields(cls) if "key" in each.metadata}


class Object(Kind[T]):
    """A mapping with known keys, read into a frozen dataclass."""

    def __init__(self, cls: type[T], what: str) -> None:
        self.cls, self.what = cls, what

    def read(self, node: Node, path: Path, reading: Reading) -> T | None:
        if not isinstance(node, yaml12.Mapping):
            self._refuse(node, path, reading, f"it is {named(node)}, not {self.what}")
            return None
        values, whole = _entries(keys(self.cls), node, path, reading)
        return self.cls(**{name.replace("-", "_"): value for name, value in values.items()}) if whole else None

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.cls.__name__}"}

    def words(self) -> str:
        return self.what


class Texts(Kind[Mapping[str, str]]):
    """A mapping with known keys whose values are single values or lists of them, one a line in the text that is read."""

    def __init__(self, name: str, known: Mapping[str, str], what: str) -> None:
        self.name = name
        self.known = {each: Key(Listed(Anything()), text) for each, text in known.items()}
        self.what = what

    def read(self, node: Node, path: Path, reading: Reading) -> Mapping[str, str] | None:
        if not isinstance(node, yaml12.Mapping):
            self._refuse(node, path, reading, f"it is {named(node)}, not {self.what}")
            return None
        values, whole = _entries(self.known, node, path, reading)
        return {name: "\n".join(value) for name, value in values.items()} if whole else None

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.name}"}

    def words(self) -> str:
        return self.what


def _entries(known: Mapping[str, Key], node: yaml12.Mapping, path: Path, reading: Reading) -> tuple[dict[str, Any], bool]:
    """Returns the values by key, and whether all is right."""
    before = len(reading.problems)
    values: dict[str, Any] = {}
    for name, item in node.entries:
        reading.found((*path, name.text), name.line)
        if name.text not in known:
            meant = nearest(name.text, known)
            hint = f"Did you mean `{meant}`?" if meant else f"Known are: {', '.join(known)}."
            reading.wrong((*path, name.text), f"the key is unknown. {hint}", f"{meant}: …" if meant else "", line=name.line)
            continue
        values[name.text] = known[name.text].kind.read(item, (*path, name.text), reading)
    for required, each in known.items():
        if each.required and required not in values:
            fix = f"{required}: {each.kind.example or '…'}"
            reading.wrong(path, f"the key `{required}` is missing. {each.help}", fix)
    return values, len(reading.problems) == before


class Short(Kind[T]):
    """A short form (a text, or a list of texts) or the whole mapping; `make` turns the short form into the same object."""

    def __init__(self, short: Kind[S], full: Object[T], make: Callable[[S], T]) -> None:
        self.short, self.full = cast("Kind[Any]", short), full
        self.make = cast("Callable[[Any], T]", make)
        self.example = short.example

    def read(self, node: Node, path: Path, reading: Reading) -> T | None:
        if isinstance(node, yaml12.Mapping):
            return self.full.read(node, path, reading)
        value = self.short.read(node, path, reading)
        return None if value is None else self.make(value)

    def schema(self) -> Schema:
        return {"anyOf": [self.short.schema(), self.full.schema()]}

    def words(self) -> str:
        return f"{self.short.words()}, or {self.full.words()}"


def named(node: Node) -> str:
    """Returns what a node is, for people."""
    if isinstance(node, Scalar):
        words = {"str": "text", "int": "a number", "float": "a number", "bool": "a boolean", "null": "empty"}
        return words[node.kind]
    return "a list" if isinstance(node, yaml12.Sequence) else "a mapping"


def shortened(text: str) -> str:
    """Returns the text as it can stand in one line of a message."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:80]}…"
