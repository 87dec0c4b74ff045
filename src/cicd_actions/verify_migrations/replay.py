"""Runs what the running release sends to each of its tables, before and after the migration. Only new failures count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cicd_actions.verify_migrations.catalog import Catalog, named
from cicd_actions.verify_migrations.rows import Rows, is_version_table, qualified
from cicd_actions.verify_migrations.wire import Connection, ServerError, literal, name

_DIVISION_BY_ZERO = "22012"


@dataclass(frozen=True)
class Need:
    """A table as the running release uses it: its oid and columns at base. `model` is the mapped class, for people."""

    oid: str
    table: str
    model: str
    columns: tuple[str, ...]
    nullable: frozenset[str]
    left: frozenset[str] = frozenset()
    """Columns that the models leave to the server: their values are its defaults, or computed."""


@dataclass(frozen=True)
class Statement:
    """One statement of old code. `kind` says what it does, for people."""

    need: Need
    kind: str
    sql: str
    target: str = ""
    """The table, as SQL, whose rows are counted: an INSERT has to add one, a DELETE to remove one."""
    written: frozenset[str] = frozenset()
    """The columns that it gives values for."""


@dataclass(frozen=True)
class Refused:
    """How the server refused a statement. `column` and `constraint` are the server's own words."""

    code: str
    message: str
    column: str = ""
    constraint: str = ""


def statements(rows: Rows, catalog: Catalog, models: Sequence[Mapping[str, Any]] | None, count: int) -> list[Statement]:
    """Returns the statements. Without models, every column of base's schema counts as used."""
    used = _assumed(catalog) if models is None else models
    return [one for model in used for one in _of(model, rows, catalog, count, known=models is not None)]


def run(connection: Connection, listed: Sequence[Statement]) -> dict[Statement, Refused]:
    """Runs each statement in a separate transaction that is rolled back. Returns those that fail."""
    failed: dict[Statement, Refused] = {}
    for one in listed:
        connection.rows("begin")
        try:
            before = _count(connection, one)
            connection.rows(one.sql)
            counted = one.target and not (one.kind == "DELETE" and before == "0")
            if counted and _count(connection, one) == before:
                failed[one] = Refused("", f"it succeeds, and {'removes' if one.kind == 'DELETE' else 'stores'} no row")
            connection.rows("set constraints all immediate")
        except ServerError as error:
            message = "its sequence is behind the rows" if error.code == _DIVISION_BY_ZERO else str(error)
            failed[one] = Refused(error.code, message, error.column, error.constraint)
        finally:
            connection.rows("rollback")
    return failed


def _count(connection: Connection, statement: Statement) -> str | None:
    return connection.rows(f"select count(*) from {statement.target}")[0][0] if statement.target else None


def _assumed(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "schema": table["schema"],
            "name": table["name"],
            "model": "",
            "columns": [
                {
                    "name": column["name"],
                    "nullable": not column["notnull"],
                    "primary": False,
                    "client_default": False,
                    "server_default": column["default"] is not None or bool(column["identity"]),
                    "computed": column["generated"] != "",
                }
                for column in (table["columns"] or {}).values()
            ],
        }
        for table in (catalog["tables"] or {}).values()
        if table["kind"] in {"r", "p"} and not table["child"] and not is_version_table(table)
    ]


def _of(model: Mapping[str, Any], rows: Rows, catalog: Catalog, count: int, *, known: bool) -> list[Statement]:
    found = named(catalog, model["schema"], model["name"])
    columns: list[Mapping[str, Any]] = model["columns"]
    if found is None or not columns:
        return []
    oid, table = found
    there = {column["name"] for column in (table["columns"] or {}).values()}
    used = [column for column in columns if column["name"] in there]
    need = Need(
        oid,
        qualified(table).replace('"', ""),
        model["model"],
        tuple(column["name"] for column in used),
        frozenset(column["name"] for column in used if column["nullable"]),
        frozenset(column["name"] for column in used if known and _left(column)),
    )
    # As old code writes it: bare where it names no schema. A tenant's schema is on its search path.
    bare = not model["schema"] and table["schema"] in {"public", "main"}
    target = name(model["name"]) if bare else qualified(table)
    listed = ", ".join(name(column) for column in need.columns)
    made = [Statement(need, "SELECT", f"select {listed} from {target} limit 1")]
    if oid not in rows.tables:
        return made
    row = rows.row(rows.tables[oid], count + 1, fresh=True)
    written = [column for column in used if column["name"] in row and not column["computed"]]
    full = {
        column["name"]: row[column["name"]]
        for column in written
        if not (column["server_default"] and column["primary"]) and row[column["name"]] != "DEFAULT"
    }
    short = {
        column["name"]: row[column["name"]]
        for column in written
        if column["client_default"] or not (column["nullable"] or column["server_default"])
    }
    empty = {label: "NULL" if label in need.nullable else value for label, value in full.items()}
    for kind, values in (("INSERT", full), ("INSERT without optional columns", short), ("INSERT with NULL", empty)):
        counted = target if kind == "INSERT" else ""
        made.append(Statement(need, kind, _insert(target, values), counted, frozenset(values)))
    keys = [column["name"] for column in columns if column["primary"] and column["name"] in there]
    made += [
        Statement(need, "INSERT with the next key", _next_key(target, key))
        for key in keys
        if (numbered := rows.tables[oid].column(key)) is not None and numbered.sequence
    ]
    where = ", ".join(map(name, keys))
    picked = f" where ({where}) in (select {where} from {target} limit 1)" if keys else ""
    changed = [column["name"] for column in written if column["name"] not in keys]
    if changed:
        same = ", ".join(f"{name(column)} = {name(column)}" for column in changed)
        made.append(Statement(need, "UPDATE", f"update {target} set {same}{picked}"))
    others = ", ".join(f"{name(column)} = {full[column]}" for column in changed if column in full)
    if others and picked:
        made.append(Statement(need, "UPDATE with other values", f"update {target} set {others}{picked}"))
    return [*made, Statement(need, "DELETE", f"delete from {target}{picked}", target)]


def _left(column: Mapping[str, Any]) -> bool:
    return bool(column["computed"] or (column["server_default"] and not column["primary"] and not column["client_default"]))


def _next_key(target: str, key: str) -> str:
    """Returns a query that fails (by a division by zero) where the key that the sequence gives next may be in the table."""
    column = f"a.attrelid = {literal(target)}::regclass and a.attname = {literal(key)}"
    found = (
        "coalesce((select s.oid from pg_attribute a join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum"
        " join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass"
        f" join pg_class s on s.oid = d.refobjid and s.relkind = 'S' where {column} limit 1),"
        " (select d.objid from pg_attribute a join pg_depend d on d.refobjid = a.attrelid and d.refobjsubid = a.attnum"
        f" where {column} and d.deptype = 'i' and d.classid = 'pg_class'::regclass limit 1))"
    )
    return (
        "select 1 / (case when q.seqincrement < 0 or coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart - 1)"
        f" >= (select coalesce(max({name(key)}), 0) from {target}) then 1 else 0 end)"
        f" from pg_sequence q where q.seqrelid = {found}"
    )


def _insert(target: str, values: Mapping[str, str]) -> str:
    if not values:
        return f"insert into {target} default values"
    return f"insert into {target} ({', '.join(map(name, values))}) values ({', '.join(values.values())})"
