"""One run of Alembic: preflight, the migrations under the lock, the proof.

env.py runs twice. The first time changes nothing: it shows which of its connections migrates, where the database is, and what
is pending. The second time takes the lock on that connection as soon as it is made, and then does what `alembic upgrade` does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Callable, Iterator

from cicd_actions.run_migrations_oneshot.in_image import problems, session
from cicd_actions.run_migrations_oneshot.in_image import version_tables as tables_of
from cicd_actions.run_migrations_oneshot.in_image.aside import Aside, dbapi_of, of_engine, on_fresh
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel, chunks
from cicd_actions.run_migrations_oneshot.in_image.connections import Connections
from cicd_actions.run_migrations_oneshot.in_image.run import LOCK_REFUSED, Run, Stop, ended, listed
from cicd_actions.run_migrations_oneshot.in_image.scripts import PHASES, Scripts, under_flask
from cicd_actions.run_migrations_oneshot.in_image.touched import tables_in_source
from cicd_actions.run_migrations_oneshot.in_image.version_tables import VersionTable

USUAL_WIDTH = 32
"""Characters of `version_num` where env.py does not change it: https://alembic.sqlalchemy.org/en/latest/api/runtime.html"""


class Alembic(Run):
    """`alembic upgrade`, by itself or as `flask db upgrade`."""

    def __init__(self, options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
        super().__init__(options, arguments, channel)
        self._connections = Connections(self._settings, channel, options["wait_for_lock"], self.count_time)
        self._scripts: Scripts | None = None
        self._tables: list[VersionTable] = []
        self._invalid: list[str] = []
        self._done: list[tuple[VersionTable, str]] = []
        self._step: Any = None
        self._running: VersionTable | None = None

    def work(self) -> str:
        """Reads the configuration, and migrates."""
        import alembic  # what is loaded is what is reported
        import sqlalchemy

        self.hello(alembic=alembic.__version__, sqlalchemy=sqlalchemy.__version__)
        self._connections.listen()
        if self._options["tool"] == "flask":
            return under_flask(self._arguments, self._migrate)
        return self._migrate(Scripts.of_arguments(self._arguments))

    def _migrate(self, scripts: Scripts) -> str:
        self._scripts = scripts
        scripts.check()
        heads = scripts.heads()
        if len(heads) > 1 and self._options["single_head"]:
            raise Stop("heads", heads=[scripts.about(head) for head in heads])
        self._preflight(scripts)
        self._channel.say("preflight", heads=heads, **self._summary())
        if self._connections.writes:
            self._channel.say("writes", statements=list(dict.fromkeys(self._connections.writes))[:10])
        pending = self._pending(scripts, self._tables)
        for about in pending:
            self._channel.say("pending", **about)
        if self._options["sql"] and pending:
            self._render(scripts)
        self._judge(scripts, self._tables)
        if not pending:
            return "up-to-date"
        if self._connections.recovery:
            raise Stop("replica")
        if self._connections.read_only:
            raise Stop("read-only")
        if tables_of.one_per_database(self._tables):
            self.say_health(self._touched())
        if self._options["mode"] != "apply":
            return "planned"
        self._apply_with_retries(scripts)
        self._prove(scripts)
        return "applied" if self._done else "up-to-date"

    # Preflight

    def _preflight(self, scripts: Scripts) -> None:
        self._tables = self.waiting_for_database(
            lambda: self._through(scripts, dont_mutate=True), lambda: bool(self._connections.seen)
        )
        if not self._tables:
            raise Stop("no-migrations", state="failed")
        self._connections.migrates({table.ordinal for table in self._tables if table.postgres})
        self._invalid = tables_of.invalid_in(self._tables) if any(table.steps for table in self._tables) else []

    def _through(self, scripts: Scripts, **options: Any) -> list[VersionTable]:
        found: list[VersionTable] = []

        def work(at: Any, context: Any) -> list[Any]:
            found.append(tables_of.version_table(context, at, scripts, self._connections, scripts.destination))
            return []

        self._connections.begin()
        scripts.run(work, **options)
        return found

    def _summary(self) -> dict[str, Any]:
        first = self._tables[0]
        found = self._connections.seen[first.ordinal]
        return {
            "dialect": first.engine.dialect.name,
            "driver": first.engine.dialect.driver,
            "server": found.version,
            "at": tables_of.joined([table.before for table in self._tables]),
            "tables": len(self._tables),
            "external": first.external,
            "shared": any(table.shared and len(table.steps) > 1 for table in self._tables),
            "invalid": self._invalid,
        }

    def _pending(self, scripts: Scripts, tables: list[VersionTable]) -> list[dict[str, str]]:
        return [
            self.judged({**scripts.about(step.revision.revision), "database": self._called(table)})
            for table in tables
            for step in table.steps
        ]

    def _called(self, table: VersionTable) -> str:
        """Returns the table's name for people, empty where there is only one."""
        return table.database if len(self._tables) > 1 else ""

    def _touched(self) -> list[str]:
        found: set[str] = set()
        for path in {str(step.revision.path) for table in self._tables if table.postgres for step in table.steps}:
            with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
                found |= tables_in_source(file.read())
        return sorted(found)

    def _judge(self, scripts: Scripts, tables: list[VersionTable]) -> None:
        """Refuses what must not be applied. Asked again under the lock: another run may have moved the database meanwhile."""
        unknown = scripts.unknown(revision for table in tables for revision in table.before)
        if unknown:
            raise Stop("ahead", unknown=unknown)
        pending = self._pending(scripts, tables)
        strange = [about for about in pending if about["phase"] not in PHASES]
        if strange:
            raise Stop("phase", revisions=strange[:20])
        contract = list(dict.fromkeys(about["revision"] for about in pending if about["phase"] == "contract"))
        if contract and not self._options["contract"]:
            raise Stop("contract", revisions=contract[:100])

    def _render(self, scripts: Scripts) -> None:
        first = self._tables[0]
        reason = ""
        if len(self._tables) > 1:
            reason = "env.py migrates several version tables"
        elif len(first.before) > 1:
            reason = "the database is at several heads"
        else:
            try:
                text = scripts.rendered(first.before, first.destination)
            except (Exception, SystemExit) as error:  # a migration may do anything, and need a database for it
                reason = f"{type(error).__name__}: {problems.words(error)}"
            else:
                for piece in chunks(self._channel.clean(text)):
                    self._channel.say("sql", text=piece)
        if reason:
            self._channel.say("no-sql", reason=reason)

    # The migrations

    def _apply_with_retries(self, scripts: Scripts) -> None:
        attempts: dict[str, int] = {}
        while True:
            try:
                return self._apply(scripts)
            except Exception as error:
                # Each migration has its own retries: one that came through says nothing of the next one's table.
                revision = self._step.revision.revision if self._step is not None else ""
                attempt = attempts.get(revision, 0)
                if attempt >= int(self._options["lock_retries"]) or problems.sqlstate(error) not in LOCK_REFUSED:
                    raise
                if not self._can_repeat(scripts):
                    raise
                pause = self.pause_before_retry(attempt)
                attempts[revision] = attempt + 1
                kept = [name for _, name in self._done]
                self._channel.say("retry", revision=revision, seconds=pause, problem=problems.words(error), kept=kept)
                self._step = self._running = None
                # Not while holding the lock's session: others get their turn meanwhile.
                self._connections.forget_pools()
                time.sleep(pause)

    def _can_repeat(self, scripts: Scripts) -> bool:
        """Returns whether the failed step left nothing behind. What came before it and stayed is where the next attempt
        starts."""
        if self._partial({"line": 0}) or set(tables_of.invalid_in(self._tables)) - set(self._invalid):
            return False
        for table in self._tables:
            table.before = tables_of.heads_of(table)
        has = {id(table): scripts.applied(table.before) for table in self._tables}
        self._done = [(table, revision) for table, revision in self._done if revision in has.get(id(table), set())]
        return True

    def _apply(self, scripts: Scripts) -> None:
        found: list[VersionTable] = []
        settled = [table.destination for table in self._tables]

        def work(at: Any, context: Any) -> Iterator[Any]:
            destination = settled[len(found)] if len(found) < len(settled) else scripts.destination
            table = tables_of.version_table(context, at, scripts, self._connections, destination)
            if len(found) < len(self._tables):
                known = self._tables[len(found)]
                if table.before != known.before:
                    self._channel.say("moved", at=table.before, left=len(table.steps))
                self._done = [(table if one is known else one, revision) for one, revision in self._done]
            found.append(table)
            self._tables[len(found) - 1 : len(found)] = [table]
            self._judge(scripts, [table])
            if table.postgres and not self._connections.seen[table.ordinal].locked:
                raise Stop("connection")
            self._judge_widths(table)
            return self._steps(table, context)

        if not any(table.postgres for table in self._tables):
            self.count_time()
        self._connections.begin()
        scripts.run(work)

    def _judge_widths(self, table: VersionTable) -> None:
        """Refuses revision ids that the version table cannot hold: the migration would run, and then not be recorded."""
        ids = [step.revision.revision for step in table.steps if len(step.revision.revision) > USUAL_WIDTH]
        width = session.width_of(self._connections.seen[table.ordinal].dbapi, table.name) if ids and table.postgres else None
        long = [id_ for id_ in ids if width is not None and len(id_) > width]
        if long:
            raise Stop("too-long", revisions=long[:20], width=width, table=table.name)

    def _steps(self, table: VersionTable, context: Any) -> Iterator[Any]:
        mine = self._connections.seen[table.ordinal]
        for step in table.steps:
            if table.postgres:
                self.watch(lambda work: Aside(of_engine(table.engine, work)))
                # A migration like a dump sets `lock_timeout = 0` for its session, and so for all that follow.
                session.configure(mine.dbapi, self._settings, mine.version)
                if not context.connection.in_transaction():
                    dbapi_of(context.connection.connection).commit()
            self._step, self._running, self._connections.statement, self._connections.commits = step, table, "", 0
            revision = step.revision.revision
            self._channel.say("start", revision=revision, database=self._called(table))
            started = time.monotonic()
            yield step
            self._done.append((table, revision))
            self._step = self._running = None
            seconds = round(time.monotonic() - started, 3)
            self._channel.say("done", revision=revision, database=self._called(table), seconds=seconds)

    def _prove(self, scripts: Scripts) -> None:
        for table in self._tables:
            now = tables_of.heads_of(table)
            left = [step.revision.revision for step in scripts.steps(now, table.destination)]
            if left:
                raise Stop("unproven", state="failed", left=left[:100], external=table.external)
        first = next(iter(tables_of.one_per_database(self._tables)), None)
        if first is not None and self._done:
            with contextlib.suppress(Exception):
                on_fresh(first.engine, self.say_load)

    # The end

    def about(self, error: BaseException) -> dict[str, Any]:
        """Returns the rule and the problem of an error."""
        if self._step is None:
            rule = problems.rule_before_the_first(error)
            if self._connections.recovery:
                rule = "replica"
            return {"rule": rule, "problem": problems.described(error, self._files()), "writes": self._connections.writes[:10]}
        found = problems.described(error, [str(self._step.revision.path)])
        if "statement" not in found and self._connections.statement and problems.sqlstate(error):
            found["statement"] = self._connections.statement
        if self._connections.read_only and found["sqlstate"] == "25006":
            return {"rule": "read-only", "problem": found}
        if isinstance(error, AssertionError) and problems.inside(error, "autocommit_block"):
            return {"rule": "autocommit-in-transaction", "problem": found}
        return {"rule": "migration", "problem": found}

    def _files(self) -> list[str]:
        return [name for name in problems.files_of(sys.exc_info()[1]) if "versions" in name] if sys.exc_info()[1] else []

    def step(self) -> Any:
        """Returns the migration that runs and its table, `None` between two."""
        return (self._step, self._running) if self._step is not None else None

    def went_on_with(self, step: Any) -> None:
        """The migration that ran when the end began."""
        self._step, self._running = step or (None, None)

    def statement(self) -> str:
        """Returns the statement that runs."""
        return self._connections.statement

    def close(self) -> None:
        """Gives out no connection any more."""
        self._connections.close()

    def pids(self) -> list[int]:
        """Returns the database's processes that serve this run."""
        return self._connections.pids

    def fresh(self, work: Callable[[Any], Any], seconds: float) -> Any:
        """Returns `work(dbapi)` on a fresh connection to the first PostgreSQL database."""
        return on_fresh(tables_of.one_per_database(self._tables)[0].engine, work, seconds)

    def end_sessions(self, pids: list[int], seconds: float) -> bool:
        """Ends this run's sessions in every database. Returns whether they are gone."""
        ends = time.monotonic() + seconds

        def work(dbapi: Any) -> bool:
            return ended(dbapi, pids, ends - time.monotonic())

        tables = tables_of.one_per_database(self._tables)
        return all(on_fresh(table.engine, work, max(ends - time.monotonic(), 0.5)) for table in tables)

    def read_now(self, fields: dict[str, Any], seconds: float) -> None:
        """Adds where the database is now, what stayed of the migrations, and which indexes are invalid."""
        step, running = self._step, self._running
        self._read_heads(fields, seconds)
        if step is not None:
            fields["step"] = step.revision.revision
            fields["database"] = self._called(running) if running is not None else ""
            fields["partial"] = self._partial(fields.get("problem", {}))

    def _read_heads(self, fields: dict[str, Any], seconds: float) -> None:
        if not self._tables or self._scripts is None:
            return
        ends = time.monotonic() + seconds
        try:
            heads = [tables_of.heads_of(table, max(ends - time.monotonic(), 0.1)) for table in self._tables]
            fields["at"] = tables_of.joined(heads)
            if self._done or self._step is not None:
                for table, now in zip(self._tables, heads):
                    has = self._scripts.applied(now)
                    stayed = [revision for one, revision in self._done if one is table and revision in has]
                    for piece in listed(stayed):
                        self._channel.say("applied", revisions=piece, database=self._called(table))
                left = tables_of.invalid_in(self._tables, max(ends - time.monotonic(), 0.1))
                fields["invalid"] = [name for name in left if name not in self._invalid][:20]
        except Exception as error:  # the database may be what failed
            fields["unread"] = problems.words(error)

    def _partial(self, problem: dict[str, Any]) -> bool:
        """Returns whether some of the step that failed may stay in the database although its revision does not."""
        transactional = all(table.transactional for table in self._tables)
        # The commit that would have finished the step is counted too, when it is what failed.
        own = 0 if "line" in problem or not problem.get("text") else 1
        return not transactional or self._connections.commits > own


def main(options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
    """Called by `interpreter.start`."""
    Alembic(options, arguments, channel).main()
