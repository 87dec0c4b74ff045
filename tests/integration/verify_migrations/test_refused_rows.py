"""Runs the action where the database refuses generated rows: by a check, a trigger, a rule or an exclusion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.action import Ended
from tests.harness.alembic_project import OTHER_TOOLS, python_with
from tests.harness.django_project import DjangoProject
from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = pytest.mark.postgres

_TABLE = 'op.execute("create table {t}(id serial primary key, v text{more})")\n'
_RAISES = "create function no() returns trigger language plpgsql as $$begin raise exception 'no row for you'; end$$"
_NOTHING = "create function nothing() returns trigger language plpgsql as $$begin return null; end$$"


def tables() -> str:
    more = {"ok": "", "checked": ", constraint c check (md5(v) = 'never')", "excluded": ", exclude using btree (v with =)"}
    more |= dict.fromkeys(("raising", "always", "storing_nothing", "updated"), "")
    made = "".join(_TABLE.format(t=table, more=each) for table, each in more.items())
    triggers = {
        "raising": "before insert on raising for each row execute function no()",
        "always": "before insert on always for each row execute function nothing()",
        "updated": "before update on updated for each row execute function no()",
    }
    made += f"op.execute({_RAISES!r})\nop.execute({_NOTHING!r})\n"
    made += "".join(f'op.execute("create trigger t {text}")\n' for text in triggers.values())
    made += 'op.execute("alter table always enable always trigger t")\n'
    return made + 'op.execute("create rule r as on insert to storing_nothing do instead nothing")'


def change(table: str) -> tuple[str, str]:
    return f'op.execute("alter table {table} add e int")', f'op.execute("alter table {table} drop e")'


def report(ended: Ended) -> Any:
    assert ended.outputs["report"], ended.log
    return json.loads(Path(ended.outputs["report"]).read_text())


@pytest.fixture(params=["True", "False"], ids=["one each", "one for all"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> MigrationRepository:
    """A base with tables that refuse rows. Its revisions have one transaction each, or one for all."""
    (tmp_path / "app").mkdir()
    made = MigrationRepository(tmp_path / "app", options=f"transaction_per_migration={request.param}")
    used = ("ok", "checked", "raising", "excluded", "storing_nothing")
    text = 'sa.Table("{}", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Text))\n'
    made.models("".join(text.format(table) for table in used)).revision("a1", tables()).commit()
    return made


_CHECKED = 'a2, a4 ran without rows of checked: new row for relation "checked" violates check constraint "c".'
_ADD = " Add rows with `seed-sql` or `seed-command`."


def test_each_revision_that_touches_a_table_without_rows_is_named_once(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", *change("checked")).revision("a3", *change("ok"))
    project.revision("a4", f'op.execute("update checked set v = v")\n{change("raising")[0]}', change("raising")[1])
    project.revision("a5", *change("always")).revision("a6", 'op.execute("select count(*) from always")')
    project.revision("a7", *change("storing_nothing")).revision("a8", *change("excluded")).commit()
    wanted = [
        _CHECKED + _ADD,
        f"a5, a6 ran without rows of always: a trigger or a rule stores no row.{_ADD}",
        "The running release's INSERT into raising was not tried for a4: no row for you.",
        "The running release's INSERT into storing_nothing was not tried for a7: it succeeds, and stores no row.",
    ]
    rows = {name: f"no rows of {table}" for name, table in {"a2": "checked", "a5": "always", "a6": "always"}.items()}
    left = {**rows, "a4": "no rows of checked; INSERT into raising not tried", "a7": "INSERT into storing_nothing not tried"}
    for cached in (False, True):
        found = report(verify(project))
        assert sorted(found["not-judged"]) == sorted(wanted), cached
        assert {each["revision"]: "; ".join(each["not-tried"]) for each in found["new"] if each["not-tried"]} == left
        whys = {revision: phase["why"].partition("; ")[2] for revision, phase in found["phases"].items()}
        assert whys == {"a3": "", "a8": "", **left}


def test_seeded_table_is_not_without_rows(verify: Verify, project: MigrationRepository) -> None:
    (project.folder / "seed.sql").write_text("alter table always disable trigger t; insert into always values (1, 'x')")
    project.revision("a2", *change("always")).commit()
    assert report(verify(project, seed_sql="seed.sql"))["not-judged"] == []


def test_revisions_after_one_that_refuses_rows_are_named(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", *change("ok")).revision("a3", "op.execute(\"update updated set v = 'x'\")")
    project.revision("a4", *change("updated")).commit()
    ended = verify(project)
    found = report(ended)
    assert "fails-on-data" in rules(ended, "warning"), ended.log
    assert found["not-judged"] == [f"a2, a3, a4 ran on empty tables: a3 refuses the generated rows.{_ADD}"]
    assert [each["not-tried"] for each in found["new"]] == [["no rows of ok"], *[["no rows of updated"]] * 2]


def test_revision_that_fails_on_empty_tables_too_does_not_fail_on_data(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", "op.execute(\"insert into checked values (1, 'x')\")").commit()
    ended = verify(project)
    assert rules(ended) == {"upgrade-fails"}, ended.log


def test_revisions_after_one_that_fails_on_unkind_rows_are_named(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", *change("ok")).revision("a3", 'op.execute("alter table ok alter v set not null")')
    project.revision("a4", *change("updated")).revision("a5", *change("updated")[::-1]).commit()
    ended = verify(project)
    assert "fails-on-data" in rules(ended, "warning"), ended.log
    expected = ["a4, a5 did not run on NULL, empty, longest or equal values: a3 fails on them."]
    assert report(ended)["not-judged"] == expected


@pytest.mark.network
def test_migration_of_django_that_refuses_rows_is_named(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "django").mkdir()
    repository = MigrationRepository(tmp_path / "django")
    project = DjangoProject(repository.folder).models("class Item(models.Model):\n    name = models.TextField()\n")
    create = "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.TextField())])"
    project.migration("0001_initial", create)
    repository.commit()
    check = "migrations.AddConstraint('item', models.CheckConstraint({}=models.Q(name='x'), name='c'))"
    project.migration("0002_more", "migrations.AddField('item', 'age', models.IntegerField(null=True))", after=["0001_initial"])
    project.migration("0003_check", check.format("condition"), after=["0002_more"])
    project.migration("0004_size", "migrations.AddField('item', 'size', models.IntegerField(null=True))", after=["0003_check"])
    repository.commit()
    ended = verify(repository, command=f"{python_with(OTHER_TOOLS)}/python manage.py migrate", driver="")
    found = report(ended)
    (failed,) = [each for each in found["findings"] if each["rule"] == "fails-on-data"]
    assert failed["revision"] == "shop.0003_check"
    assert 'check constraint "c" of relation "shop_item" is violated by some row' in failed["what"]
    three = "shop.0002_more, shop.0003_check, shop.0004_size"
    assert found["not-judged"][1] == f"{three} ran on empty tables: shop.0003_check refuses the generated rows.{_ADD}"
