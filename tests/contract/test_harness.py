"""Holds what the tests stand on to ways that leave nothing behind."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def unprotected(body: Sequence[ast.stmt]) -> Iterator[int]:
    """The lines of the yields after which statements stand that an error in the block would skip."""
    for at, statement in enumerate(body):
        if isinstance(statement, ast.FunctionDef) or not any(isinstance(node, ast.Yield) for node in ast.walk(statement)):
            continue
        if isinstance(statement, ast.Try) and statement.finalbody:
            continue
        if any("assert" not in ast.unparse(rest) for rest in body[at + 1 :]):
            yield statement.lineno
        yield from unprotected(getattr(statement, "body", []))


def test_context_managers_tidy_up_after_an_error_in_their_block() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("tests", "demo", "rehearsal", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for text in [path.read_text("utf-8")]
        if "contextmanager\n" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).endswith("contextmanager") for each in node.decorator_list)
        for line in unprotected(node.body)
    ]
    assert found == []
