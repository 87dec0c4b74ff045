"""The texts that an expression can stand for, as far as the file itself says it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from cicd_actions.workflows.syntax import Access, Call, Context, Literal, Logical, Node
from cicd_actions.workflows.templates import expressions

Known = Mapping[str, "frozenset[str] | None"]
"""What is known of `inputs.x` and `matrix.x`, by that text in lower case."""

MOST = 100


def possible(text: str, known: Known) -> frozenset[str] | None:
    """All texts that a template can become; `None` when the file does not say. At most 100 are followed."""
    parts: list[frozenset[str]] = []
    at = 0
    for found in expressions(text):
        values = _possible(found.tree, known) if found.tree is not None else None
        if values is None:
            return None
        parts += [frozenset({text[at : found.start - 3]}), values]
        at = found.start + len(found.source) + 2
    parts.append(frozenset({text[at:]}))
    count = 1
    for values in parts:
        count *= len(values)
    return frozenset("".join(one) for one in product(*parts)) if count <= MOST else None


def possible_of(node: Node, known: Known) -> frozenset[str] | None:
    """The same for the tree of one expression."""
    return _possible(node, known)


def _possible(node: Node | None, known: Known) -> frozenset[str] | None:
    if isinstance(node, Literal):
        return frozenset({node.value}) if isinstance(node.value, str) else None
    if isinstance(node, Access) and isinstance(node.of, Context) and isinstance(node.key, Literal):
        return known.get(f"{node.of.name}.{node.key.value}".lower())
    if isinstance(node, Logical):
        # `condition && a || b`: each operand of `||`, and of each `&&` the last one, can be the result.
        operands = node.operands if node.operator == "||" else node.operands[-1:]
        return _united([_possible(operand, known) for operand in operands])
    if isinstance(node, Call) and node.name.lower() == "case":
        results = [*node.arguments[1:-1:2], node.arguments[-1]] if node.arguments else []
        return _united([_possible(result, known) for result in results])
    return None


def _united(sets: list[frozenset[str] | None]) -> frozenset[str] | None:
    united: frozenset[str] = frozenset()
    for values in sets:
        if values is None:
            return None
        united |= values
    return united if sets else None
