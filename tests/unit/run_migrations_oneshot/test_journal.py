"""Which files a run leaves behind."""

from __future__ import annotations

import io
import stat
from pathlib import Path

from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit.runtime import Runtime


def test_journal_that_is_not_kept_shows_its_lines_and_leaves_no_file(tmp_path: Path) -> None:
    log = io.StringIO()
    journal = Journal(Runtime({}, log), tmp_path / "run.log", kept=False)
    journal.line("upgraded to r2")
    assert journal.keep(".schema.diff", "+ a") is None
    journal.close()
    assert "upgraded to r2" in log.getvalue()
    assert (journal.path, journal.facts(), [*tmp_path.iterdir()]) == (None, [], [])


def test_journal_that_is_not_kept_writes_a_file_that_an_input_asked_for(tmp_path: Path) -> None:
    journal = Journal(Runtime({}, io.StringIO()), tmp_path / "run.log", kept=False)
    path = journal.keep(".sql", "SELECT 1;\n", asked=True)
    journal.close()
    assert path == tmp_path / "run.sql"
    assert [*tmp_path.iterdir()] == [path]


def test_journal_keeps_its_files_redacted_and_for_its_owner_alone(tmp_path: Path) -> None:
    runtime = Runtime({}, io.StringIO())
    runtime.redactor.add("k9Qw7Zt4Lm2X")
    journal = Journal(runtime, tmp_path / "run.log")
    journal.line("key k9Qw7Zt4Lm2X")
    journal.keep(".schema-before.sql", "-- k9Qw7Zt4Lm2X\n")
    journal.close()
    assert journal.facts() == [f"Log: {tmp_path / 'run.log'}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.log", "run.schema-before.sql"]
    for path in tmp_path.iterdir():
        assert "k9Qw7Zt4Lm2X" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
