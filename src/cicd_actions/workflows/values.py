"""The values that an expression can stand for, as far as the file itself tells."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from cicd_actions.workflows.syntax import Access, Call, Comparison, Context, Literal, Logical, Node, Not
from cicd_actions.workflows.templates import expressions

Value: TypeAlias = "str | tuple[str, ...]"
"""A text, or a list of texts."""

Known: TypeAlias = "Mapping[str, frozenset[Value] | None]"
"""The possible values of `inputs.x`, `matrix.x.y`, `env.x`, keyed by that path in lower case. `None`: not known."""

MOST = 100
"""Values that one expression may have; beyond that it counts as not known."""

_BOTH = frozenset({"true", "false"})
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d{1,3})\}")


def possible(text: str, known: Known) -> frozenset[str] | None:
    """Returns all texts that a template can become; `None` when the file does not tell. At most 100 are followed."""
    if "${{" not in text:
        return frozenset({text})
    parts: list[Iterable[str]] = []
    at = 0
    for found in expressions(text):
        values = _texts(possible_of(found.tree, known)) if found.tree is not None else None
        if values is None:
            return None
        parts += [[text[at : found.start - 3]], values]
        at = found.start + len(found.source) + 2
    parts.append([text[at:]])
    combined = _product(parts)
    return None if combined is None else frozenset("".join(one) for one in combined)


def possible_value(text: str, known: Known) -> frozenset[Value] | None:
    """Returns the values of a text that is one expression as they are, lists included; else its texts."""
    found = expressions(text)
    if len(found) == 1 and found[0].tree is not None and text.strip() == f"${{{{{found[0].source}}}}}":
        return possible_of(found[0].tree, known)
    texts = possible(text, known)
    return None if texts is None else frozenset(texts)


def possible_of(node: Node | None, known: Known) -> frozenset[Value] | None:
    """Returns the possible values of one expression's tree; `None` when the file does not tell."""
    if isinstance(node, Literal):
        return frozenset({text_of(node.value)})
    if isinstance(node, (Comparison, Not)):
        return _BOTH
    if isinstance(node, Access):
        path = _path(node)
        return known.get(path) if path else None
    if isinstance(node, Logical):
        # `condition && a || b`: each operand of `||`, and of each `&&` the last one, can be the result.
        operands = node.operands if node.operator == "||" else node.operands[-1:]
        return _united(possible_of(operand, known) for operand in operands)
    if isinstance(node, Call):
        return _called(node, known)
    return None


def text_of(value: bool | float | str | None) -> str:
    """Returns what GitHub writes for a value: whole numbers without a fraction."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    number = float(value)  # `fromJSON` gives an `int` too, which has no `is_integer` before Python 3.12
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return str(int(value)) if number.is_integer() else str(value)


def _path(node: Node | None) -> str:
    """`matrix.target.name` of accesses by names and literal keys; nothing for other nodes."""
    keys: list[str] = []
    while isinstance(node, Access):
        if not isinstance(node.key, Literal):
            return ""
        keys.append(text_of(node.key.value))
        node = node.of
    if not isinstance(node, Context):
        return ""
    path = ".".join([node.name, *reversed(keys)]).lower()
    # What a dispatch hands in stands under both names.
    return path.removeprefix("github.event.") if path.startswith("github.event.inputs.") else path


def _called(node: Call, known: Known) -> frozenset[Value] | None:
    name = node.name.lower()
    if name in {"contains", "startswith", "endswith"}:
        return _BOTH
    if name == "case":
        results = [*node.arguments[1:-1:2], node.arguments[-1]] if node.arguments else []
        return _united(possible_of(result, known) for result in results)
    arguments = [possible_of(argument, known) for argument in node.arguments]
    known_arguments = [values for values in arguments if values is not None]
    if not arguments or len(known_arguments) < len(arguments):
        return None
    if name == "format":
        texts = [values for each in known_arguments if (values := _texts(each)) is not None]
        combined = _product(texts) if len(texts) == len(arguments) else None
        return None if combined is None else frozenset(_formatted(first, rest) for first, *rest in combined)
    if name == "join":
        separators = _texts(known_arguments[1]) if len(arguments) > 1 else frozenset({","})
        if separators is None:
            return None
        return frozenset(
            separator.join(value) if isinstance(value, tuple) else value
            for value in known_arguments[0]
            for separator in separators
        )
    if name == "fromjson":
        return _united(_parsed(value) for value in known_arguments[0])
    return None


def _formatted(text: str, values: list[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        index = int(match[1])
        return values[index] if index < len(values) else match[0]

    return _PLACEHOLDER.sub(replaced, text)


def _parsed(value: Value) -> frozenset[Value] | None:
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list):
        return frozenset({tuple(found)}) if all(isinstance(each, str) for each in found) else None
    return frozenset({text_of(found)}) if isinstance(found, (str, bool, int, float)) else None


def _texts(values: frozenset[Value] | None) -> frozenset[str] | None:
    texts = frozenset(value for value in values or () if isinstance(value, str))
    return texts if values is not None and len(texts) == len(values) else None


def _product(parts: Sequence[Iterable[str]]) -> list[tuple[str, ...]] | None:
    listed = [sorted(part) for part in parts]
    count = 1
    for each in listed:
        count *= len(each)
    return list(product(*listed)) if count <= MOST else None


def _united(sets: Iterable[frozenset[Value] | None]) -> frozenset[Value] | None:
    united: frozenset[Value] = frozenset()
    some = False
    for values in sets:
        if values is None or len(united) > MOST:
            return None
        united |= values
        some = True
    return united if some else None
