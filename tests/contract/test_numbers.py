"""Holds the sources to `grammar.is_whole`: `str.isdigit` accepts what `int` refuses (`²`), and any number of digits."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
NAMES = ("isdigit", "isdecimal", "isnumeric")


def test_sources_decide_what_is_a_number_in_one_place() -> None:
    own = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for text in [path.read_text("utf-8")]
        if any(name in text for name in NAMES)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in NAMES
    ]
    assert own == []
