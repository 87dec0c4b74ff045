"""Reads which tables a revision file touches, from its source: nothing of it is run.

Names that are computed are not seen; the report lists what was found, and promises no more.
"""

from __future__ import annotations

import ast
import re
from typing import Any

_FIRST = {
    *("add_column", "alter_column", "batch_alter_table", "create_check_constraint", "create_table_comment", "drop_column"),
    *("drop_table", "drop_table_comment", "rename_table", "bulk_insert"),
}
_SECOND = {"create_index", "create_unique_constraint", "create_primary_key", "drop_constraint", "create_foreign_key"}
"""Alembic's operations, by whether the table is their first or second argument:
https://alembic.sqlalchemy.org/en/latest/ops.html"""

_NAME = r'((?:"[^"]+"|[A-Za-z_][\w$]*)(?:\.(?:"[^"]+"|[A-Za-z_][\w$]*))?)'
_SQL = re.compile(
    r"\b(?:ALTER\s+TABLE|TRUNCATE(?:\s+TABLE)?|LOCK\s+TABLE|DROP\s+TABLE|UPDATE|DELETE\s+FROM|INSERT\s+INTO|REFERENCES"
    r"|REINDEX\s+TABLE|INDEX\b[^;]*?\bON)\s+(?:IF\s+EXISTS\s+|ONLY\s+|CONCURRENTLY\s+)*" + _NAME,
    re.IGNORECASE,
)


def tables_in_source(text: str) -> set[str]:
    """Returns the tables that a revision's `upgrade` names, as SQL names them: quoted where they need it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith("downgrade"):
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                found |= _of_call(call.func.attr, call)
    return found


def _of_call(name: str, call: ast.Call) -> set[str]:
    named = {word.arg: _text(word.value) for word in call.keywords}
    words = [_text(word) for word in call.args]
    if name in {"execute", "exec_driver_sql", "text"}:
        return tables_in_sql(" ".join(words))
    at = 0 if name in _FIRST else 1 if name in _SECOND else None
    if at is None:
        return set()
    table = named.get("table_name") or named.get("source_table") or (words[at] if len(words) > at else "")
    schema = named.get("schema") or named.get("source_schema") or ""
    return {".".join(quoted(part) for part in (schema, table) if part)} if table else set()


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def tables_in_sql(text: str) -> set[str]:
    """Returns the tables that statements change or lock, as they are written."""
    return set(_SQL.findall(text)) if text else set()


def tables_in_migration(migration: Any) -> set[str]:
    """Returns the tables that a migration of Django touches, by Django's default names and by the SQL that it holds."""
    found: set[str] = set()
    for operation in migration.operations:
        model = getattr(operation, "model_name", None) or getattr(operation, "name", None)
        if model and type(operation).__module__.startswith("django.db.migrations.operations"):
            found.add(quoted(f"{migration.app_label}_{str(model).lower()}"))
        sql = getattr(operation, "sql", None)
        found |= tables_in_sql(sql if isinstance(sql, str) else "")
    return found


def quoted(name: str) -> str:
    """Returns a name as PostgreSQL would print it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'
