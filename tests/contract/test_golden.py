"""Holds the kept summaries to the actions: a person can read what each one writes for each verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIGNS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}
NEVER = {"notify": {"fail", "inconclusive"}}
"""The verdicts that an action never has: a notification that is not sent does not fail a deploy."""


@pytest.mark.parametrize("action", sorted(path.parent.name for path in (ROOT / "actions").glob("*/action.yml")))
def test_summary_of_each_verdict_is_kept(action: str) -> None:
    kept = [path.read_text("utf-8").partition("\n")[0] for path in (ROOT / "tests/golden" / action).glob("*.md")]
    found = {verdict for verdict, sign in SIGNS.items() if f"## {sign} {action}: {verdict}" in kept}
    assert found == set(SIGNS) - NEVER.get(action, set())
