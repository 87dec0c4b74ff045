"""Finds each rule in a bad migration, and not in a good one: one run with two revisions for each rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cicd_actions.verify_migrations.rules import RULES
from tests.harness.migration_repository import MigrationRepository
from tests.integration.verify_migrations.conftest import Verify, rules
from tests.integration.verify_migrations.labelled import Case, bad, good
from tests.integration.verify_migrations.test_labelled import repository as repository_of

pytestmark = pytest.mark.postgres

_ADD = "op.add_column('{t}', sa.Column('e', sa.Integer))"
_CONCURRENTLY = "apart:\n    op.create_index('{t}_n', '{t}', ['a'], postgresql_concurrently=True)"
_INDEX = "create index {t}_i on {t}(a);"
_OTHER = "create table {t}_other(id int);"
_DEFAULT = ("alter table {t} add e int not null default 1;", "sa.Column('e', sa.Integer, nullable=False, server_default='1')")
_MOOD = (
    "create type {t}_mood as enum ('sad', 'ok'); alter table {t} add e {t}_mood;",
    "sa.Column('e', sa.Enum('sad', 'ok', name='{t}_mood'))",
)
_FUNCTION = "create function {t}_f() returns int language sql as 'select 1';"
_TRIGGER = """
sql("create function {t}_r() returns trigger language plpgsql as $$begin BODY; end$$")
sql('create trigger {t}_g before insert on {t} for each row execute function {t}_r()')
"""
_SWALLOWED = """
try:
    with op.get_bind().begin_nested():
        sql('drop table {t}_zz')
except Exception:
    pass
"""
_LEFT = """
apart:
    try:
        sql('create unique index concurrently {t}_u on {t}((1))')
    except Exception:
        pass
