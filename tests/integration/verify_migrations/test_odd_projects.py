"""Runs the action on projects and databases that are rare: odd names and types, other encodings, and graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.harness.action import Ended
from tests.harness.migration_repository import MigrationRepository
from tests.harness.postgres import running
from tests.integration.verify_migrations.conftest import Verify, rules

pytestmark = pytest.mark.postgres

_TABLE = "create table t(id serial primary key, v text)"
_MODEL = 'sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Text))\n'


def sent(*statements: str) -> str:
    """Returns a revision's body that sends these statements as they are."""
    return "\n".join(f"op.get_bind().exec_driver_sql({statement.replace('%', '%%')!r})" for statement in statements)


def report(ended: Ended) -> Any:
    assert ended.outputs["report"], ended.log
    return json.loads(Path(ended.outputs["report"]).read_text())


@pytest.fixture
def project(repository: MigrationRepository) -> MigrationRepository:
    """A base with one table and its model."""
    repository.models(_MODEL).revision("a1", sent(_TABLE), sent("drop table t")).commit()
    return repository


_LONG = f'create table "{"n" * 63}"("{"c" * 63}" int)'
_ODD = """
create table "naïve tablé"("Ключ" serial primary key, "spa ce" text, "quo""te" int)
create table nocols()
create table "%s"("%(x)s" serial primary key, "a:b" int)
create domain dom as text check (value <> 'zz')
create type mood as enum ('a', 'b')
create type bare as enum ()
create type comp as (a int, b text)
create type fr as range (subtype = float8)
create table kinds(id bigint generated always as identity primary key, d dom not null, m mood not null, ms mood[], e bare)
alter table kinds add c comp
alter table kinds add f fr, add mr int4multirange, add g int generated always as (1 + 1) stored, add a int[][], add da dom[]
alter table kinds add iv interval day to second(3), add ts timestamp(3), add b bit(3), add ne numeric(2, -2)
alter table kinds add n numeric(3, 5)
alter table kinds add j jsonb, add ch "char", add p polygon, add mo money, add reg regclass
create table refused(id int primary key, c comp not null)
create table inh() inherits (kinds)
create table part(id int, at date, primary key (id, at)) partition by range (at)
create table part_d partition of part default
create table hashed(id int) partition by hash (id)
create table hashed0 partition of hashed for values with (modulus 2, remainder 0)
create table lst(id int, k text) partition by list (lower(k))
create table lst1 partition of lst for values in ('a')
create view vw as select * from kinds
create materialized view mv as select id from kinds
create schema "We ird"
create table "We ird"."t.t"(id serial primary key, c int check (c > 1 and true), check (true))
create foreign data wrapper fdw
create server srv foreign data wrapper fdw
create foreign table ft(id int) server srv
create table self(id int primary key, p int not null references self(id) deferrable initially deferred)
create table ca(id int primary key, b int)
create table cb(id int primary key, a int references ca(id))
alter table ca add foreign key (b) references cb(id)
create table expr(id int, t text)
create unique index on expr(lower(t)) where id > 3
create function f(a int default 1, variadic b text[] default '{}') returns setof record language sql as 'select 1, 2'
"""
_ODD_MODELS = """
sa.Table("kinds", metadata, sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
         sa.Column("d", sa.Text, nullable=False), sa.Column("m", sa.Text, nullable=False),
         sa.Column("g", sa.Integer, sa.Computed("1+1")))
sa.Table("nowhere", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="missing")
sa.Table("t.t", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="We ird")
sa.Table("nocols", metadata)
sa.Table("mv", metadata, sa.Column("id", sa.BigInteger, primary_key=True))
sa.Table("part", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.Date, primary_key=True))
sa.Table("naïve tablé", metadata, sa.Column("Ключ", sa.Integer, primary_key=True), sa.Column("spa ce", sa.Text))
sa.Table("%s", metadata, sa.Column("%(x)s", sa.Integer, primary_key=True), sa.Column("a:b", sa.Integer))
"""


