"""MySQL's description of a schema: the queries for it, and the catalog that they lead to.

https://dev.mysql.com/doc/refman/8.4/en/information-schema.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cicd_actions.verify_migrations import dialect
from cicd_actions.verify_migrations.dialect import constraint, named_in, number


def queries(*, mariadb: bool) -> dict[str, str]:
    """Returns the queries that describe a schema: one JSON document a row."""
    here = "table_schema = database()"
    same = " and t.table_name = c.table_name" if mariadb else ""
    return {
        "table": f"select json_object('name', table_name, 'kind', table_type) from information_schema.tables where {here}",
        "view": f"select json_object('table', table_name, 'text', replace(replace(view_definition,"
        " concat('`', database(), '`.'), ''), concat('\"', database(), '\".'), ''))"
        f" from information_schema.views where {here}",
        "column": "select json_object('table', table_name, 'name', column_name, 'type', column_type, 'null', is_nullable,"
        " 'default', column_default, 'extra', extra, 'made', generation_expression)"
        f" from information_schema.columns where {here} order by ordinal_position",
        "index": "select json_object('table', table_name, 'name', index_name, 'other', non_unique, 'column', column_name,"
        f" 'part', sub_part) from information_schema.statistics where {here} order by seq_in_index",
        "key": "select json_object('table', k.table_name, 'name', k.constraint_name, 'column', k.column_name, 'target',"
        " k.referenced_table_name, 'to', k.referenced_column_name, 'delete', r.delete_rule, 'update', r.update_rule)"
        " from information_schema.key_column_usage k join information_schema.referential_constraints r"
        " on r.constraint_schema = k.constraint_schema and r.constraint_name = k.constraint_name"
        " and r.table_name = k.table_name"
        " where k.table_schema = database() and k.referenced_table_name is not null order by k.ordinal_position",
        "check": "select json_object('table', t.table_name, 'name', c.constraint_name, 'text', c.check_clause)"
        " from information_schema.check_constraints c join information_schema.table_constraints t"
        f" on t.constraint_schema = c.constraint_schema and t.constraint_name = c.constraint_name{same}"
        " where c.constraint_schema = database() and t.constraint_type = 'CHECK'",
        "trigger": "select json_object('table', event_object_table, 'name', trigger_name, 'text',"
        " concat(action_timing, ' ', event_manipulation, ' ', action_statement))"
        " from information_schema.triggers where trigger_schema = database()",
        "function": "select json_object('name', routine_name, 'text', routine_definition)"
        " from information_schema.routines where routine_schema = database()",
    }


def catalog(rows: Iterable[tuple[str, Mapping[str, Any]]], implied: set[str]) -> dict[str, Any]:
    """Returns the catalog of a schema, in the form of PostgreSQL's; types have PostgreSQL's names.

    `implied` gathers the indexes that MySQL made for a foreign key. It keeps them when the key goes, so they never count.
    """
    by_part: dict[str, list[Mapping[str, Any]]] = {}
    for part, row in rows:
        by_part.setdefault(part, []).append(row)
    views = {row["table"]: row["text"] for row in by_part.get("view", ())}
    tables: dict[str, Any] = {}
    enums: dict[str, list[str]] = {}
    for row in by_part.get("table", ()):
        if not dialect.ours(row["name"]):
            kind = "v" if row["kind"] == "VIEW" else "r"
            tables[row["name"]] = dialect.table(
                kind, row["name"], views.get(row["name"]), columns={}, constraints={}, indexes={}, triggers={}
            )
    for part, reader in _READERS.items():
        for row in by_part.get(part, ()):
            if row["table"] in tables:
                reader(tables[row["table"]], row, enums)
    for table in tables.values():
        implied |= set(_implied(table))
        table["indexes"] = {label: one for label, one in table["indexes"].items() if label not in implied}
    functions = {row["name"]: row["text"] or "" for row in by_part.get("function", ())}
    return {"tables": tables, "enums": enums, "domains": {}, "functions": functions, "sequences": []}


def _implied(table: Mapping[str, Any]) -> Iterator[str]:
    """Yields indexes that have a foreign key's columns, and its name or that of its first column."""
    for label, one in table["constraints"].items():
        if one["type"] == "f":
            first = table["columns"].get(str(one["columns"][0]), {}).get("name")
            for index in (f"{table['name']}.{label}", f"{table['name']}.{first}"):
                found = table["indexes"].get(index)
                if found and found["columns"] == one["columns"] and not found["unique"]:
                    yield index


