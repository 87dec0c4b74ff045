"""Combines the values of a job's matrix, as far as the file itself tells.

The order of `exclude` and `include` is GitHub's:
https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import product
from typing import Any

from cicd_actions.toolkit.json_values import objects
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar, Sequence
from cicd_actions.workflows.syntax import Call, Literal
from cicd_actions.workflows.templates import expressions
from cicd_actions.workflows.values import Known, Value, possible_value, text_of

MOST = 256
"""Jobs that one matrix may start: GitHub's own bound. Where there are more, values are not combined."""


class _Unknown:
    """A value that is known only when the workflow runs."""


_UNKNOWN = _Unknown()


def combinations(node: Node | None, known: Known) -> list[Known]:
    """Returns what `matrix.x.y` can be, one mapping a combination; one empty mapping where there is no matrix."""
    matrix = _plain(node, known)
    if not isinstance(matrix, dict) or not matrix:
        return [{}]
    include, exclude = (objects(matrix.get(key)) for key in ("include", "exclude"))
    axes = {key: values for key, values in matrix.items() if key not in {"include", "exclude"}}
    count = 1
    for values in axes.values():
        count *= len(values) if isinstance(values, list) else 1
    if count > MOST or len(include) > MOST:
        return [_merged([*({key: value} for key, values in axes.items() for value in _listed(values)), *include])]
    made: list[dict[str, Any]] = [
        dict(zip(axes, values, strict=True)) for values in (product(*map(_listed, axes.values())) if axes else ())
    ]
    made = [one for one in made if not any(all(one.get(key) == value for key, value in row.items()) for row in exclude if row)]
    extended = [dict(one) for one in made]
    more: list[dict[str, Any]] = []
    for row in include:
        fitting = [
            wide
            for one, wide in zip(made, extended, strict=True)
            if all(one.get(key, value) == value for key, value in row.items())
        ]
        for wide in fitting:
            wide.update(row)
        if not fitting:
            more.append(row)
    return [_flat(one) for one in [*extended, *more]] or [{}]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) and value else [_UNKNOWN]


def _plain(node: Node | None, known: Known) -> Any:
    """The node as dicts, lists and texts; what an expression gives where that is known."""
    if isinstance(node, Mapping):
        return {key.text.lower(): _plain(value, known) for key, value in node.entries}
    if isinstance(node, Sequence):
        return [_plain(item, known) for item in node.items]
    if not isinstance(node, Scalar):
        return _UNKNOWN
    if "${{" not in node.text:
        return node.text
    written = _written_json(node.text)
    if written is not None:
        return written
    values = possible_value(node.text, known)
    if values is None or len(values) != 1:
        return _UNKNOWN
    (value,) = values
    return list(value) if isinstance(value, tuple) else value


def _written_json(text: str) -> Any:
    """What `${{ fromJSON('…') }}` holds; `None` for any other text."""
    found = expressions(text)
    tree = found[0].tree if len(found) == 1 and text.strip().startswith("${{") else None
    if not (isinstance(tree, Call) and tree.name.lower() == "fromjson" and len(tree.arguments) == 1):
        return None
    argument = tree.arguments[0]
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        return None
    try:
        return _lowered(json.loads(argument.value))
    except (ValueError, RecursionError):
        return None


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key).lower(): _lowered(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_lowered(each) for each in value]
    return text_of(value)


def _flat(one: dict[str, Any]) -> Known:
    found: dict[str, frozenset[Value] | None] = {}
    pending: list[tuple[str, Any]] = [(f"matrix.{key}", value) for key, value in one.items()]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{path}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            pending += [(f"{path}.{index}", each) for index, each in enumerate(value)]
            found[path] = frozenset({tuple(value)}) if all(isinstance(each, str) for each in value) else None
        else:
            found[path] = frozenset({value}) if isinstance(value, str) else None
    return found


def _merged(ones: Iterable[dict[str, Any]]) -> Known:
    """The values of each path together, where they are too many to be combined."""
    found: dict[str, frozenset[Value] | None] = {}
    for one in ones:
        for path, values in _flat(one).items():
            before = found.get(path, frozenset())
            found[path] = None if before is None or values is None else before | values
    return found
