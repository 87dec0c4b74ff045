"""What MySQL's schema, errors and log-in become: the catalog and the codes that the judgement knows from PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.verify_migrations import mysql
from cicd_actions.verify_migrations.catalog import differences
from cicd_actions.verify_migrations.mysql_catalog import catalog
from cicd_actions.verify_migrations.mysql_wire import proof, refused
from cicd_actions.verify_migrations.wire import literal

NULL: dict[str, Any] = {"null": "YES", "default": "NULL", "extra": "", "made": ""}
PARTS: list[tuple[str, dict[str, Any]]] = [
    ("table", {"name": "t", "kind": "BASE TABLE"}),
    ("table", {"name": "cicd_vm_log", "kind": "BASE TABLE"}),
    ("column", {"table": "t", "name": "id", "type": "int(11)", **NULL, "null": "NO", "extra": "auto_increment"}),
    ("column", {"table": "t", "name": "mood", "type": "enum('it''s','ok')", **NULL}),
    ("column", {"table": "t", "name": "data", "type": "longtext", **NULL}),
    ("index", {"table": "t", "name": "PRIMARY", "other": 0, "column": "id", "part": None}),
    ("key", {"table": "t", "name": "f", "column": "id", "target": "u", "to": "id", "delete": "CASCADE", "update": "RESTRICT"}),
    ("check", {"table": "t", "name": "data", "text": "json_valid(`data`)"}),
    ("check", {"table": "t", "name": "c", "text": "(`id` in (1,2))"}),
    ("trigger", {"table": "t", "name": "cicd_vm_insert_0", "text": "AFTER INSERT x"}),
]


def test_catalog_reads_columns_and_constraints_and_leaves_our_own_out() -> None:
    made = catalog(PARTS, set())
    assert set(made["tables"]) == {"t"}
    table = made["tables"]["t"]
    types = {column["name"]: column["type"] for column in table["columns"].values()}
    assert types == {"id": "integer", "mood": "enum t.mood", "data": "json"}
    assert made["enums"] == {"enum t.mood": ["it's", "ok"]}
    assert {label: one["definition"] for label, one in table["constraints"].items()} == {
        "PRIMARY": "",
        "f": "references u on delete CASCADE on update RESTRICT",
        "c": "CHECK ((`id` IN (1,2)))",
    }
    assert table["triggers"] == {}
    assert {column["default"] for column in table["columns"].values()} == {None}


def test_index_that_a_foreign_key_left_behind_does_not_count() -> None:
    index = ("index", {"table": "t", "name": "f", "other": 1, "column": "id", "part": None})
    without = [row for row in PARTS if row[0] != "key"]
    implied: set[str] = set()
    before, with_key = catalog(without, implied), catalog([*PARTS, index], implied)
    after = catalog([*without, index], implied)
    assert set(with_key["tables"]["t"]["indexes"]) == {"t.PRIMARY"}
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("number", "words", "code", "column", "constraint"),
    [
        (1146, "#42S02Table 'a.t' doesn't exist", "42P01", "", ""),
        (1048, "#23000Column 'a' cannot be null", "23502", "a", ""),
        (1364, "#HY000Field 'a' doesn't have a default value", "23502", "a", ""),
        (4025, "#23000CONSTRAINT `t.a` failed for `d`.`t`", "23514", "", "a"),
        (3819, "#HY000Check constraint 'c' is violated.", "23514", "", "c"),
        (1644, "#45000no", "45000", "", ""),
    ],
)
def test_refusal_has_postgres_code(number: int, words: str, code: str, column: str, constraint: str) -> None:
    error = refused(number, words)
    assert (error.code, error.column, error.constraint) == (code, column, constraint)


def test_proof_of_a_password_is_what_clients_send() -> None:
    """The values are PyMySQL's for the same password and salt."""
    salt = bytes(range(65, 85))
    assert proof(b"mysql_native_password", "s3cret", salt).hex() == "3a3d62d9ef9b3999eccc71fb46e63b446014eeab"
    sha2 = "cc59ecda839e9502b4a3e88f2ac18e0ef8be67f0569c11eb9812ae49f16cdfc3"
    assert proof(b"caching_sha2_password", "s3cret", salt).hex() == sha2
    assert proof(b"caching_sha2_password", "", salt) == b""


def test_statements_of_postgres_are_read_as_mysql_s() -> None:
    read = mysql.read
    value = literal("x\\y")
    insert = f'insert into "main"."t" ("a") overriding system value values ({value}) on conflict do nothing'
    assert read(insert) == """insert into "t" ("a") values ('x\\y')"""
    assert read("insert into t default values") == "insert into t () values ()"
    update = 'update "t" set "a" = "a" where ("id") in (select "id" from "t" limit 1)'
    assert read(update) == 'update "t" set "a" = "a" limit 1'