def test_odd_names_types_and_tables_are_judged(verify: Verify, repository: MigrationRepository) -> None:
    repository.models(_ODD_MODELS).revision("a1", sent(*_ODD.strip().splitlines(), _LONG)).commit()
    new_enum = ("alter table kinds drop e cascade", "drop type bare", "create type bare as enum ('q')")
    repository.revision(
        "a2", sent("drop table nocols", "drop table inh", 'alter table "naïve tablé" rename to "Ünï"', *new_enum)
    )
    repository.revision(
        "a3", sent("drop materialized view mv", "alter table part rename to part2", 'alter table "%s" drop "a:b"')
    )
    moved = ('alter table "We ird"."t.t" set schema public', 'drop schema "We ird"')
    repository.revision("a4", sent("alter table refused add e int", "drop foreign table ft", *moved)).commit()
    ended = verify(repository)
    found = report(ended)
    assert {revision: one["phase"] for revision, one in found["phases"].items()} == dict.fromkeys(
        ("a2", "a3", "a4"), "contract"
    )
    gone = {each["place"] for each in found["findings"] if each["rule"] in {"table-missing", "column-missing"}}
    assert gone == {"naïve tablé", "mv", "part", "%s.a:b", "We ird.t.t"}, ended.log
    assert [each[:38] for each in found["not-judged"]] == ["a4 ran without rows of refused: null v"]


def test_database_without_an_encoding_is_judged(verify: Verify, repository: MigrationRepository) -> None:
    checked = 'create table "é"(id serial primary key, x int constraint "ü" check (x between 7 and 9))'
    repository.models('sa.Table("é", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Integer))')
    repository.revision("a1", sent(checked), "pass").commit()
    repository.revision("a2", sent('alter table "é" drop x'), sent('alter table "é" add x int')).commit()
    with running() as server:
        server.sql("update pg_database set encoding = 0, datcollate = 'C', datctype = 'C' where datname = 'template0'")
        url = server.url("postgres", "psycopg")
        unnamed = verify(repository, url=url)
        named = verify(repository, url=f"{url}?client_encoding=utf8")
    assert (unnamed.code, unnamed.outputs["verdict"]) == (3, "inconclusive")
    assert "…/app?client_encoding=utf8" in unnamed.log
    assert {each["place"] for each in report(named)["findings"] if each["rule"] == "column-missing"} == {"é.x"}, named.log


@pytest.mark.parametrize(
    ("base", "change", "phase"),
    [
        (f"{_TABLE.replace('table', 'table if not exists', 1)}", "drop table if exists t", "contract"),
        ("select 1", "create table if not exists t(id int)", "expand"),
    ],
)
def test_command_without_a_version_table_may_leave_no_table(
    verify: Verify, repository: MigrationRepository, base: str, change: str, phase: str
) -> None:
    head = "import os, psycopg\nwith psycopg.connect(os.environ['DATABASE_URL'].replace('+psycopg', '')) as c:\n"
    for statement in (base, change):
        (repository.folder / "migrate.py").write_text(f"{head}    c.execute({statement!r})\n")
        repository.commit()
    ended = verify(repository, command=f"{verify.python}/python migrate.py")
    assert json.loads(ended.outputs["phases"]) == {"the migration": phase}, ended.log


def test_locks_of_a_serializable_transaction_are_judged(verify: Verify, project: MigrationRepository) -> None:
    env = project.folder / "migrations/env.py"
    env.write_text(env.read_text().replace("poolclass=", "isolation_level='SERIALIZABLE', poolclass="))
    project.revision("a2", sent("select * from t", "create index i on t(v)"), sent("drop index i")).commit()
    assert "blocking-index" in rules(verify(project), "error")


