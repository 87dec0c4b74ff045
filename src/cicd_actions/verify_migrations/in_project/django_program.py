"""Django's program: reads what the project's models need of the database, and its migrations. `manage.py` loads them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from django.apps import apps  # type: ignore[import-not-found]
from django.db import router  # type: ignore[import-not-found]
from django.db.migrations.loader import MigrationLoader  # type: ignore[import-not-found]

from cicd_actions.run_migrations_oneshot.in_image import problems
from cicd_actions.run_migrations_oneshot.in_image.django_migrations import under_django
from cicd_actions.run_migrations_oneshot.in_image.run import Stop


def main(options: dict[str, Any]) -> None:
    """Writes models and migrations, or the error that ended the program, to the file that the options name."""
    result: dict[str, Any] = {}

    def handle(_command: Any, *_words: Any, **given: Any) -> list[dict[str, Any]]:
        return _needs(given["database"])

    try:
        result["models"] = under_django(options["script"], options["arguments"], handle)
        result["migrations"] = _migrations()
    except (Exception, SystemExit, Stop) as error:
        problems.show(error)
        result["error"] = problems.described(error, [])
    with open(options["result"], "w", encoding="utf-8") as file:
        json.dump(result, file, default=str)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread of the application must not keep the program alive


def _migrations() -> list[dict[str, str]]:
    """Returns the migrations on the disk, with what their modules declare."""
    modules = {key: sys.modules.get(one.__module__) for key, one in MigrationLoader(None).disk_migrations.items()}
    return [
        {
            "revision": f"{app}.{name}",
            "message": name.partition("_")[2].replace("_", " "),
            "phase": str(getattr(module, "deploy_phase", "")),
            "path": str(getattr(module, "__file__", None) or ""),
        }
        for (app, name), module in modules.items()
    ]


def _needs(database: str) -> list[dict[str, Any]]:
    return [
        {
            "schema": "",
            "name": model._meta.db_table,
            "model": f"{model.__module__}.{model.__qualname__}",
            "columns": [_column(field) for field in model._meta.local_concrete_fields],
        }
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and router.allow_migrate_model(database, model)
    ]


def _column(field: Any) -> dict[str, Any]:
    made = bool(getattr(field, "db_returning", False))  # a key that counts, or a default of the database
    return {
        "name": field.column,
        "nullable": bool(field.null),
        "primary": bool(field.primary_key),
        "client_default": not made,  # Django writes every column
        "server_default": made,
        "computed": bool(getattr(field, "generated", False)),
    }
