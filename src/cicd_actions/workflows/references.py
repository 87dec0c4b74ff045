"""Which properties of a context an expression reads, and whether it can do without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cicd_actions.workflows.syntax import Access, Call, Comparison, Context, Literal, Logical, Node, Not, children, written

_QUESTIONS = frozenset({"contains", "startswith", "endswith"})


@dataclass(frozen=True)
class Reference:
    """`secrets.NAME` has the name; `secrets[matrix.x]`, `secrets.*` and a bare `secrets` have none.

    `index` is the expression within the brackets of a dynamic access. `optional` says that the expression goes on
    without the value: it has a fallback (`||`), or only asks whether the value is there. `beside` are the names of the same
    context that serve as well: one of the two is enough in `secrets.A || secrets.B`.
    """

    context: str
    name: str | None
    start: int
    optional: bool
    index: Node | None = None
    text: str = ""
    beside: tuple[str, ...] = ()


def references(tree: Node, contexts: frozenset[str]) -> list[Reference]:
    """Returns every place where the expression reads one of the contexts (lower-case names), in the order of the text."""
    return list(_references(tree, contexts, optional=False, tested=frozenset()))


def _references(node: Node, contexts: frozenset[str], *, optional: bool, tested: frozenset[str]) -> Iterator[Reference]:
    found = _reference(node, contexts)
    if found is not None:
        spared = optional or (found.name is not None and f"{found.context}.{found.name}" in tested)
        yield replace(found, optional=spared)
        if found.index is not None:
            yield from _references(found.index, contexts, optional=False, tested=tested)
    elif isinstance(node, Logical):
        yield from _of_logical(node, contexts, optional=optional, tested=tested)
    elif isinstance(node, (Comparison, Not)) or (isinstance(node, Call) and node.name.lower() in _QUESTIONS):
        # A question about the value has an answer also when there is none.
        for child in children(node):
            yield from _references(child, contexts, optional=True, tested=tested)
    elif isinstance(node, Call) and node.name.lower() == "case":
        for index, argument in enumerate(node.arguments):
            question = index % 2 == 0 and index + 1 < len(node.arguments)
            yield from _references(argument, contexts, optional=optional or question, tested=tested)
    elif isinstance(node, Access):
        yield from _of_access(node, contexts, optional=optional, tested=tested)
    else:
        # What a function makes of nothing is its own affair: no fallback around it helps.
        for child in children(node):
            yield from _references(child, contexts, optional=False, tested=tested)


def _of_logical(node: Logical, contexts: frozenset[str], *, optional: bool, tested: frozenset[str]) -> Iterator[Reference]:
    last = len(node.operands) - 1
    plain = [one for operand in node.operands if node.operator == "||" and (one := _reference(operand, contexts))]
    for index, operand in enumerate(node.operands):
        # Once only: asking twice would double the work with every level.
        found = list(_references(operand, contexts, optional=optional or index < last, tested=tested))
        others = [one for one in plain if one.start != operand.start]
        for one in found:
            names = tuple(other.name for other in others if other.name and other.context == one.context)
            yield replace(one, beside=one.beside + names) if names else one
        if node.operator == "&&":
            # What stands before an `&&` guards what follows: `secrets.A && format('x{0}', secrets.A)`.
            tested |= {f"{asked.context}.{asked.name}" for asked in found if asked.name}


def _of_access(node: Access, contexts: frozenset[str], *, optional: bool, tested: frozenset[str]) -> Iterator[Reference]:
    keys: list[Node] = []
    base: Node = node
    # Down a chain of properties in a loop: it is as deep as it is long.
    while isinstance(base, Access) and _reference(base, contexts) is None:
        if base.key is not None:
            keys.append(base.key)
        base = base.of
    yield from _references(base, contexts, optional=optional, tested=tested)
    for key in reversed(keys):
        yield from _references(key, contexts, optional=False, tested=tested)


def _reference(node: Node, contexts: frozenset[str]) -> Reference | None:
    if isinstance(node, Context):
        return Reference(node.name.lower(), None, node.start, False) if node.name.lower() in contexts else None
    if not isinstance(node, Access) or not isinstance(node.of, Context) or node.of.name.lower() not in contexts:
        return None
    context = node.of.name.lower()
    if isinstance(node.key, Literal):
        name = node.key.value if isinstance(node.key.value, str) else written(node.key)
        return Reference(context, name, node.start, False)
    return Reference(context, None, node.start, False, node.key, written(node))