def test_lock_of_an_earlier_revision_in_one_transaction_is_not_a_later_ones(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    project = MigrationRepository(tmp_path / "app", options="transaction_per_migration=False")
    project.models(_MODEL).revision("a1", sent(_TABLE)).commit()
    project.revision("a2", sent("alter table t add e int")).revision("a3", sent("select 1")).commit()
    ended = verify(project)
    assert "explicit-lock" not in rules(ended), ended.log
    project.revision("a4", sent("lock table t in access exclusive mode", "create table u(id int)"), parent="a1")
    project.path("a2").unlink()
    project.path("a3").unlink()
    project.commit()
    assert "explicit-lock" in rules(verify(project), "error")


def test_file_and_revision_that_are_not_unicode_are_reported(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", sent("alter table t drop v"), "pass")
    path = project.path("a2")
    path.rename(path.with_name(os.fsdecode(b"a2\xff x'y.py")))
    project.commit()
    ended = verify(project)
    assert "column-missing" in rules(ended, "error"), ended.log
    (path.parent / "a3.py").write_text(
        "revision = 'a\\udcff'\ndown_revision = 'a2'\ndef upgrade(): pass\ndef downgrade(): pass\n"
    )
    project.commit()
    assert rules(verify(project), "error") >= {"upgrade-fails"}


def test_error_without_a_readable_text_is_reported(verify: Verify, project: MigrationRepository) -> None:
    silent = "class Silent(Exception):\n    def __str__(self):\n        return self.args[0]\nraise Silent()"
    project.revision("a2", silent).commit()
    ended = verify(project)
    assert (rules(ended), ended.outputs["reason"]) == (
        {"upgrade-fails"},
        "1 new migration: a2 fails: Silent (its text could not be read: IndexError).",
    )


def test_schema_that_alembic_cannot_compare_is_judged_without(verify: Verify, project: MigrationRepository) -> None:
    refuse = "def refuse(*_):\n    raise KeyError('lower(t)')\n"
    broken = f"import alembic.autogenerate\n{refuse}alembic.autogenerate.compare_metadata = refuse\n"
    env = project.folder / "migrations/env.py"
    env.write_text(broken + env.read_text())
    project.revision("a2", sent("alter table t drop v"), sent("alter table t add v text")).commit()
    ended = verify(project)
    assert "column-missing" in rules(ended, "error"), ended.log
    why = "Models and schema were not compared: Alembic's comparison fails with KeyError: 'lower(t)'."
    assert report(ended)["not-judged"] == [why]


def _appended(project: MigrationRepository, revision: str, text: str) -> None:
    project.path(revision).write_text(f"{project.path(revision).read_text()}\n{text}\n")


def test_head_that_another_one_depends_on_is_reached(verify: Verify, project: MigrationRepository) -> None:
    project.revision("b1", "pass", parent=None)
    _appended(project, "b1", "branch_labels = ('lab',)")
    two_heads = project.commit()
    project.revision("b2", "pass")
    _appended(project, "b2", "depends_on = 'a1'")
    project.commit()
    ended = verify(project, base_ref=two_heads, command="alembic upgrade heads")
    assert (ended.code, rules(ended)) == (0, set()), ended.log


def test_graph_that_alembic_refuses_is_named(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", "pass", "pass")
    _appended(project, "a2", "depends_on = 'nowhere'")
    project.commit()
    ended = verify(project)
    assert rules(ended) == {"parent-missing"}, ended.log
    assert "a2 follows nowhere, which does not exist" in ended.outputs["reason"]
    project.revision("a2", "pass", "pass", parent="a3").revision("a3", "pass", "pass").commit()
    assert "the graph fails: Cycle is detected" in verify(project).outputs["reason"]


def test_revision_without_a_downgrade_function_is_named(verify: Verify, project: MigrationRepository) -> None:
    project.revision("a2", sent("alter table t drop v")).revision("a3", "pass", "pass")
    project.path("a2").write_text(project.path("a2").read_text().partition("def downgrade")[0])
    project.commit()
    (found,) = [each for each in report(verify(project))["findings"] if each["rule"] == "downgrade-missing"]
    assert (found["revision"], found["what"]) == ("a2", "the downgrade of a2 fails: its file has no `downgrade`")
    project.revision("a2", sent("alter table t drop v"), "op.droop_column()", parent="a1").commit()
    assert "downgrade-fails" in rules(verify(project), "error")
