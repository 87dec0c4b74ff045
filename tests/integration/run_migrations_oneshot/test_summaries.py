"""The summaries of run-migrations-oneshot, as a person reads them: tests/golden/run-migrations-oneshot/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cicd_actions.run_migrations_oneshot.action import ACTION
from tests.harness.alembic_project import Project
from tests.harness.golden import Golden
from tests.integration.run_migrations_oneshot.conftest import Database, Migrating

TABLE = "op.execute('CREATE TABLE items (id integer, name text)')"


def test_summaries_of_migrations_are_the_kept_ones(
    database: Database, project: Callable[..., Project], migrate: Migrating, golden: Golden
) -> None:
    made = project().revision("r1", TABLE).revision("r2", "op.execute('ALTER TABLE items ADD COLUMN price integer')")

    def hold(case: str, url: str = "", **inputs: Any) -> None:
        ended = migrate(made, url or database.url(), **inputs)
        golden.report(f"run-migrations-oneshot/{case}", ended.report, ACTION, database=database.name, folder=str(made.folder))
        assert ended.verdict == case.partition("-")[0], ended.log

    hold("pass-dry-run", dry_run="true")
    hold("pass")
    hold("pass-nothing-to-do")
    made.revision("r3", "op.execute('ALTER TABLE items ADD COLUMN price integer')")
    hold("fail")
    hold("inconclusive", url="postgresql+psycopg://app@127.0.0.1:1/app", wait_for_database="1s")
