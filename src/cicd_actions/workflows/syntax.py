"""The tree of an expression, and how it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Literal:
    """`null`, a boolean, a number (GitHub has only doubles) or a string."""

    value: bool | float | str | None
    start: int
    end: int


@dataclass(frozen=True)
class Context:
    """A named value: `github`, `secrets`. GitHub does not mind its case."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Call:
    """A function with its arguments: `fromJSON(x)`. GitHub does not mind the case of its name."""

    name: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Access:
    """A property (`a.b`), an index (`a['b']`, `a[0]`), or, with the key `None`, an object filter (`a.*`, `a[*]`)."""

    of: Node
    key: Node | None
    start: int
    end: int


@dataclass(frozen=True)
class Not:
    operand: Node
    start: int
    end: int


@dataclass(frozen=True)
class Comparison:
    """`==`, `!=`, `<`, `<=`, `>` or `>=`."""

    operator: str
    left: Node
    right: Node
    start: int
    end: int


@dataclass(frozen=True)
class Logical:
    """`&&` or `||` of two or more operands."""

    operator: str
    operands: tuple[Node, ...]
    start: int
    end: int


Node: TypeAlias = "Literal | Context | Call | Access | Not | Comparison | Logical"


def children(node: Node) -> tuple[Node, ...]:
    """Returns the nodes right below, in the order of the text."""
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Access):
        return (node.of,) if node.key is None else (node.of, node.key)
    if isinstance(node, Not):
        return (node.operand,)
    if isinstance(node, Comparison):
        return (node.left, node.right)
    if isinstance(node, Logical):
        return node.operands
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Returns the node and everything below it, in the order of the text."""
    pending = [node]
    while pending:
        at = pending.pop()
        yield at
        pending.extend(reversed(children(at)))


_STRENGTH = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}


def written(node: Node) -> str:
    """Returns the expression as text, with only the brackets that are needed; reading it gives the same tree again."""
    return _written(node, 0)


def _written(node: Node, around: int) -> str:
    """`around` is the strength of what the node stands in: a weaker node needs brackets."""
    if isinstance(node, Literal):
        return _literal(node.value)
    if isinstance(node, Context):
        return node.name
    if isinstance(node, Call):
        return f"{node.name}({', '.join(_written(argument, 0) for argument in node.arguments)})"
    if isinstance(node, Access):
        return _access(node)
    if isinstance(node, Not):
        return "!" + _written(node.operand, 5)
    if isinstance(node, Comparison):
        strength = _STRENGTH[node.operator]
        # Comparisons group from the left, so an equal one on the right needs brackets.
        text = f"{_written(node.left, strength)} {node.operator} {_written(node.right, strength + 1)}"
    else:
        strength = _STRENGTH[node.operator]
        text = f" {node.operator} ".join(_written(operand, strength + 1) for operand in node.operands)
    return f"({text})" if strength < around else text


def _access(node: Access) -> str:
    of = _written(node.of, 6)
    if isinstance(node.of, (Not, Literal)):
        of = f"({of})"
    if node.key is None:
        return of + ".*"
    if isinstance(node.key, Literal) and isinstance(node.key.value, str) and IDENTIFIER.fullmatch(node.key.value):
        return f"{of}.{node.key.value}"
    return f"{of}[{_written(node.key, 0)}]"


def _literal(value: bool | float | str | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
