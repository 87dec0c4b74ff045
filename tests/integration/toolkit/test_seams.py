"""A secret around the real boundaries of what a program prints; unit tests hold every offset of every channel."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit import process
from cicd_actions.toolkit.runtime import Runtime

SECRET = "k9Qw7Zt4/Lm2Xc8Vb6+Nn1Hg5Jd3"
SPELLINGS = [SECRET, quote(SECRET, safe=""), json.dumps(json.dumps({"e": SECRET})), SECRET.encode().hex()]
PIECES = {spelling[at : at + 8] for spelling in SPELLINGS for at in range(len(spelling) - 7) if spelling[at : at + 8].isalnum()}


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
