"""One run: preflight, the migrations under the lock, the proof; or its end by a signal or the time limit.

env.py runs twice. The first time changes nothing: it shows which of its connections migrates, where the database is, and what
is pending. The second time takes the lock on that connection as soon as it is made, and then does what `alembic upgrade` does.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any, Iterator

from cicd_actions.run_migrations_oneshot.in_image import places as at_places
from cicd_actions.run_migrations_oneshot.in_image import problems, session
from cicd_actions.run_migrations_oneshot.in_image.aside import Aside, dbapi_of
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel, chunks
from cicd_actions.run_migrations_oneshot.in_image.connections import Connections, Stop
from cicd_actions.run_migrations_oneshot.in_image.guard import ENDING, ENDING_AT_THE_LIMIT, Guard
from cicd_actions.run_migrations_oneshot.in_image.places import Place
from cicd_actions.run_migrations_oneshot.in_image.scripts import PHASES, Scripts

LOCK_NOT_AVAILABLE = "55P03"


class Run:
    """One run of the program. `options` are those of `program.Options`; `arguments` what stands after `alembic`."""

    def __init__(self, options: dict[str, Any], arguments: list[str]) -> None:
        self._options = options
        self._arguments = arguments
        self._channel = Channel(str(options["nonce"]))
        self._word = threading.Lock()  # whoever takes it says how the run ended
        self._unwound = threading.Event()
        self._guard = Guard(self._ended_from_outside)
        settings = session.Settings(options["application_name"], options["lock_timeout"], options["statement_timeout"])
        self._connections = Connections(settings, self._channel, options["wait_for_lock"], self._count_from_now)
        self._scripts: Scripts | None = None
        self._places: list[Place] = []
        self._invalid: list[str] = []
        self._done: list[str] = []
        self._step: Any = None
        self._watching = False

    def main(self) -> None:
        """Does not return: threads of the application, or of asyncio, shall not keep the process."""
        try:
            state = self._run()
        except Stop as stop:
            self._finish(stop.fields.pop("state", "refused"), 1, {"rule": stop.rule, **stop.fields})
        except SystemExit as ended:
            # argparse and Alembic's own CommandLine end this way, and so may an env.py.
            self._finish("failed", 1, {"rule": "exit", "problem": {"text": f"it ended itself with exit code {ended.code}"}})
        except BaseException as error:  # noqa: BLE001 - whatever it is has to be said
            problems.show(error)
            self._finish("failed", 1, self._about(error))
        else:
            self._finish(state, 0, {})

    def _run(self) -> str:
        import alembic  # noqa: PLC0415 - what is loaded is what is reported
        import sqlalchemy  # noqa: PLC0415

        version = ".".join(map(str, sys.version_info[:3]))
        self._channel.say(
            "hello",
            python=version,
            alembic=alembic.__version__,
            sqlalchemy=sqlalchemy.__version__,
            url=bool(os.environ.get(self._options["url_variable"])),
        )
        self._connections.listen()
        self._scripts = scripts = Scripts(self._arguments)
        heads = scripts.heads()
        if len(heads) > 1 and self._options["single_head"]:
            raise Stop("heads", heads=[scripts.about(head) for head in heads])
        self._preflight(scripts)
        self._channel.say("preflight", heads=heads, **self._summary())
        pending = self._pending(scripts, self._places)
        for about in pending:
            self._channel.say("pending", **about)
        if self._options["sql"] and pending:
            self._render(scripts)
        self._judge(scripts, self._places)
        if not pending:
            return "up-to-date"
        if self._options["mode"] != "apply":
            return "planned"
        self._apply_with_retries(scripts)
        self._prove(scripts)
        return "applied" if self._done else "up-to-date"

    # Preflight

    def _preflight(self, scripts: Scripts) -> None:
        end = time.monotonic() + self._options["wait_for_database"]
        pause, told = 0.2, False
        while True:
            try:
                self._places = self._through(scripts, dont_mutate=True)
                break
            except Exception as error:
                if self._connections.seen or not problems.connecting(error):
                    raise
                again = problems.passes(error)
                if not again or time.monotonic() >= end:
                    problems.show(error)
                    rule = "database-unreachable" if again else "database-refused"
                    raise Stop(rule, state="failed", problem=problems.described(error, [])) from None
                if not told:
                    self._channel.say("waiting-for-database", problem=problems.words(error))
                    told = True
                time.sleep(min(pause, max(end - time.monotonic(), 0.01)))
                pause = min(pause * 1.5, 2.0)
        if not self._places:
            raise Stop("no-migrations", state="failed")
        self._connections.migrates({place.ordinal for place in self._places if place.postgres})
        self._invalid = at_places.invalid_in(self._places) if any(place.steps for place in self._places) else []

    def _through(self, scripts: Scripts, **options: Any) -> list[Place]:
        found: list[Place] = []

        def work(at: Any, context: Any) -> list[Any]:
            found.append(at_places.place_of(context, at, scripts, self._connections, scripts.destination))
            return []

        self._connections.begin()
        scripts.run(work, **options)
        return found

    def _summary(self) -> dict[str, Any]:
        first = self._places[0]
        found = self._connections.seen[first.ordinal]
        return {
            "dialect": first.engine.dialect.name,
            "driver": first.engine.dialect.driver,
            "server": found.version,
            "at": at_places.joined([place.before for place in self._places]),
            "places": len(self._places),
            "external": first.external,
            "transactional": first.transactional,
            "invalid": self._invalid,
        }

    def _pending(self, scripts: Scripts, places: list[Place]) -> list[dict[str, str]]:
        revisions = [step.revision.revision for place in places for step in place.steps]
        return [scripts.about(revision) for revision in dict.fromkeys(revisions)]

    def _judge(self, scripts: Scripts, places: list[Place]) -> None:
        """Refuse what must not be applied. Asked again under the lock: another run may have moved the database meanwhile."""
        unknown = scripts.unknown(revision for place in places for revision in place.before)
        if unknown:
            raise Stop("ahead", unknown=unknown)
        pending = self._pending(scripts, places)
        strange = [about for about in pending if about["phase"] not in PHASES]
        if strange:
            raise Stop("phase", revisions=strange[:20])
        contract = [about["revision"] for about in pending if about["phase"] == "contract"]
        if contract and not self._options["contract"]:
            raise Stop("contract", revisions=contract[:100])

    def _render(self, scripts: Scripts) -> None:
        first = self._places[0]
        reason = ""
        if len(self._places) > 1:
            reason = "env.py migrates several places"
        elif len(first.before) > 1:
            reason = "the database is at several heads"
        else:
            try:
                text = scripts.rendered(first.before, first.destination)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a migration may do anything, and need a database for it
                reason = f"{type(error).__name__}: {problems.words(error)}"
            else:
                for piece in chunks(text):
                    self._channel.say("sql", text=piece)
        if reason:
            self._channel.say("no-sql", reason=reason)

    # The migrations

    def _apply_with_retries(self, scripts: Scripts) -> None:
        left, pause = int(self._options["lock_retries"]), 1.0
        while True:
            try:
                return self._apply(scripts)
            except Exception as error:
                if left <= 0 or problems.sqlstate(error) != LOCK_NOT_AVAILABLE or not self._stands_still():
                    raise
                self._channel.say("retry", left=left, seconds=pause, problem=problems.words(error))
                left -= 1
                self._step = None
                self._done.clear()
                # Not while holding the lock's session: others shall have their turn meanwhile.
                self._connections.forget_pools()
                time.sleep(pause)
                pause = min(pause * 2, 10.0)

    def _stands_still(self) -> bool:
        now = [at_places.heads_of(place) for place in self._places]
        moved = now != [place.before for place in self._places]
        return not moved and not set(at_places.invalid_in(self._places)) - set(self._invalid)

    def _apply(self, scripts: Scripts) -> None:
        found: list[Place] = []
        settled = [place.destination for place in self._places]

        def work(at: Any, context: Any) -> Iterator[Any]:
            destination = settled[len(found)] if len(found) < len(settled) else scripts.destination
            place = at_places.place_of(context, at, scripts, self._connections, destination)
            expected = self._places[len(found)].before if len(found) < len(self._places) else place.before
            if place.before != expected:
                self._channel.say("moved", at=place.before, left=len(place.steps))
            found.append(place)
            self._places[len(found) - 1 : len(found)] = [place]
            self._judge(scripts, [place])
            session_of = self._connections.seen[place.ordinal]
            if place.postgres and not session_of.locked:
                raise Stop("connection")
            return self._steps(place, context)

        if not any(place.postgres for place in self._places):
            self._count_from_now()
        self._connections.begin()
        scripts.run(work)

    def _steps(self, place: Place, context: Any) -> Iterator[Any]:
        mine = self._connections.seen[place.ordinal]
        for step in place.steps:
            if place.postgres:
                self._watch(place)
                # A migration like a dump sets `lock_timeout = 0` for its session, and so for all that follow.
                session.configure(mine.dbapi, self._settings_of_run, mine.version)
                if not context.connection.in_transaction():
                    dbapi_of(context.connection.connection).commit()
            self._step, self._connections.statement, self._connections.commits = step, "", 0
            self._channel.say("start", revision=step.revision.revision)
            started = time.monotonic()
            yield step
            self._done.append(step.revision.revision)
            self._step = None
            self._channel.say("done", revision=step.revision.revision, seconds=round(time.monotonic() - started, 3))

    @property
    def _settings_of_run(self) -> session.Settings:
        options = self._options
        return session.Settings(options["application_name"], options["lock_timeout"], options["statement_timeout"])

    def _watch(self, place: Place) -> None:
        if not self._watching:
            self._watching = True
            Aside(place.engine, self._look_for_blockers)

    def _look_for_blockers(self, dbapi: Any) -> None:
        timeout = self._options["lock_timeout"] / 1000
        pause = min(0.25, max(timeout / 5, 0.02)) if timeout else 0.25
        told: list[Any] = []
        while not self._unwound.is_set():
            time.sleep(pause)
            pids = self._connections.pids
            found = session.blockers(dbapi, pids) if pids else []
            if found and [one["pid"] for one in found] != told:
                self._channel.say("blocked", by=found[:5])
            told = [one["pid"] for one in found]

    def _prove(self, scripts: Scripts) -> None:
        for place in self._places:
            now = at_places.heads_of(place)
            left = [step.revision.revision for step in scripts.steps(now, place.destination)]
            if left:
                raise Stop("unproven", state="failed", left=left[:100], external=place.external)

    # The end

    def _about(self, error: BaseException) -> dict[str, Any]:
        files = [str(self._step.revision.path)] if self._step is not None else []
        found = problems.described(error, files)
        if "statement" not in found and self._step is not None and self._connections.statement:
            found["statement"] = self._connections.statement
        return {"rule": "migration" if self._step is not None else "environment", "problem": found}

    def _finish(self, state: str, code: int, fields: dict[str, Any]) -> None:
        if not self._word.acquire(blocking=False):
            self._unwound.set()
            threading.Event().wait()  # the guard has the word, and ends the process
        self._unwound.set()
        self._say_end(state, fields, 10.0)
        self._leave(code)

    def _ended_from_outside(self, number: int) -> None:
        """The guard's part, in its thread, while the main one sits in a statement: everything within seconds."""
        if not self._word.acquire(blocking=False):
            return  # the main thread is at its end already
        import signal  # noqa: PLC0415 - beside its only use

        timed_out = number == int(signal.SIGALRM)
        seconds = ENDING_AT_THE_LIMIT if timed_out else ENDING
        ends = time.monotonic() + seconds
        self._channel.say("ending", why="timeout" if timed_out else "signal", signal=number)
        problem: dict[str, Any] = {"statement": self._connections.statement} if self._connections.statement else {}
        step = self._step
        self._connections.close()
        pids = self._connections.pids
        gone = True
        if pids and self._places:
            try:
                gone = at_places.end_sessions(self._places, pids, seconds / 2)
            except Exception as error:  # noqa: BLE001 - the revision is still worth reading
                gone = False
                problem["text"] = problems.words(error)
            # The main thread has lost its connection; what it does with that shall be over before the revision is read.
            self._unwound.wait(seconds / 8)
        self._step = step
        state = "timeout" if timed_out else "cancelled"
        fields = {"rule": state, "problem": problem, "sessions": pids, "terminated": bool(pids) and gone}
        self._say_end(state, fields, ends - time.monotonic())
        self._leave(1 if timed_out else 128 + number)

    def _say_end(self, state: str, fields: dict[str, Any], seconds: float) -> None:
        self._read_now(fields, seconds)
        step = self._step
        if step is not None:
            fields["step"] = step.revision.revision
            fields["partial"] = self._partial(fields.get("problem", {}))
        self._channel.say("end", state=state, **fields)

    def _read_now(self, fields: dict[str, Any], seconds: float) -> None:
        if not self._places or self._scripts is None:
            return
        ends = time.monotonic() + seconds
        try:
            now = at_places.joined([at_places.heads_of(place, max(ends - time.monotonic(), 0.1)) for place in self._places])
            fields["at"] = now
            if self._done or self._step is not None:
                has = self._scripts.applied(now)
                for piece in _listed([revision for revision in self._done if revision in has]):
                    self._channel.say("applied", revisions=piece)
                left = at_places.invalid_in(self._places, max(ends - time.monotonic(), 0.1))
                fields["invalid"] = [name for name in left if name not in self._invalid][:20]
        except Exception as error:  # noqa: BLE001 - the database may be what failed
            fields["unread"] = problems.words(error)

    def _partial(self, problem: dict[str, Any]) -> bool:
        """Whether some of the step that failed may stay in the database although its revision does not."""
        transactional = all(place.transactional for place in self._places)
        # The commit that would have finished the step is counted too, when it is what failed.
        own = 0 if "line" in problem or not problem.get("text") else 1
        return not transactional or self._connections.commits > own

    def _count_from_now(self) -> None:
        self._guard.limit(float(self._options["timeout"]))

    def _leave(self, code: int) -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # closed or replaced by the application
                continue
        os._exit(code)


def _listed(revisions: list[str], size: int = 50) -> list[list[str]]:
    return [revisions[at : at + size] for at in range(0, len(revisions), size)]


def main(options: dict[str, Any], arguments: list[str]) -> None:
    """Called by the text that `program.py` makes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    Run(options, arguments).main()
