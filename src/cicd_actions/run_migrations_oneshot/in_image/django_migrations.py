"""One run of Django's `migrate`: preflight, the migrations under the lock, the proof. `manage.py` itself starts it."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import time
from typing import Any, Callable, Iterator, TypeVar

import django  # type: ignore[import-not-found]
from django.apps import apps  # type: ignore[import-not-found]
from django.core.management.base import CommandError  # type: ignore[import-not-found]
from django.core.management.commands import migrate  # type: ignore[import-not-found]
from django.db import connections  # type: ignore[import-not-found]
from django.db.migrations.exceptions import (  # type: ignore[import-not-found]
    AmbiguityError,
    CircularDependencyError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)
from django.db.migrations.executor import MigrationExecutor  # type: ignore[import-not-found]
from django.db.migrations.loader import MigrationLoader  # type: ignore[import-not-found]
from django.db.migrations.recorder import MigrationRecorder  # type: ignore[import-not-found]

from cicd_actions.run_migrations_oneshot.in_image import problems, session, squashes
from cicd_actions.run_migrations_oneshot.in_image.aside import Aside
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel
from cicd_actions.run_migrations_oneshot.in_image.run import LOCK_REFUSED, Run, Stop, instead_of, listed, wait_for_lock
from cicd_actions.run_migrations_oneshot.in_image.touched import quoted, tables_in_migration

_T = TypeVar("_T")

PHASES = ("expand", "contract", "")
_NOT_FORWARD = ("plan", "check_unapplied", "prune", "fake")
"""Options that change no schema, as Django reads them: on the command line they may be abbreviated."""


def under_django(script: str, arguments: list[str], handle: Callable[..., _T]) -> _T:
    """Runs `manage.py` or `django-admin` in this process, with `handle` as what `migrate` does."""
    return instead_of(migrate.Command, "handle", handle, lambda: _run_manage(script, arguments))


def _run_manage(script: str, arguments: list[str]) -> None:
    sys.argv = [script, *arguments]
    if script.endswith(".py"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))  # as Python does
        runpy.run_path(script, run_name="__main__")
    else:
        from django.core.management import (  # type: ignore[import-not-found]
            execute_from_command_line,
        )

        execute_from_command_line(sys.argv)


class Django(Run):
    """`manage.py migrate`, with its handling of the plan in our hands."""

    def __init__(self, options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
        super().__init__(options, arguments, channel)
        self._connection: Any = None
        self._targets: list[Any] = []
        self._before: list[str] = []
        self._done: list[str] = []
        self._step: Any = None
        self._sql = ""
        self._pids: list[int] = []
        self._invalid: list[str] = []

    def work(self) -> str:
        """Runs `manage.py`, in which `migrate` is ours."""
        self.hello(django=django.get_version())
        original = migrate.Command.handle

        def handle(command: Any, *words: Any, **options: Any) -> str:
            return self._migrate(lambda: original(command, *words, **options), options)

        return under_django(self._options["script"], self._arguments, handle)

    def _migrate(self, original: Callable[[], None], options: dict[str, Any]) -> str:
        if any(options.get(name) for name in _NOT_FORWARD):
            raise Stop("command")
        self._connection = connection = connections[options["database"]]
        self._channel.hide(str(connection.settings_dict.get("PASSWORD") or ""))
        self.waiting_for_database(connection.ensure_connection, lambda: False, lambda _error: True)
        self._prepare()
        executor = self._executor()
        executor.loader.check_consistent_history(connection)
        self._one_head(executor)
        self._targets = self._chosen(executor, options)
        # Before the plan: for a target that a squash replaces, Django makes a new graph without squashes.
        self._before = self._heads(executor)
        self._say_preflight(executor)
        plan = self._plan(executor)
        for migration in plan:
            self._channel.say("pending", **self._about(migration))
        self._judge(executor, plan)
        if plan and self._postgres:
            self.say_health(sorted({table for migration in plan for table in tables_in_migration(migration)}))
        if self._options["mode"] != "apply":
            return "planned" if plan else "up-to-date"
        # Also where nothing is pending: Django then calls the receivers of its signals, and makes tables by --run-syncdb.
        self._apply_with_retries(original)
        self._prove(plan)
        return "applied" if self._done else "up-to-date"

    @property
    def _postgres(self) -> bool:
        return self._connection is not None and self._connection.vendor == "postgresql"

    def _prepare(self) -> None:
        if not self._postgres:
            if self._settings.read_only and self._connection.vendor == "sqlite":
                session.tell(self._connection.connection, "PRAGMA query_only = ON")
            return
        dbapi = self._connection.connection
        pid, wire = session.backend_of(dbapi), session.wire_pid(dbapi)
        if wire is not None and wire != pid:
            known = self._connection.settings_dict
            raise Stop("pooler", host=str(known.get("HOST") or ""), port=str(known.get("PORT") or ""))
        self._pids = [pid]
        if session.in_recovery(dbapi):
            raise Stop("replica")
        if session.is_read_only(dbapi):
            raise Stop("read-only")
        session.configure(dbapi, self._settings, session.version_of(dbapi))
        self._invalid = session.invalid_indexes(dbapi)

    def _executor(self) -> Any:
        """Returns Django's executor with a graph of what is applied now. Raises `Stop` where that leaves migrations out."""
        loader = MigrationLoader(self._connection, load=False)
        loader.load_disk()
        malformed = squashes.malformed(loader.disk_migrations)
        if malformed:
            raise CommandError(malformed)
        applied = MigrationRecorder(self._connection).applied_migrations()
        stuck = squashes.stuck(loader.disk_migrations, applied)
        if stuck:
            raise Stop("squash", squashes=stuck[:5])
        twice = squashes.nested(loader.disk_migrations, django.VERSION)
        if twice:
            raise Stop("squash-twice", **twice)
        return MigrationExecutor(self._connection)

    def _one_head(self, executor: Any) -> None:
        conflicts = executor.loader.detect_conflicts()
        if conflicts:
            heads = [{"revision": f"{app}.{name}", "file": ""} for app, names in conflicts.items() for name in names]
            raise Stop("heads", heads=heads)

    def _chosen(self, executor: Any, options: dict[str, Any]) -> list[Any]:
        app, name = options.get("app_label"), options.get("migration_name")
        if not app:
            return list(executor.loader.graph.leaf_nodes())
        if app not in executor.loader.migrated_apps:
            apps.get_app_config(app)  # raises LookupError for an app that is not installed
            if not options.get("run_syncdb"):
                raise CommandError(f"The app {app} has no migrations.")
        if not name:
            return [key for key in executor.loader.graph.leaf_nodes() if key[0] == app]
        if name == "zero":
            raise Stop("command")
        try:
            target = (app, executor.loader.get_migration_by_prefix(app, name).name)
        except KeyError:
            raise CommandError(f"The app {app} has no migration whose name begins with {name}.") from None
        except AmbiguityError:
            raise CommandError(f"The app {app} has several migrations whose names begin with {name}.") from None
        squash = squashes.over(executor.loader, target)
        if squash:
            raise CommandError(f"{squashes.named(target)} is a part of {squash}, which Django runs as a whole here: name that.")
        return [squashes.in_graph(executor.loader, target)]

    def _plan(self, executor: Any) -> list[Any]:
        plan = executor.migration_plan(self._targets)
        if any(backwards for _, backwards in plan):
            raise Stop("command")
        return [migration for migration, _ in plan]

    def _heads(self, executor: Any) -> list[str]:
        """Returns the last applied migration of each app."""
        order = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
        applied = set(executor.loader.applied_migrations)
        last = {
            migration.app_label: migration.name for migration, _ in order if (migration.app_label, migration.name) in applied
        }
        return sorted(f"{app}.{name}" for app, name in last.items())

    def _say_preflight(self, executor: Any) -> None:
        version = session.version_of(self._connection.connection) if self._postgres else 0
        self._channel.say(
            "preflight",
            dialect=self._connection.vendor,
            driver="Django",
            server=version,
            at=self._before,
            heads=sorted(f"{app}.{name}" for app, name in executor.loader.graph.leaf_nodes())[:50],
            invalid=self._invalid,
        )

    def _about(self, migration: Any) -> dict[str, str]:
        module = sys.modules.get(migration.__module__)
        return self.judged(
            {
                "revision": f"{migration.app_label}.{migration.name}",
                "message": migration.name.partition("_")[2].replace("_", " "),
                "phase": str(getattr(module, "deploy_phase", "")),
                "file": problems.relative(str(getattr(module, "__file__", "") or "")),
            }
        )

    def _judge(self, executor: Any, plan: list[Any]) -> None:
        """Refuses what must not be applied."""
        unknown = squashes.unknown(executor.loader)
        if unknown:
            raise Stop("ahead", unknown=unknown)
        about = [self._about(migration) for migration in plan]
        strange = [one for one in about if one["phase"] not in PHASES]
        if strange:
            raise Stop("phase", revisions=strange[:20])
        contract = [one["revision"] for one in about if one["phase"] == "contract"]
        if contract and not self._options["contract"]:
            raise Stop("contract", revisions=contract[:100])

    # The migrations

    def _apply_with_retries(self, original: Callable[[], None]) -> None:
        attempts: dict[str, int] = {}
        with self._watched():
            while True:
                try:
                    return self._apply(original)
                except Exception as error:
                    name = self._name
                    attempt = attempts.get(name, 0)
                    if attempt >= int(self._options["lock_retries"]) or problems.sqlstate(error) not in LOCK_REFUSED:
                        raise
                    if not name or self._partial() or set(self._fresh_invalid()) - set(self._invalid):
                        raise
                    pause = self.pause_before_retry(attempt)
                    attempts[name] = attempt + 1
                    said = problems.words(error)
                    self._channel.say("retry", revision=name, seconds=pause, problem=said, kept=list(self._done))
                    self._step = None
                    self._connection.close()
                    time.sleep(pause)
                    self._connection.ensure_connection()
                    self._prepare()

    def _apply(self, original: Callable[[], None]) -> None:
        dbapi = self._connection.connection
        if self._postgres:
            wait_for_lock(dbapi, self._channel, self._options["wait_for_lock"], lambda: self._pids)
            self._channel.say("lock", pid=self._pids[0])
            self.watch(lambda work: Aside(lambda: self._on_copy(work)))
        self.count_time()
        executor = self._executor()
        now = self._heads(executor)
        plan = self._plan(executor)
        if now != self._before and not self._done:
            self._channel.say("moved", at=now, left=len(plan))
        self._judge(executor, plan)
        original()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Reports each migration that Django's executor applies, and each statement."""
        apply = MigrationExecutor.apply_migration

        def apply_migration(executor: Any, state: Any, migration: Any, *words: Any, **options: Any) -> Any:
            revision = f"{migration.app_label}.{migration.name}"
            if self._postgres:
                session.configure(self._connection.connection, self._settings, 0)
            self._step, self._sql = migration, ""
            self._channel.say("start", revision=revision)
            started = time.monotonic()
            result = apply(executor, state, migration, *words, **options)
            self._done.append(revision)
            self._step = None
            self._channel.say("done", revision=revision, seconds=round(time.monotonic() - started, 3))
            return result

        def executing(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
            self._sql = str(sql)
            return execute(sql, params, many, context)

        MigrationExecutor.apply_migration = apply_migration
        try:
            with self._connection.execute_wrapper(executing):
                yield
        finally:
            MigrationExecutor.apply_migration = apply

    def _prove(self, plan: list[Any]) -> None:
        names = [f"{migration.app_label}.{migration.name}" for migration in plan]
        has = set(self._recorded(10.0))
        left = [name for name in names if name not in has]
        if left:
            raise Stop("unproven", state="failed", left=left[:100])
        if self._postgres:
            with contextlib.suppress(Exception):
                self.fresh(self.say_load, 10.0)

    # The end

    @property
    def _name(self) -> str:
        return f"{self._step.app_label}.{self._step.name}" if self._step is not None else ""

    def about(self, error: BaseException) -> dict[str, Any]:
        """Returns the rule and the problem of an error."""
        if self._step is None:
            problem = problems.described(error, [])
            if isinstance(error, InconsistentMigrationHistory):
                return {"rule": "history", "problem": problem}
            if isinstance(error, NodeNotFoundError):
                app, name = getattr(error, "node", None) or ("", "")
                return {"rule": "dependency", "problem": problem, "missing": squashes.named((str(app), str(name)))}
            if isinstance(error, CircularDependencyError):
                return {"rule": "circle", "problem": problem}
            if problems.inside(error, "emit_post_migrate_signal"):
                return {"rule": "receiver", "problem": problem}
            return {"rule": problems.rule_before_the_first(error), "problem": problem}
        module = sys.modules.get(self._step.__module__)
        found = problems.described(error, [str(getattr(module, "__file__", ""))])
        if self._sql and found["sqlstate"]:
            found.setdefault("statement", self._sql)
        return {"rule": "migration", "problem": found}

    def step(self) -> Any:
        """Returns the migration that runs, `None` between two."""
        return self._step

    def went_on_with(self, step: Any) -> None:
        """The migration that ran when the end began."""
        self._step = step

    def statement(self) -> str:
        """Returns the statement that runs."""
        return self._sql

    def pids(self) -> list[int]:
        """Returns the database's process that serves this run."""
        return self._pids

    def fresh(self, work: Callable[[Any], Any], seconds: float) -> Any:
        """Returns `work(dbapi)` on a fresh connection."""
        return Aside(lambda: self._on_copy(work)).result(seconds)

    def _on_copy(self, work: Callable[[Any], Any]) -> Any:
        # Made in this thread: Django's connections belong to the one that made them.
        copy = self._connection.copy()
        try:
            copy.connect()
            return work(copy.connection)
        finally:
            copy.close()

    def _recorded(self, seconds: float) -> list[str]:
        table = quoted(MigrationRecorder.Migration._meta.db_table)  # Django's documented way to a table's name
        rows = self.fresh(lambda dbapi: session.ask(dbapi, f"SELECT app, name FROM {table} ORDER BY id"), seconds)
        return [f"{app}.{name}" for app, name in rows]

    def _fresh_invalid(self) -> list[str]:
        return list(self.fresh(session.invalid_indexes, 10.0)) if self._postgres else []

    def read_now(self, fields: dict[str, Any], seconds: float) -> None:
        """Adds where the database is now, and what stayed of the migrations."""
        if self._step is not None:
            fields["step"], fields["partial"] = self._name, self._partial()
        if self._connection is None or not self._targets:
            return
        try:
            recorded = self._recorded(seconds) if self._done or self._step is not None else []
            if not recorded:
                fields["at"] = self._before
                return
            fields["at"] = sorted({name.partition(".")[0]: name for name in recorded}.values())
            for piece in listed([name for name in self._done if name in set(recorded)]):
                self._channel.say("applied", revisions=piece)
            fields["invalid"] = [name for name in self._fresh_invalid() if name not in self._invalid][:20]
        except Exception as error:  # the database may be what failed
            fields["unread"] = problems.words(error)

    def _partial(self) -> bool:
        """Returns whether some of the step that failed may stay in the database."""
        return not (self._connection.features.can_rollback_ddl and getattr(self._step, "atomic", True))


def main(options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
    """Called by `interpreter.start`."""
    Django(options, arguments, channel).main()
