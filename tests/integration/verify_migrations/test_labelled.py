"""Judges migrations that a person has labelled, all of a set in one run: each finding has to name its revision."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify
from tests.integration.verify_migrations.labelled import FIRST, REPORTED, SECOND, Case
from tests.integration.verify_migrations.labelled_projects import PROJECTS
from tests.integration.verify_migrations.labelled_rare import RARE

pytestmark = pytest.mark.postgres

_TABLE = "create table {t}(id serial primary key, a int not null, b varchar(50), c text, d timestamptz);"
_COLUMNS = {
    "id": "sa.Column('id', sa.Integer, primary_key=True)",
    "a": "sa.Column('a', sa.Integer, nullable=False)",
    "b": "sa.Column('b', sa.String(50))",
    "c": "sa.Column('c', sa.Text)",
    "d": "sa.Column('d', sa.DateTime(timezone=True))",
}


def repository(folder: Path, cases: Sequence[Case]) -> MigrationRepository:
    """Returns a repository whose base has the tables of all cases, and whose change has one revision for each."""
    found = MigrationRepository(folder)
    models, statements = [], []
    for case in cases:
        columns = [text for name, text in _COLUMNS.items() if name not in case.without.split()]
        more = case.models.replace("{t}", f"t_{case.name}")
        if more.startswith("@"):
            models.append(more[1:])
        elif more:
            columns.append(more)
        models.append(f"sa.Table('t_{case.name}', metadata, {', '.join(columns)})")
        statements.append((_TABLE + case.base).replace("{t}", f"t_{case.name}"))
    found.models("\n".join(models))
    found.revision("start", "\n".join(f"op.execute({statement!r})" for statement in statements))
    found.commit()
    for case in cases:
        body = textwrap.dedent(case.up).strip().replace("{t}", f"t_{case.name}")
        body = body.replace("; apart:", "\napart:").replace("apart:", "with op.get_context().autocommit_block():")
        found.revision(f"r_{case.name}", f"sql = op.execute\n{body}", phase=case.phase)
    found.commit()
    return found


def judged(verify: Verify, folder: Path, cases: Sequence[Case], driver: str) -> tuple[set[str], dict[str, set[str]]]:
    """Returns the cases that were found dangerous, and the rules of each."""
    folder.mkdir()
    ended = verify(repository(folder, cases), driver=driver, fail_on="old-code\nlocks\ndata\nrevisions")
    assert ended.outputs["report"], ended.log
    report = json.loads(Path(ended.outputs["report"]).read_text())
    found: dict[str, set[str]] = {}
    for one in report["findings"]:
        if one["fails"]:
            found.setdefault(one["revision"].removeprefix("r_"), set()).add(one["rule"])
    assert {each["revision"] for each in report["new"]} == {f"r_{case.name}" for case in cases}, ended.log
    # One of them fails on unkind rows, which ends that run: the others were not tried on such.
    assert [each for each in report["not-judged"] if " did not run on NULL, empty, longest " not in each] == []
    return set(found), found


@pytest.mark.parametrize(
    ("cases", "least", "driver"),
    # With psycopg2 alone, a `COMMIT` that a migration sends makes place for CONCURRENTLY.
    [(FIRST, 30, "psycopg"), (SECOND, 25, "psycopg"), (REPORTED + PROJECTS, 30, "psycopg2"), (RARE, 41, "psycopg")],
    ids=["first", "second", "found", "rare"],
)
def test_labelled_migrations_are_told_apart(
    verify: Verify, tmp_path: Path, cases: Sequence[Case], least: int, driver: str
) -> None:
    found, rules = judged(verify, tmp_path / "app", cases, driver)
    dangerous = {case.name for case in cases if case.dangerous}
    assert len(found & dangerous) >= least, f"missed: {sorted(dangerous - found)}"
    assert not found - dangerous, {name: rules[name] for name in found - dangerous}
