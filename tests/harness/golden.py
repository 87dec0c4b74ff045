"""Golden summaries: what an action writes for a person, kept as a file that a person reads and a test compares.

`make golden PYTEST=TEST` writes the files of a test again. What differs from run to run (times, ports, temporary folders,
hashes of a test's own commits) is written as a placeholder.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from pathlib import Path

import pytest

from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.reporting import publish
from cicd_actions.toolkit.runtime import Runtime

FOLDER = Path(__file__).resolve().parents[1] / "golden"

_VOLATILE = (
    (re.compile(r"\b\d+(\.\d+)?–(?=\d)"), "0–"),
    (re.compile(r"\b\d+((\.|&#46;)\d+)?( |&nbsp;)?(ms|s|min)\b"), "0 s"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z| UTC|\+00:00)?"), "2026-01-01T00:00:00Z"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "00:00:00"),
    (re.compile(r"\b\d+(\.\d+)? (B|kB|MB)\b"), "0 kB"),
    (re.compile(r"/[^\s'\"`<>]*pytest-of-[^\s'\"`<>]+"), "<scratch>"),
    (re.compile(r"([🟥🟩🟧⬜])\1+"), r"\1\1\1"),
    (re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d+"), r"\1:8000"),
)


class Golden:
    """Compares summaries with the kept ones."""

    def __init__(self, scratch: Path, test: Path) -> None:
        self._scratch = scratch
        self._test = test

    def hold(self, name: str, text: str, **placeholders: str) -> None:
        """Compares *text* with `tests/golden/NAME.md`. Each placeholder's value is written as `<its name>`."""
        for placeholder, value in placeholders.items():
            text = re.sub(rf"(?<![\w.]){re.escape(value)}(?!\w|\.\d)", f"<{placeholder}>", text)
        for pattern, instead in _VOLATILE:
            text = pattern.sub(instead, text)
        kept = FOLDER / f"{name}.md"
        if os.environ.get("CICD_ACTIONS_GOLDEN") == "write":
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(text, encoding="utf-8")
        before = kept.read_text(encoding="utf-8") if kept.exists() else ""
        changed = difflib.unified_diff(before.splitlines(), text.splitlines(), "kept", "now", lineterm="")
        assert before == text, "\n".join(
            [f"The summary changed. Read the difference; `make golden PYTEST={self._test}` keeps it:", *changed]
        )

    def report(self, name: str, report: Report, action: AnyAction, **placeholders: str) -> None:
        """Compares the summary that a report is published as."""
        summary = self._scratch / "summary.md"
        summary.write_text("")
        publish(report, action, Runtime({"GITHUB_STEP_SUMMARY": str(summary)}, io.StringIO()))
        self.hold(name, summary.read_text(encoding="utf-8"), **placeholders)


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return Golden(tmp_path_factory.mktemp("golden"), request.path.relative_to(FOLDER.parents[1]))
