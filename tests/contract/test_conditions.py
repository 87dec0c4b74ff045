"""Holds the condition of a rollback, which is written in workflows, READMEs and guides, to one text."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ROLLBACK = "${{ always() && steps.gate.outputs.verdict == 'fail' }}"
WITH_SMOKE_TESTS = "${{ always() && (steps.gate.outputs.verdict == 'fail' || steps.smoke.outputs.verdict == 'fail') }}"
"""A cancelled job still rolls back a release that its gate proved bad, so `always()`. Only *fail* is such a proof, and the
output of a gate that did not run is empty, so never `!= 'pass'`."""

_CONDITION = re.compile(r"^[\s#-]*if:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


def documents() -> dict[str, str]:
    """Every tracked Markdown and YAML file, by its path; the tests' own inputs break rules on purpose."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.yml", "*.yaml", ":!tests"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {path: (ROOT / path).read_text("utf-8") for path in listed.stdout.splitlines() if (ROOT / path).exists()}


def conditions(text: str) -> list[str]:
    return [found for found in _CONDITION.findall(text) if re.search(r"\bgate\.outputs\.verdict\b", found)]


def test_rollback_condition_is_the_same_in_every_document() -> None:
    found = {path: conditions(text) for path, text in documents().items()}
    assert {path: each for path, many in found.items() for each in many if each not in {ROLLBACK, WITH_SMOKE_TESTS}} == {}
    assert {"README.md", "docs/adopting.md", "actions/rollback-to-previous-sha/README.md"} <= {
        path for path, many in found.items() if many
    }


def test_rollback_condition_in_another_form_is_noticed() -> None:
    text = "- if: failure() && steps.gate.outputs.verdict == 'fail'\n  # if: ${{ steps.gate.outputs.verdict != 'pass' }}\n"
    assert [each != ROLLBACK for each in conditions(text)] == [True, True]
