"""Django's program: reads what the project's models need of the database, and its migrations. `manage.py` loads them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import django  # type: ignore[import-not-found]
from django.apps import apps  # type: ignore[import-not-found]
from django.db import connections, router  # type: ignore[import-not-found]
from django.db.migrations.exceptions import (  # type: ignore[import-not-found]
    CircularDependencyError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)
from django.db.migrations.executor import MigrationExecutor  # type: ignore[import-not-found]
from django.db.migrations.loader import MigrationLoader  # type: ignore[import-not-found]
from django.db.migrations.recorder import MigrationRecorder  # type: ignore[import-not-found]

from cicd_actions.run_migrations_oneshot.in_image import problems, squashes
from cicd_actions.run_migrations_oneshot.in_image.django_migrations import under_django
from cicd_actions.run_migrations_oneshot.in_image.run import Stop


def main(options: dict[str, Any]) -> None:
    """Writes models and migrations, or the error that ended the program, to the file that the options name."""
    result: dict[str, Any] = {}

    def handle(_command: Any, *_words: Any, **given: Any) -> list[dict[str, Any]]:
        loader = MigrationLoader(None, load=False)
        loader.load_disk()
        result["migrations"] = _migrations(loader.disk_migrations)
        if options["graph"]:
            result["problems"] = _problems(connections[given["database"]], loader.disk_migrations)
        return _needs(given["database"])

    try:
        result["models"] = under_django(options["script"], options["arguments"], handle)
    except (Exception, SystemExit, Stop) as error:
        problems.show(error)
        result["error"] = problems.described(error, [])
    with open(options["result"], "w", encoding="utf-8") as file:
        json.dump(result, file, default=str)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread of the application must not keep the program alive


def _migrations(disk: Mapping[squashes.Key, Any]) -> list[dict[str, Any]]:
    """Returns the migrations on the disk, with what their modules declare. A squash is among them, also one that Django leaves
    out of its graph."""
    modules = {key: sys.modules.get(one.__module__) for key, one in disk.items()}
    return [
        {
            "revision": squashes.named(key),
            "message": key[1].partition("_")[2].replace("_", " "),
            "phase": str(getattr(module, "deploy_phase", "")),
            "path": str(getattr(module, "__file__", None) or ""),
            "replaces": list(map(squashes.named, squashes.replaced(key, disk))),
        }
        for key, module in modules.items()
    ]


def _problems(connection: Any, disk: Mapping[squashes.Key, Any]) -> list[dict[str, Any]]:
    """Returns why Django cannot migrate the base's database with these files; nothing where another thing is in its way."""
    try:
        malformed = squashes.malformed(disk)
        if malformed:
            return [{"rule": "upgrade-fails", "what": malformed}]
        stuck = squashes.stuck(disk, MigrationRecorder(connection).applied_migrations())
        if stuck:
            return [{"rule": "squash-incomplete", **one} for one in stuck]
        twice = squashes.nested(disk, django.VERSION)
        if twice:
            what = f"{twice['revision']} replaces the squash {twice['other']}, which works from Django 6.0 on only"
            return [{"rule": "upgrade-fails", "revision": twice["revision"], "what": what}]
        executor = MigrationExecutor(connection)
        executor.loader.check_consistent_history(connection)
        conflicts = executor.loader.detect_conflicts()
        executor.migration_plan(executor.loader.graph.leaf_nodes())
    except NodeNotFoundError as error:
        return [{"rule": "parent-missing", "what": problems.words(error)}]
    except InconsistentMigrationHistory as error:
        return [{"rule": "revision-changed", "what": problems.words(error)}]
    except CircularDependencyError as error:
        return [{"rule": "upgrade-fails", "what": f"migrations depend on each other in a circle: {problems.words(error)}"}]
    except Exception:  # the command itself meets it, and says more
        return []
    heads = [squashes.named((app, name)) for app, names in conflicts.items() for name in sorted(names)]
    return [{"rule": "several-heads", "heads": heads}] if heads else []


def _needs(database: str) -> list[dict[str, Any]]:
    return [
        {
            "schema": _place(model)[0],
            "name": _place(model)[1],
            "model": f"{model.__module__}.{model.__qualname__}",
            "columns": [_column(field) for field in model._meta.local_concrete_fields],
        }
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and router.allow_migrate_model(database, model)
    ]


def _place(model: Any) -> tuple[str, str]:
    """Returns schema and table: `db_table = 'schema"."table'` is how a model of Django names a schema."""
    schema, dot, table = model._meta.db_table.strip('"').partition('"."')
    return (schema, table) if dot else ("", schema)


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