"""
_NO_MORE = "sql('alter table {t} add e int not null default 0')\nsql('alter table {t} alter e drop default')"

PAIRS: Mapping[str, tuple[Case, Case]] = {
    # Reported once a run, so it comes first.
    "no-lock-timeout": (bad("", _ADD), good("", f"sql(\"set local lock_timeout = '5s'\")\n{_ADD}")),
    "table-rewrite": (bad("", "op.alter_column('{t}', 'a', type_=sa.BigInteger)"), good("", _ADD)),
    "scan-under-lock": (
        bad("", "op.alter_column('{t}', 'c', nullable=False)"),
        good("", "op.alter_column('{t}', 'c', nullable=False)", "alter table {t} add constraint {t}_n check (c is not null);"),
    ),
    "blocking-index": (bad("", "op.create_index('{t}_n', '{t}', ['a'])"), good("", _CONCURRENTLY)),
    "blocking-index-drop": (
        bad("", "op.drop_index('{t}_i')", _INDEX),
        good("", "apart:\n    sql('drop index concurrently {t}_i')", _INDEX),
    ),
    "blocking-reindex": (bad("", "sql('reindex table {t}')"), good("", "apart:\n    sql('reindex table concurrently {t}')")),
    "constraint-validated": (
        bad("", "sql('alter table {t} add constraint {t}_k check (a is not null)')"),
        good("", "sql('alter table {t} add constraint {t}_k check (a is not null) not valid')"),
    ),
    "whole-table-update": (bad("", "sql('update {t} set a = a + 1')"), good("", "sql('update {t} set a = 1 where id = 100')")),
    "backfill-under-lock": (bad("", f"{_ADD}\nsql('update {{t}} set e = 1')"), good("", _ADD)),
    "several-exclusive-locks": (bad("", f"{_ADD}\nsql('alter table {{t}}_other add e int')", _OTHER), good("", _ADD, _OTHER)),
    "explicit-lock": (bad("", "sql('lock table {t}')"), good("", "sql('select from {t} where id = 100 for update')")),
    "error-swallowed": (bad("", _SWALLOWED), good("", "sql('drop table if exists {t}_zz')")),
    "invalid-index": (bad("", _LEFT), good("", _CONCURRENTLY)),
    "cached-plans": (bad("", _ADD), good("", _CONCURRENTLY)),
    "table-missing": (
        bad("", "op.rename_table('{t}', '{t}_new')"),
        good("", "op.rename_table('{t}', '{t}_new')\nsql('create view {t} as select * from {t}_new')"),
    ),
    "column-missing": (bad("", "op.drop_column('{t}', 'b')"), good("", "op.drop_column('{t}', 'b')", without="b")),
    "column-type": (
        bad("", "sql('alter table {t} alter a type text using a::text')"),
        good("", "op.alter_column('{t}', 'b', type_=sa.String(80))"),
    ),
    "column-required": (bad("", "op.alter_column('{t}', 'c', nullable=False)"), good("", _ADD)),
    "new-required-column": (bad("", _NO_MORE), good("", "sql('alter table {t} add e int not null default 0')")),
    "default-missing": (
        bad("", "op.alter_column('{t}', 'e', server_default=None)", *_DEFAULT),
        good("", "op.alter_column('{t}', 'e', server_default='2')", *_DEFAULT),
    ),
    "label-missing": (
        bad("", "sql(\"alter type {t}_mood rename value 'ok' to 'fine'\")", *_MOOD),
        good("", "sql(\"alter type {t}_mood add value 'fine'\")", *_MOOD),
    ),
    "function-missing": (
        bad("", "sql('drop function {t}_f()')", _FUNCTION),
        good("", "sql(\"create or replace function {t}_f() returns int language sql as 'select 2'\")", _FUNCTION),
    ),
    "grant-missing": (
        bad("", "sql('revoke insert on {t} from cicd_vm_app')", "grant insert on {t} to cicd_vm_app;"),
        good("", "sql('grant select on {t} to cicd_vm_app')", "grant insert on {t} to cicd_vm_app;"),
    ),
    "row-policy": (
        bad("", "sql('alter table {t} enable row level security')"),
        good("", "sql('create policy {t}_p on {t} using (true)')"),
    ),
    "statement-fails": (
        bad("", _TRIGGER.replace("BODY", "raise exception 'no'")),
        good("", _TRIGGER.replace("BODY", "return new")),
    ),
    "constraint-violated": (
        bad("", "sql('alter table {t} add constraint {t}_k check (length(c) > 5000) not valid')"),
        good("", "sql('alter table {t} add constraint {t}_k check (length(c) >= 0) not valid')"),
    ),
    "column-nullable": (bad("", "op.alter_column('{t}', 'a', nullable=True)"), good("", _ADD)),
    "contract-unneeded": (
        bad("", _ADD)._replace(phase="contract"),
        good("", "op.drop_column('{t}', 'b')")._replace(phase="contract"),
    ),
    "rows-deleted": (bad("", "sql('truncate {t}')"), good("", "sql('delete from {t} where id = 100')")),
}

_ELSEWHERE = {
    *("upgrade-fails", "revision-changed", "revision-removed", "several-heads", "parent-missing", "revision-twice"),
    *(
        "squash-incomplete",
        "head-not-reached",
        "downgrade-missing",
        "downgrade-fails",
        "downgrade-differs",
        "upgrade-again-fails",
    ),
    *("models-differ", "old-tests-fail", "fails-on-data", "acknowledgement-expired", "acknowledgement-unused", "not-judged"),
}
"""Rules of a whole run: `test_verifying.py`, and `test_judgement.py` among the unit tests."""


def test_each_rule_finds_the_bad_migration_and_leaves_the_good_one(verify: Verify, tmp_path: Path) -> None:
    assert set(PAIRS) | _ELSEWHERE == set(RULES)
    (tmp_path / "app").mkdir()
    cases = []
    for rule, (wrong, right) in PAIRS.items():
        label = rule.replace("-", "_")
        cases += [right._replace(name=f"good_{label}"), wrong._replace(name=f"bad_{label}")]
    ended = verify(repository_of(tmp_path / "app", cases))
    assert ended.outputs["report"], ended.log
    found: dict[str, set[str]] = {}
    for each in json.loads(Path(ended.outputs["report"]).read_text())["findings"]:
        found.setdefault(each["revision"].removeprefix("r_"), set()).add(each["rule"])
    for rule in PAIRS:
        label = rule.replace("-", "_")
        assert rule in found.get(f"bad_{label}", ()), (rule, found.get(f"bad_{label}"), ended.log)
        assert rule not in found.get(f"good_{label}", ()), (rule, ended.log)


def test_released_revision_that_is_gone_is_found(verify: Verify, repository: MigrationRepository) -> None:
    repository.revision("a1", "pass").revision("a2", "pass").commit()
    repository.path("a2").unlink()
    repository.commit()
    ended = verify(repository)
    assert (ended.code, rules(ended, "error")) == (1, {"revision-removed"}), ended.log
