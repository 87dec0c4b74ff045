"""What the project's models need of the database, and where they differ from it: read from the metadata that env.py names."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

from cicd_actions.run_migrations_oneshot.in_image.problems import relative


def needs(metadata: Any) -> list[dict[str, Any]]:
    """Returns each mapped table with its columns, in the order of the metadata."""
    classes = _classes()
    return [_table(table, classes) for one in _each(metadata) for table in one.tables.values()]


def differences(context: Any, metadata: Any) -> list[str]:
    """Returns where the models and the database differ, by Alembic's own comparison with the project's own settings."""
    from alembic.autogenerate import compare_metadata

    return sorted({text for diff in compare_metadata(context, metadata) for text in _texts(diff) if "cicd_vm" not in text})


def _each(metadata: Any) -> Iterable[Any]:
    return metadata if isinstance(metadata, (list, tuple, set, frozenset)) else [metadata]


def _table(table: Any, classes: dict[Any, str]) -> dict[str, Any]:
    return {
        "schema": table.schema or "",
        "name": table.name,
        "model": classes.get(table, ""),
        "columns": [_column(column) for column in table.columns],
    }


def _column(column: Any) -> dict[str, Any]:
    return {
        "name": column.name,
        "nullable": bool(column.nullable),
        "primary": bool(column.primary_key),
        "client_default": column.default is not None,
        # A key of whole numbers without a default is left to the server.
        "server_default": column.server_default is not None or column is column.table._autoincrement_column,
        "computed": getattr(column, "computed", None) is not None,
    }


def _classes() -> dict[Any, str]:
    """Returns the mapped class of each table, as people write it."""
    try:
        from sqlalchemy.orm import Mapper
    except ImportError:
        return {}
    found: dict[Any, str] = {}
    for each in gc.get_objects():
        if isinstance(each, Mapper):
            code = getattr(each.class_, "__module__", "")
            found.setdefault(each.local_table, f"{code}.{each.class_.__qualname__}")
    return found


def _texts(diff: Any) -> list[str]:
    if isinstance(diff, list):
        return [text for each in diff for text in _texts(each)]
    return [" ".join(part for part in map(_said, diff) if part)]


def _said(part: Any) -> str:
    if isinstance(part, str):
        return part
    table = getattr(part, "table", None)
    name = getattr(part, "name", None)
    if name is not None and table is not None:
        return f"{getattr(table, 'fullname', table)}.{name}"
    if name is not None and not isinstance(part, dict):
        return str(getattr(part, "fullname", name))
    return "" if part is None or isinstance(part, dict) else repr(part)


def loaded_below(folder: str) -> list[str]:
    """Returns the modules of this process that were loaded from a folder, without installed packages."""
    import os
    import sys

    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    inside = [os.path.realpath(file) for file in files if file]
    here = [file for file in inside if file.startswith(folder + os.sep) and "-packages" + os.sep not in file]
    return sorted(relative(file) for file in here if os.sep + "cicd_actions" + os.sep not in file)[:20]
