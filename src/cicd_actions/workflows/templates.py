"""Finds the expressions in a text: each `${{ … }}`, or the whole text of an `if:`.

A `}}` inside single quotes does not end one, as in GitHub's `TemplateReader` (`actions/runner`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from cicd_actions.workflows.expressions import NotAnExpression, parse
from cicd_actions.workflows.syntax import Node

_OPEN = "${{"
_CLOSE = re.compile(r"'(?:[^']|'')*'|\}\}|'")


class Found(NamedTuple):
    """An expression in a text. Offsets in `tree` count from `start`, which is where the expression's own text begins."""

    source: str
    start: int
    tree: Node | None
    problem: str = ""
    problem_offset: int = 0
    """Counts from the beginning of the whole text."""


def expressions(text: str, *, condition: bool = False) -> tuple[Found, ...]:
    """Returns all expressions of the text, also those that cannot be read (with `problem` in place of `tree`).

    With `condition` the text is an `if:`, which is an expression also without `${{ }}`.
    """
    if _OPEN not in text:
        return (_read(text, 0),) if condition and text.strip() else ()
    return _within(text)


@lru_cache(maxsize=8192)
def _within(text: str) -> tuple[Found, ...]:
    """Returns each `${{ … }}`. A text is looked at more than once, and many files share theirs."""
    found: list[Found] = []
    at = text.find(_OPEN)
    while at >= 0:
        start = at + len(_OPEN)
        end = _closing(text, start)
        if end is None:
            return (*found, Found(text[start:], start, None, "this `${{` is not closed by `}}`", at))
        found.append(_read(text[start:end], start))
        at = text.find(_OPEN, end + 2)
    return tuple(found)


def _closing(text: str, start: int) -> int | None:
    at = start
    while match := _CLOSE.search(text, at):
        if match[0] == "}}":
            return match.start()
        at = match.end()
        if match[0] == "'":
            return None
    return None


def _read(source: str, start: int) -> Found:
    tree, problem, offset = parsed(source)
    return Found(source, start, tree, problem, start + offset if problem else 0)


@lru_cache(maxsize=8192)
def parsed(source: str) -> tuple[Node | None, str, int]:
    """Returns the tree of an expression, or the problem and its place. Each text is read once: many files share them."""
    try:
        return parse(source), "", 0
    except NotAnExpression as error:
        return None, error.problem, error.offset
