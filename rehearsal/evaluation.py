"""Evaluates GitHub's expressions, as far as the deploy job uses them.

The rules are those of https://docs.github.com/actions/reference/evaluate-expressions-in-workflows-and-actions: `&&` and `||`
give an operand, texts compare without case, and values of two kinds compare as numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from cicd_actions.workflows.syntax import Access, Call, Comparison, Context, Literal, Logical, Node, Not, walk
from cicd_actions.workflows.templates import expressions

STATUS = frozenset({"always", "cancelled", "failure", "success"})


def condition(text: str, contexts: Mapping[str, Any], status: str) -> bool:
    """Returns whether an `if:` holds. Without a function of the status it asks for `success()` too."""
    if not text.strip():
        return status == "success"
    (found,) = expressions(text, condition=True)
    assert found.tree is not None, found.problem
    asked = any(isinstance(node, Call) and node.name.lower() in STATUS for node in walk(found.tree))
    return (asked or status == "success") and _truth(evaluate(found.tree, contexts, status))


def filled(text: str, contexts: Mapping[str, Any], status: str = "success") -> str:
    """Returns a text with each `${{ … }}` replaced by its value."""
    parts, at = [], 0
    for found in expressions(text):
        assert found.tree is not None, found.problem
        parts += [text[at : found.start - 3], _text(evaluate(found.tree, contexts, status))]
        at = found.start + len(found.source) + 2
    return "".join([*parts, text[at:]])


def evaluate(node: Node, contexts: Mapping[str, Any], status: str) -> Any:
    """Returns the value of an expression. `status` is the job's: `success`, `failure` or `cancelled`."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Context):
        return contexts[node.name.lower()]
    if isinstance(node, Not):
        return not _truth(evaluate(node.operand, contexts, status))
    if isinstance(node, Access):
        of = evaluate(node.of, contexts, status)
        assert node.key is not None, "object filters are not known here"
        return _member(of, evaluate(node.key, contexts, status))
    if isinstance(node, Logical):
        value: Any = None
        for operand in node.operands:
            value = evaluate(operand, contexts, status)
            if _truth(value) == (node.operator == "||"):
                break
        return value
    if isinstance(node, Comparison):
        return _compared(node.operator, *(evaluate(each, contexts, status) for each in (node.left, node.right)))
    name = node.name.lower()
    if name in STATUS:
        return name in {"always", status}
    return _FUNCTIONS[name](*(evaluate(each, contexts, status) for each in node.arguments))


def _member(of: Any, key: Any) -> Any:
    if isinstance(of, Mapping):
        wanted = str(key).lower()
        return next((value for name, value in of.items() if name.lower() == wanted), None)
    if isinstance(of, list) and isinstance(key, float) and 0 <= key < len(of):
        return of[int(key)]
    return None


def _truth(value: Any) -> bool:
    return not (value is None or value is False or value == "" or (_is_number(value) and (value == 0 or math.isnan(value))))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "Array" if isinstance(value, list) else "Object" if isinstance(value, Mapping) else str(value)


def _number(value: Any) -> float:
    if value is None or isinstance(value, bool) or _is_number(value):
        return float(value or 0)
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return math.nan


def _compared(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        left, right = left.upper(), right.upper()
    elif type(left) is not type(right):
        left, right = _number(left), _number(right)
    equal: bool = left is right if isinstance(left, (list, Mapping)) else left == right
    results: dict[str, Callable[[], bool]] = {
        "==": lambda: equal,
        "!=": lambda: not equal,
        "<": lambda: left < right,
        "<=": lambda: left <= right,
        ">": lambda: left > right,
        ">=": lambda: left >= right,
    }
    return results[operator]()


def _format(template: str, *values: Any) -> str:
    def found(match: re.Match[str]) -> str:
        return match[0][0] if match[0] in {"{{", "}}"} else _text(values[int(match[1])])

    return re.sub(r"\{\{|\}\}|\{(\d+)\}", found, template)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "fromjson": json.loads,
    "tojson": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    "format": _format,
    "contains": lambda where, what: (
        any(_compared("==", each, what) for each in where)
        if isinstance(where, list)
        else _text(what).lower() in _text(where).lower()
    ),
    "startswith": lambda text, start: _text(text).lower().startswith(_text(start).lower()),
    "endswith": lambda text, end: _text(text).lower().endswith(_text(end).lower()),
    "join": lambda values, between=",": between.join(map(_text, values)) if isinstance(values, list) else _text(values),
}