def _column(table: dict[str, Any], row: Mapping[str, Any], enums: dict[str, list[str]]) -> None:
    found = re.match(r"(?:enum|set)\((.*)\)$", row["type"], re.DOTALL)
    type_ = f"enum {table['name']}.{row['name']}" if found else _type(row["type"])
    if found:
        enums[type_] = [label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", found[1])]
    extra = row["extra"].lower()
    table["columns"][str(number(row["name"]))] = {
        "name": row["name"],
        "type": type_,
        "notnull": row["null"] == "NO",
        # MariaDB writes out that a column without a default has NULL.
        "default": None if row["default"] == "NULL" else row["default"],
        "generated": "s" if row["made"] else "",
        "identity": "d" if "auto_increment" in extra else "",
        "sequence": None,
    }


def _index(table: dict[str, Any], row: Mapping[str, Any], _enums: Any) -> None:
    unique = str(row["other"]) == "0"
    column = row["column"] or "an expression"
    known = table["indexes"].setdefault(
        f"{table['name']}.{row['name']}",
        {"name": f"{table['name']}.{row['name']}", "definition": "unique" if unique else "", "valid": True, "unique": unique}
        | {"file": 0, "columns": []},
    )
    known["definition"] += f" {column}{'' if row['part'] is None else '({})'.format(row['part'])}"
    known["columns"] += [number(column)] if row["column"] else []
    if row["name"] == "PRIMARY":
        table["constraints"].setdefault("PRIMARY", constraint("p", "", []))["columns"].append(number(column))


def _key(table: dict[str, Any], row: Mapping[str, Any], _enums: Any) -> None:
    text = f"references {row['target']} on delete {row['delete']} on update {row['update']}"
    one = table["constraints"].setdefault(row["name"], constraint("f", text, [], row["target"]))
    one["columns"].append(number(row["column"]))
    one["targets"].append(number(row["to"]))


def _check(table: dict[str, Any], row: Mapping[str, Any], _enums: Any) -> None:
    if found := re.fullmatch(r"json_valid\([`\"](.+)[`\"]\)", row["text"]):  # how MariaDB has JSON
        named = (each for each in table["columns"].values() if each["name"].lower() == found[1].lower())
        for column in named:
            column["type"] = "json"
        return
    text = re.sub(r"_utf8mb[34](?=\\?')", "", row["text"]).replace("\\'", "'").replace(" in (", " IN (")
    table["constraints"][row["name"]] = constraint("c", f"CHECK ({text})", named_in(text, table["columns"]))


def _trigger(table: dict[str, Any], row: Mapping[str, Any], _enums: Any) -> None:
    if not dialect.ours(row["name"]):
        table["triggers"][row["name"]] = {"definition": row["text"], "function": "", "enabled": "O"}


_READERS = {"column": _column, "index": _index, "key": _key, "check": _check, "trigger": _trigger}

_TYPES = (
    (r"(?:var)?char(\(\d+\))", "character varying"),
    (r"(?:tiny|small)int\b.*()|year\b.*", "smallint"),
    (r"(?:medium)?int\b.*()", "integer"),
    (r"bigint\b.*()", "bigint"),
    (r"decimal(\(\d+,\d+\)).*", "numeric"),
    (r"(?:double|float)\b.*()", "double precision"),
    (r"(?:datetime|timestamp)\b.*()", "timestamp without time zone"),
    (r"time\b.*()", "time without time zone"),
    (r"(?:tiny|medium|long)?blob()|(?:var)?binary\(\d+\)()", "bytea"),
    (r"bit(\(\d+\))", "bit"),
    (r"(?:date|json|uuid)()", ""),
)


def _type(declared: str) -> str:
    """Returns PostgreSQL's name for a type; `text` for the others."""
    for pattern, known in _TYPES:
        if found := re.fullmatch(pattern, declared):
            return (known or declared) + (found[1] or "")
    return "text"
