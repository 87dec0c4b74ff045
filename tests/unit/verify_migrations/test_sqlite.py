"""What SQLite's schema and errors become: the catalog and the codes that the judgement knows from PostgreSQL."""

from __future__ import annotations

import contextlib

import pytest

from cicd_actions.verify_migrations.catalog import additive, differences
from cicd_actions.verify_migrations.sqlite import SqliteConnection, catalog
from cicd_actions.verify_migrations.wire import ServerError, literal

TABLE = "create table t (id integer primary key, a varchar(5) not null, b boolean default 1, check (length(a) in (1, (2))))"


@pytest.mark.parametrize(
    ("declared", "known"),
    [
        ("VARCHAR(5)", "character varying(5)"),
        ("NUMERIC(10, 2)", "numeric(10,2)"),
        ("BIGINT", "bigint"),
        ("BOOLEAN", "smallint"),
        ("DATETIME", "timestamp without time zone"),
        ("JSON", "json"),
        ("", "text"),
        ("ANYTHING", "text"),
    ],
)
def test_catalog_type_has_postgres_name(declared: str, known: str) -> None:
    (column,) = catalog([f"create table t (a {declared})"])["tables"]["t"]["columns"].values()
    assert column["type"] == known


def test_catalog_keeps_the_number_of_a_column_when_another_one_goes() -> None:
    before = catalog(["create table t (a int, b int)"])["tables"]["t"]["columns"]
    after = catalog(["create table t (b int)"])["tables"]["t"]["columns"]
    assert after.items() <= before.items()


def test_catalog_reads_constraints_and_leaves_our_own_tables_out() -> None:
    made = catalog([TABLE, "create table cicd_vm_log (n int)", "create table u (t_id int references t (id), unique (t_id))"])
    assert set(made["tables"]) == {"t", "u"}
    kinds = {label: one["type"] for label, one in made["tables"]["t"]["constraints"].items()}
    assert kinds == {"primary key": "p", "check 0": "c"}
    assert made["tables"]["t"]["constraints"]["check 0"]["definition"] == "CHECK (length(a) in (1, (2)))"
    assert [one["target"] for one in made["tables"]["u"]["constraints"].values()] == ["t"]


def test_difference_of_two_catalogs_names_an_index() -> None:
    before, after = catalog([TABLE]), catalog([TABLE, "create index i on t (a)"])
    assert additive(before, after)
    assert differences(before, after) == ["index i stayed"]


@pytest.mark.parametrize(
    ("statement", "code", "column"),
    [
        ("select * from nowhere", "42P01", ""),
        ('select "zz" from t', "42703", ""),
        ("insert into t (zz) values (1)", "42703", ""),
        ("insert into t (id) values (1)", "23502", "a"),
        ("insert into t (a) values ('abc')", "23514", ""),
    ],
)
def test_refusal_has_postgres_code(statement: str, code: str, column: str) -> None:
    with contextlib.closing(SqliteConnection(":memory:")) as connection:
        connection.rows(TABLE)
        with pytest.raises(ServerError) as refused:
            connection.rows(statement)
    assert (refused.value.code, refused.value.column) == (code, column)


def test_statements_of_postgres_are_read_as_sqlite_s() -> None:
    text = "a'b\\c; E'x'"
    with contextlib.closing(SqliteConnection(":memory:")) as connection:
        connection.rows("set constraints all immediate")
        connection.rows("create table v (t text); create table w (t text)")
        connection.rows(f"insert into v (t) overriding system value values ({literal(text)})")
        assert connection.rows("select t, null from v") == [(text, None)]
        assert connection.rows("select 'C:\\', 'x' from \"v\"") == [("C:\\", "x")]


def test_key_to_a_table_is_read_in_any_case_and_without_a_column() -> None:
    parent = "create table Parent (Uid integer primary key)"
    child = "create table child (a integer references parent, b integer references PARENT(UID), c integer references gone)"
    found = catalog([parent, child])["tables"]
    (uid,) = (int(at) for at in found["Parent"]["columns"])
    keys = sorted((one["target"], one["targets"] == [uid]) for one in found["child"]["constraints"].values())
    assert keys == [("Parent", True), ("Parent", True), ("gone", False)]


def test_tables_of_a_virtual_table_are_left_out() -> None:
    with contextlib.closing(SqliteConnection(":memory:")) as connection:
        connection.rows("create table notes_archive (id integer)")
        connection.rows("create virtual table notes using fts5(body)")
        texts = connection.document("select json_group_array(sql) from sqlite_master where sql is not null")
    assert set(catalog(texts)["tables"]) == {"notes", "notes_archive"}
    assert set(catalog(["create virtual table odd using of_no_module(a)"])["tables"]) == set()
