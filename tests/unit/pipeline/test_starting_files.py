"""The workflows that `init` writes are those of the example and of the guides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cicd_actions.pipeline import starting_files
from cicd_actions.toolkit.yaml12 import plain, read
from demo.export import PLACEHOLDER_SHA

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "two-lane" / ".github" / "workflows"


def parsed(text: str) -> Any:
    return plain(read(text).root)


def test_caller_is_the_examples() -> None:
    assert parsed(starting_files.caller(PLACEHOLDER_SHA, "main", release=True)) == parsed(
        (EXAMPLE / "pipeline.yml").read_text()
    )


def test_caller_without_a_release_only_verifies() -> None:
    found = parsed(starting_files.caller(PLACEHOLDER_SHA, "trunk", release=False))
    assert list(found["jobs"]) == ["verify"]
    assert found["on"]["push"]["branches"] == ["trunk"]


def test_rollback_is_the_examples() -> None:
    made = starting_files.rollback(PLACEHOLDER_SHA, ["staging", "production"])
    assert parsed(made) == parsed((EXAMPLE / "rollback.yml").read_text())


def test_lock_is_the_guides() -> None:
    (block,) = re.findall(r"```yaml\n(name: Lock\n.*?)```", (ROOT / "docs" / "locks.md").read_text(), re.DOTALL)
    assert parsed(starting_files.lock("<full commit sha>", ["staging", "production"])) == parsed(block)
