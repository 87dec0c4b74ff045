"""Holds every start of a program in the sources to an environment that the source chose: the step's own has every secret."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
STARTS = {"subprocess.run", "subprocess.Popen", "process.run"}


def test_sources_start_no_program_with_the_environment_of_the_step() -> None:
    # What runs in a user's image has the job's environment, which holds what the job needs.
    files = [path for path in SOURCE.rglob("*.py") if not {"in_image", "in_project"} & set(path.parts)]
    bare = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in files
        for text in [path.read_text("utf-8")]
        if "process" in text
        for tree in [ast.parse(text)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and ast.unparse(node.func) in STARTS | _imported(tree)
        and not any(keyword.arg == "env" for keyword in node.keywords)
    ]
    assert bare == []


def _imported(tree: ast.Module) -> set[str]:
    """Names of `process.run` in a module that imports it from there."""
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "cicd_actions.toolkit.process"
        for alias in node.names
        if alias.name == "run"
    }
