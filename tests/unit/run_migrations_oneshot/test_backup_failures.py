"""What a run reports whose backup failed."""

from __future__ import annotations

import io
from pathlib import Path

from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.run_migrations_oneshot import run
from cicd_actions.run_migrations_oneshot.backup import BackupFailed
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def test_stopped_by_a_failed_backup_is_inconclusive_and_refused(tmp_path: Path) -> None:
    journal = Journal(Runtime({}, io.StringIO()), tmp_path / "run.log", kept=False)
    report = run._stopped(BackupFailed("The backup x is empty. Nothing was applied."), journal)
    assert (report.verdict, report.outputs["status"]) == (Verdict.INCONCLUSIVE, "refused")
    assert report.outputs["reason"] == "The backup x is empty. Nothing was applied."
    assert report.verdict.exit_code != 0


def test_stopped_by_an_engine_that_may_have_begun_does_not_claim_that_nothing_was_touched(tmp_path: Path) -> None:
    journal = Journal(Runtime({}, io.StringIO()), tmp_path / "run.log", kept=False)
    report = run._stopped(EngineUnreachable("No answer."), journal)
    assert (report.verdict, report.outputs["status"]) == (Verdict.INCONCLUSIVE, "failed")
