"""Holds what `.ci/run` runs: the tests that it leaves out are documented and run each night, and what it runs is measured."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def marked() -> list[str]:
    """Returns the names of the tests that carry the mark themselves; a whole file may not."""
    names = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text("utf-8")
        if path == Path(__file__) or "mark.nightly" not in text:
            continue
        found = [
            node.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and "pytest.mark.nightly" in map(ast.unparse, node.decorator_list)
        ]
        assert len(found) == text.count("mark.nightly"), f"{path}: mark single tests as nightly"
        names += found
    return sorted(names)


def test_contributing_names_each_nightly_test() -> None:
    (section,) = re.findall(r"### Nightly tests\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    assert sorted(re.findall(r"^\| `(test_\w+)` \|", section, re.MULTILINE)) == marked()


def test_nightly_run_leaves_no_test_out() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "if [ \"$what\" = nightly ]; then\n    selected=''\n    pythons=all\nfi\n" in run
    assert "run: sudo .ci/run nightly\n" in (ROOT / ".github" / "workflows" / "nightly.yml").read_text("utf-8")


def recipe(**variables: str) -> str:
    """Returns what `make test` would run."""
    words = ["make", "-n", "test", *(f"{name}={text}" for name, text in variables.items())]
    return subprocess.run(words, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout


def test_each_run_is_measured_and_holds_the_floor() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert 'CICD_ACTIONS_NO_SKIP=1 make test MEASURE=yes PYTEST="' in run
    assert "\nfail_under = 95\n" in (ROOT / "pyproject.toml").read_text("utf-8")
    assert " report  >" in recipe(MEASURE="yes", PYTEST="-q", CICD_ACTIONS_NO_SKIP="1")


@pytest.mark.parametrize(
    ("variables", "measured"),
    [
        ({}, " report --fail-under 0 >"),
        ({"PYTEST": "-q"}, ""),
        ({"PYTEST": "-q", "MEASURE": "yes", "FLOOR": "60"}, "--fail-under 60"),
    ],
)
def test_where_tests_may_be_skipped_the_floor_is_what_is_asked(variables: dict[str, str], measured: str) -> None:
    made = recipe(**variables)
    assert measured in made
    assert ("coverage" in made) == bool(measured)
