"""The summaries of verify-migrations, as a person reads them: tests/golden/verify-migrations/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.action import Ended
from tests.harness.golden import Golden
from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = pytest.mark.postgres

_USERS = 'sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), {})'
_NAME, _AGE = 'sa.Column("name", sa.Text)', 'sa.Column("age", sa.Integer)'


def test_summaries_of_a_change_are_the_kept_ones(
    verify: Verify, repository: MigrationRepository, golden: Golden, tmp_path: Path
) -> None:
    def hold(case: str, base: str = "") -> Ended:
        summary = tmp_path / "summary.md"
        summary.write_text("")
        base = base or repository.base
        ended = verify(repository, summary=summary, base_ref=base)
        assert ended.outputs["verdict"] == case, ended.log
        golden.hold(f"verify-migrations/{case}", summary.read_text("utf-8"), base=base, commit=base[:12])
        return ended

    repository.models(_USERS.format(_NAME))
    create = f'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), {_NAME})'
    repository.revision("a1", create, 'op.drop_table("users")').commit()
    repository.models(_USERS.format(f"{_NAME}, {_AGE}"))
    repository.revision("a2", f'op.add_column("users", {_AGE})', 'op.drop_column("users", "age")').commit()

    ended = hold("pass")
    assert json.loads(ended.outputs["phases"]) == {"a2": "expand"}
    assert json.loads(ended.outputs["locks"]) == {"a2": {"users": "AccessExclusiveLock"}}
    assert rules(ended, "error", "warning") == set()
    assert verify.server.sql("select datname from pg_database where datname like 'cicd_vm_head%'") == []

    index = 'op.create_index("by_age", "users", ["age"])'
    repository.models(_USERS.format(f'{_AGE}, sa.Index("by_age", "age")'))
    repository.revision("a3", f'op.drop_column("users", "name")\n{index}').commit()
    hold("fail")

    (repository.folder / "migrations/env.py").write_text("import nothing_of_this_name\n")
    broken = repository.commit()
    repository.revision("a4", "pass").commit()
    hold("inconclusive", broken)
