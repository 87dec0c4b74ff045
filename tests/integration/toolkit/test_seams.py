"""A secret at any offset of any channel: read in pieces, logged, kept in a file, cut, written to outputs and the summary."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit import process, reporting
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, CodeBlock, Details, Paragraph, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

SECRET = "k9Qw7Zt4/Lm2Xc8Vb6+Nn1Hg5Jd3"
SPELLINGS = [SECRET, quote(SECRET, safe=""), json.dumps(json.dumps({"e": SECRET})), SECRET.encode().hex()]
PIECES = {spelling[at : at + 8] for spelling in SPELLINGS for at in range(len(spelling) - 7) if spelling[at : at + 8].isalnum()}


OUTPUTS = (Output("reason", "x"), Output("list", "x"))
ACTION = Action("a", "A.", object, OUTPUTS, "", "x", "blue")


def assert_hidden(text: str) -> None:
    assert not [piece for piece in PIECES if piece in text]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_process_secret_around_each_boundary_of_a_line_without_end_is_masked(spelling: str, tmp_path: Path) -> None:
    log = io.StringIO()
    runtime = Runtime({"GITHUB_ACTIONS": "true"}, log)
    runtime.redactor.add(SECRET)
    offsets = [65536 - len(spelling), 65536 - len(spelling) // 2, 65535, 65536 - runtime.redactor.reach]
    source = f"import sys\nfor n in {offsets!r}: sys.stdout.write('x' * n + {spelling!r} + 'y' * 3000 + chr(10))"
    journal = Journal(runtime, tmp_path / "log")

    def on_line(_stream: str, line: str) -> None:
        journal.line(line)
        runtime.log(line)

    done = process.run(
        [sys.executable, "-c", source],
        timeout=60,
        on_line=on_line,
        redactor=runtime.redactor,
        limit=65536 + len(spelling) // 2,
    )
    journal.close()
    assert done.exit_code == 0
    assert log.getvalue().count("***") >= len(offsets)
    for text in (log.getvalue(), (tmp_path / "log").read_text(), *journal.last, runtime.redactor(done.stdout)):
        assert_hidden(text)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_publish_secret_around_each_limit_is_masked(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "OUTPUT_LIMIT", 4000)
    monkeypatch.setattr(reporting, "SUMMARY_LIMIT", 12_000)
    for limit in (4000, 11_500):
        for offset in (limit - len(spelling), limit - len(spelling) // 2, limit - 7):
            outputs, summary, log, document = tmp_path / "o", tmp_path / "s", io.StringIO(), io.StringIO()
            outputs.write_text("")
            summary.write_text("")
            names = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
            runtime = Runtime(names, log)
            runtime.redactor.add(SECRET)
            text = "x" * offset + spelling + "y" * 50
            finding = Finding("a/b", Severity.ERROR, text, fix=text)
            blocks: list[Block] = [Paragraph(text), Details(text, [CodeBlock(text)]), Table(["a"], [[text]])]
            report = Report(Verdict.FAIL, text, {"reason": text, "list": [text]}, [finding], blocks)
            reporting.publish(report, ACTION, runtime, as_json=document)
            for shown in (outputs.read_text(), summary.read_text(), log.getvalue(), document.getvalue()):
                assert_hidden(shown)
