"""Alembic's programs: `base` builds what runs now, `upgrade` runs the new revisions once, `after` goes there and back."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alembic.runtime.migration import MigrationStep

from cicd_actions.run_migrations_oneshot.in_image import problems
from cicd_actions.run_migrations_oneshot.in_image.run import Stop
from cicd_actions.run_migrations_oneshot.in_image.scripts import Scripts, as_tuple, phase_of, under_flask
from cicd_actions.verify_migrations.in_project import models
from cicd_actions.verify_migrations.in_project.statements import Statements


def main(options: dict[str, Any]) -> None:
    """Writes the result, or the error that ended the program, to the file that the options name."""
    result: dict[str, Any] = {}
    code = 0
    try:
        program = _PROGRAMS[options["program_name"]]
        if options["tool"] == "flask":
            under_flask(options["arguments"], lambda scripts: program(scripts, options, result))
        else:
            program(Scripts.of_arguments(options["arguments"]), options, result)
    except Stop as stop:
        result["stop"] = str(stop)
        code = 1
    except (Exception, SystemExit) as error:
        problems.show(error)
        files = [str(each["path"]) for each in result.get("scripts", [])]
        result["error"] = problems.described(error, files)
        code = 1
    with open(options["result"], "w", encoding="utf-8") as file:
        json.dump(result, file, default=str)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread of the application must not keep the program alive


def _base(scripts: Scripts, options: dict[str, Any], result: dict[str, Any]) -> None:
    result["key"] = _key(scripts, options["salt"])
    cached = options["prefix"] + result["key"]
    result["cached"] = cached in options["cached"]
    if result["cached"]:
        # Before the application reads its settings.
        for name, value in list(os.environ.items()):
            if options["database"] in value:
                os.environ[name] = value.replace(options["database"], cached)
    result["scripts"] = _listed(scripts)
    result["heads"] = scripts.heads()
    if not result["cached"] and not options["built"]:
        _run(scripts, options, result, lambda at, _context: _upward(scripts, at))
    found = _models(scripts, with_needs=True)
    result["models"], result["differences"], result["no_models"], result["uncompared"] = found
    result["foreign"] = models.loaded_below(options["head_folder"]) if options["head_folder"] else []


def _upgrade(scripts: Scripts, options: dict[str, Any], result: dict[str, Any]) -> None:
    result["scripts"] = _listed(scripts)
    result["problems"] = _graph(result["scripts"])
    if any(each["rule"] != "several-heads" for each in result["problems"]):
        return
    result["heads"] = scripts.heads()
    # One that another head depends on does not stay in the version table.
    result["ends"] = sorted(scripts.directory.revision_map._real_heads)
    if len(result["heads"]) > 1 and not options["several_heads"]:
        result["problems"].append({"rule": "several-heads", "heads": result["heads"]})
        return
    known = set(options["known"])
    new = [each["path"] for each in result["scripts"] if each["revision"] not in known]
    statements = Statements(new)
    result["statements"] = statements.found
    result["steps"] = []
    if not new:
        return
    if options["trace"]:
        statements.listen()

    def work(at: Any, context: Any) -> Iterator[Any]:
        result["at"] = sorted([at] if isinstance(at, str) else at)
        result["per_migration"] = bool(getattr(context, "_transaction_per_migration", False))
        result["external"] = bool(getattr(context, "_in_external_transaction", False))
        return _noted(_upward(scripts, at), statements, result["steps"])

    try:
        _run(scripts, options, result, work)
    except BaseException:
        result["running"] = statements.revision
        raise


def _after(scripts: Scripts, options: dict[str, Any], result: dict[str, Any]) -> None:
    result["scripts"] = _listed(scripts)
    _, result["differences"], result["no_models"], result["uncompared"] = _models(scripts, with_needs=False)
    if not options["steps"]:
        return
    statements = Statements([each["path"] for each in result["scripts"]])
    statements.listen()
    result["downgraded"] = []

    def down(_at: Any, _context: Any) -> Iterator[Any]:
        map_ = scripts.directory.revision_map
        found = [map_.get_revision(revision) for revision in reversed(options["steps"])]
        return _noted(_downward(map_, found, statements), statements, result["downgraded"])

    try:
        _run(scripts, options, result, down)
    except Stop:
        raise
    except Exception as error:
        problems.show(error)
        result["downgrade_error"] = problems.described(error, [each["path"] for each in result["scripts"]])
        result["downgrade_error"]["not_implemented"] = isinstance(error, NotImplementedError)
        result["downgrade_failed"] = statements.revision
        return
    statements.begin("")
    result["again"] = []
    try:
        _run(scripts, options, result, lambda at, _context: _noted(_upward(scripts, at), statements, result["again"]))
    except BaseException:
        result["running"] = statements.revision
        raise


def _run(scripts: Scripts, options: dict[str, Any], result: dict[str, Any], work: Callable[[Any, Any], Any]) -> None:
    """Runs env.py with `work`, on the scratch database alone. Raises `Stop` before anything is done to another one."""

    def here(at: Any, context: Any) -> Any:
        url = getattr(getattr(context.connection, "engine", None), "url", None)
        reached = os.path.basename(getattr(url, "database", None) or "")
        if reached and reached != os.path.basename(options["reached"]):
            result["elsewhere"] = reached
            raise Stop(f"env.py migrates `{reached}`, which is not the scratch database")
        return work(at, context)

    scripts.run(here)


_PROGRAMS: dict[str, Callable[[Scripts, dict[str, Any], dict[str, Any]], None]] = {
    "base": _base,
    "upgrade": _upgrade,
    "after": _after,
}


def _upward(scripts: Scripts, at: Any) -> list[Any]:
    return list(scripts.directory._upgrade_revs(scripts.destination, at))


def _downward(map_: Any, scripts: list[Any], statements: Statements) -> Iterator[Any]:
    for script in scripts:
        if not callable(getattr(script.module, "downgrade", None)):
            statements.begin(script.revision)
            raise NotImplementedError("its file has no `downgrade`")
        yield MigrationStep.downgrade_from_script(map_, script)


def _noted(steps: Iterable[Any], statements: Statements, done: list[dict[str, Any]]) -> Iterator[Any]:
    for step in steps:
        revision = step.revision.revision
        statements.begin(revision)
        yield step
        done.append({"revision": revision, "statements": statements.count})
    statements.begin("")


def _listed(scripts: Scripts) -> list[dict[str, Any]]:
    """Returns every revision file, also where the graph has mistakes."""
    loaded = list(scripts.directory._load_revisions())
    scripts.directory.revision_map._generator = lambda: loaded
    return [
        {
            "revision": script.revision,
            "down": list(as_tuple(script.down_revision)),
            "depends": list(as_tuple(script.dependencies)),
            "labels": sorted(script.branch_labels),
            "message": (script.doc or "").strip(),
            "phase": phase_of(script),
            "path": str(script.path or ""),
            "downgrade": callable(getattr(script.module, "downgrade", None)),
        }
        for script in loaded
    ]


def _graph(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id: dict[str, list[str]] = {}
    for each in listed:
        by_id.setdefault(each["revision"], []).append(each["path"])
    found: list[dict[str, Any]] = [
        {"rule": "revision-twice", "revision": revision, "files": sorted(paths)}
        for revision, paths in by_id.items()
        if len(paths) > 1
    ]
    labels = {label for each in listed for label in each["labels"]}
    for each in listed:
        missing = [down for down in each["down"] if down not in by_id]
        missing += [one for one in each["depends"] if one not in by_id and one not in labels]
        if missing:
            found.append({"rule": "parent-missing", "revision": each["revision"], "missing": missing, "files": [each["path"]]})
    return found


def _models(scripts: Scripts, *, with_needs: bool) -> tuple[Any, list[str], str, str]:
    found: dict[str, Any] = {"needs": None, "differences": [], "why": "env.py never configured a context", "failed": ""}

    def work(_at: Any, context: Any) -> list[Any]:
        metadata = context.opts.get("target_metadata")
        if metadata is None:
            found["why"] = "env.py names no `target_metadata`"
            return []
        found["why"] = ""
        if with_needs:
            found["needs"] = models.needs(metadata)
        try:
            found["differences"] = models.differences(context, metadata)
        except Exception as error:  # Alembic cannot read every schema, and still migrates it
            problems.show(error)
            found["failed"] = f"Alembic's comparison fails with {type(error).__name__}: {_first(error)}"
        return []

    scripts.run(work, dont_mutate=True)
    return found["needs"], found["differences"], found["why"], found["failed"]


def _first(error: Exception) -> str:
    return next(iter(problems.words(error).splitlines()), "").rstrip(".")


def _key(scripts: Scripts, salt: str) -> str:
    """Returns the hash of the revision files, read without running them."""
    digest = hashlib.sha256(salt.encode())
    locations = getattr(scripts.directory, "_version_locations", None) or [scripts.directory.versions]
    folders = sorted({scripts.directory.dir, *map(str, locations)})
    for folder in folders:
        for root, names, files in sorted(os.walk(folder)):
            names[:] = [name for name in names if name != "__pycache__"]
            for file in sorted(files):
                if file.endswith((".py", ".sql")):
                    path = os.path.join(root, file)
                    with open(path, "rb") as opened:
                        digest.update(file.encode() + b"\0" + hashlib.sha256(opened.read()).digest())
    return digest.hexdigest()[:20]
