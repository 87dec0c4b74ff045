"""Holds the modules to one direction: toolkit, then github, engines and workflows, then the actions; and to no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
MIDDLE = ("github", "engines", "workflows")


@cache
def imports() -> dict[str, frozenset[str]]:
    """Each of our modules, with those of ours that it imports when it is loaded; the user's image has its own rules."""
    files = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
        if "in_image" not in path.parts
    }

    def meant(node: ast.stmt) -> Iterable[str]:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                full = f"{node.module}.{each.name}"
                yield full if full in files else node.module or ""

    return {
        name: frozenset(found for node in ast.parse(path.read_text("utf-8")).body for found in meant(node) if found in files)
        for name, path in files.items()
    }


def test_imports_of_the_tree_hold_no_circle() -> None:
    # A package's own `__init__` may import its modules: they name it only as their parent.
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_imports_run_from_the_actions_to_the_toolkit() -> None:
    def floor(name: str) -> int:
        package = [*name.split("."), ""][1]
        return 0 if package in {"toolkit", ""} else 1 if package in MIDDLE else 2

    upward = [(name, one) for name, many in imports().items() for one in many if floor(name) < floor(one)]
    assert upward == [("cicd_actions.__main__", one) for _, one in upward]
