"""Holds the tests that `.ci/run` leaves out: each is documented, and the nightly run selects all of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
    assert "if [ \"$what\" = coverage ]; then\n    selected=''\n    pythons=all\nfi\n" in run
    assert "run: sudo .ci/run coverage\n" in (ROOT / ".github" / "workflows" / "nightly.yml").read_text("utf-8")
