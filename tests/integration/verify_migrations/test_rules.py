"""Finds each rule that the labelled sets do not name: in a bad migration, and not in a good one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = pytest.mark.postgres


class Pair(NamedTuple):
    """A rule, a migration that has to be found, and one that must not be. `{t}` is a table with `a` and `c`."""

    rule: str
    bad: str
    good: str
    bad_phase: str = ""
    good_phase: str = ""


PAIRS = (
    Pair("column-nullable", "op.alter_column('{t}', 'a', nullable=True)", "op.add_column('{t}', sa.Column('e', sa.Text))"),
    Pair(
        "blocking-reindex",
        "op.execute('reindex table {t}')",
        "with op.get_context().autocommit_block():\n    op.execute('reindex table concurrently {t}')",
    ),
    Pair(
        "constraint-violated",
        "op.execute('alter table {t} add constraint {t}_k check (length(c) > 5000) not valid')",
        "op.execute('alter table {t} add constraint {t}_k check (length(c) >= 0) not valid')",
    ),
    Pair(
        "contract-unneeded",
        "op.add_column('{t}', sa.Column('e', sa.Text))",
        "op.drop_column('{t}', 'c')",
        "contract",
        "contract",
    ),
)


def found(verify: Verify, folder: Path, migrations: Mapping[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Returns the rules of each revision: one for each table, all in one run."""
    folder.mkdir()
    project = MigrationRepository(folder)
    columns = (
        "sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Integer, nullable=False), sa.Column('c', sa.Text)"
    )
    project.models("\n".join(f"sa.Table('{table}', metadata, {columns})" for table in migrations))
    project.revision("start", "\n".join(f"op.create_table('{table}', {columns})" for table in migrations)).commit()
    for table, (body, phase) in migrations.items():
        project.revision(f"r_{table}", body.replace("{t}", table), phase=phase)
    project.commit()
    ended = verify(project)
    assert ended.outputs["report"], ended.log
    seen: dict[str, set[str]] = {table: set() for table in migrations}
    for each in json.loads(Path(ended.outputs["report"]).read_text())["findings"]:
        seen.get(each["revision"].removeprefix("r_"), set()).add(each["rule"])
    return seen


def test_each_rule_finds_the_bad_migration_and_leaves_the_good_one(verify: Verify, tmp_path: Path) -> None:
    named = {pair.rule.replace("-", "_"): pair for pair in PAIRS}
    both = {f"bad_{name}": (pair.bad, pair.bad_phase) for name, pair in named.items()}
    both |= {f"good_{name}": (pair.good, pair.good_phase) for name, pair in named.items()}
    seen = found(verify, tmp_path / "app", both)
    assert {name: pair.rule in seen[f"bad_{name}"] for name, pair in named.items()} == dict.fromkeys(named, True), seen
    assert {name: pair.rule in seen[f"good_{name}"] for name, pair in named.items()} == dict.fromkeys(named, False), seen


def test_released_revision_that_is_gone_is_found(verify: Verify, repository: MigrationRepository) -> None:
    repository.revision("a1", "pass").revision("a2", "pass").commit()
    repository.path("a2").unlink()
    repository.commit()
    ended = verify(repository)
    assert (ended.code, rules(ended, "error")) == (1, {"revision-removed"}), ended.log
