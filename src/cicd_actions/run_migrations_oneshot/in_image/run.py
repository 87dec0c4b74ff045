"""One run, whatever tool migrates: how it begins, waits for its lock, and ends, by itself, by a signal or at its time limit."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
from typing import Any, Callable, Iterator, TypeVar

from cicd_actions.run_migrations_oneshot.in_image import health, problems, session
from cicd_actions.run_migrations_oneshot.in_image.aside import Aside
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel
from cicd_actions.run_migrations_oneshot.in_image.guard import ENDING, ENDING_AT_THE_LIMIT, Guard

_T = TypeVar("_T")

LONGEST_PAUSE = 1.0
LOCK_REFUSED = frozenset({"55P03", "40P01"})
"""What PostgreSQL says when `lock_timeout` passed, and to the victim of a deadlock: another attempt may succeed."""


class Stop(BaseException):
    """The run was refused. A BaseException, so that no `except Exception` in an env.py takes it for its own."""

    def __init__(self, rule: str, **fields: Any) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fields = fields


def instead_of(owner: Any, name: str, work: Callable[..., _T], start: Callable[[], Any]) -> _T:
    """Starts a framework's command line, with `work` as the function that its command calls; returns what `work` returned.

    The framework would turn an error of `work` into an exit code, so it is raised once the command line has ended. Raises
    `Stop` where the command never called the function.
    """
    found: list[_T] = []
    failed: list[BaseException] = []

    def call(*words: Any, **options: Any) -> None:
        try:
            found.append(work(*words, **options))
        except BaseException as error:
            failed.append(error)

    setattr(owner, name, call)
    try:
        start()
    except SystemExit:
        if not failed:
            raise
    if failed:
        raise failed[0]
    if not found:
        raise Stop("no-migrations", state="failed")
    return found[0]


def wait_for_lock(
    dbapi: Any,
    channel: Channel,
    seconds: float,
    own: Callable[[], list[int]],
    *,
    take: Callable[[Any], bool] = session.try_lock,
    holders: Callable[[Any], list[dict[str, Any]]] = session.holders,
    commit: bool = True,
) -> None:
    """Takes a lock on this connection, or raises `Stop("lock-held")` after `seconds`. `own`: pids of this very run."""
    end = time.monotonic() + seconds
    pause, told = 0.05, False
    while not take(dbapi):
        who = holders(dbapi)
        if commit:
            # Never wait inside a transaction: the holder's CREATE INDEX CONCURRENTLY would wait for its snapshot.
            dbapi.commit()
        if any(holder["pid"] in own() for holder in who):
            return
        if not told:
            channel.say("waiting-for-lock", holders=who, seconds=seconds, application=not commit)
            told = True
        if time.monotonic() >= end:
            raise Stop("lock-held", holders=who, seconds=seconds, application=not commit)
        time.sleep(min(pause, max(end - time.monotonic(), 0.01)))
        pause = min(pause * 1.5, LONGEST_PAUSE)
    if commit:
        dbapi.commit()


class Run:
    """The part that every tool shares. `options` are those of `program.Options`; `arguments` what stands after the tool."""

    def __init__(self, options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
        self._options = options
        self._arguments = arguments
        self._channel = channel
        self._word = threading.Lock()  # the thread that takes it says how the run ended
        self._unwound = threading.Event()
        self._guard = Guard(self._ended_from_outside)
        self._settings = session.Settings(
            options["application_name"],
            options["lock_timeout"],
            options["statement_timeout"],
            read_only=options["mode"] != "apply",
        )
        self._watching = False
        self._queued, self._longest, self._lag = 0, 0.0, 0.0
        self._wal = ""

    # What each tool does in its own way.

    def work(self) -> str:
        """Does everything, and returns the state: `applied`, `up-to-date` or `planned`. Raises `Stop`, or any error."""
        raise NotImplementedError

    def about(self, error: BaseException) -> dict[str, Any]:
        """Returns the rule and the problem of an error."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Returns the database's processes that serve this run."""
        raise NotImplementedError

    def fresh(self, work: Callable[[Any], Any], seconds: float) -> Any:
        """Returns `work(dbapi)` on a fresh connection. Raises its error, or `TimeoutError`."""
        raise NotImplementedError

    def statement(self) -> str:
        """Returns the statement that runs."""
        return ""

    def close(self) -> None:
        """Gives out no connection any more."""

    def end_sessions(self, pids: list[int], seconds: float) -> bool:
        """Ends this run's sessions in the database. Returns whether they are gone."""
        return bool(self.fresh(lambda dbapi: ended(dbapi, pids, seconds), seconds))

    def read_now(self, fields: dict[str, Any], seconds: float) -> None:
        """Adds to `fields` where the database is now, and says what stayed."""
        raise NotImplementedError

    # The beginning

    def main(self) -> None:
        """Does not return: threads of the application, or of asyncio, must not keep the process."""
        try:
            state = self.work()
        except Stop as stop:
            self._finish(stop.fields.pop("state", "refused"), 1, {"rule": stop.rule, **stop.fields})
        except SystemExit as ended:
            # argparse and Alembic's own CommandLine end this way, and so may an env.py.
            self._finish("failed", 1, {"rule": "exit", "problem": {"text": f"exit code {ended.code}"}})
        except BaseException as error:  # whatever it is has to be said
            problems.show(error)
            self._finish("failed", 1, self.about(error))
        else:
            self._finish(state, 0, {})

    def hello(self, **versions: str) -> None:
        """Says what is loaded."""
        self._channel.say(
            "hello",
            tool=self._options["tool"],
            python=".".join(map(str, sys.version_info[:3])),
            url=bool(os.environ.get(self._options["url_variable"])),
            **versions,
        )

    def waiting_for_database(
        self,
        work: Callable[[], Any],
        connected: Callable[[], bool],
        connecting: Callable[[BaseException], bool] = problems.connecting,
    ) -> Any:
        """Returns `work()`, repeated while the database does not answer yet. Raises `Stop`, or the error of `work`."""
        end = time.monotonic() + self._options["wait_for_database"]
        pause, told = 0.2, False
        while True:
            try:
                return work()
            except Exception as error:
                known = problems.rule_before_the_first(error) != "environment"
                if known or connected() or not connecting(error):
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

    def say_health(self, names: list[str]) -> None:
        """Says what is worth knowing of the tables before the first statement."""

        def look(dbapi: Any) -> dict[str, Any]:
            self._wal = health.attempted(lambda: health.wal_position(dbapi), "")
            return health.before(dbapi, names, self._options["lock_timeout"]) if names else {}

        found = health.attempted(lambda: self.fresh(look, 10.0), {})
        if found:
            self._channel.say("health", **found)

    def pause_before_retry(self, attempt: int) -> float:
        """Returns seconds that grow, with jitter: several migrations that wait for one table should not retry in step."""
        return round(min(2.0**attempt, 10.0) * random.uniform(0.5, 1.5), 2)  # noqa: S311 - no secret depends on it

    def judged(self, about: dict[str, str]) -> dict[str, str]:
        """Returns a migration with the phase that was proven, where that is stricter, or where it declares none."""
        phase = self._options["proven"].get(about["revision"], "")
        return {**about, "phase": phase} if phase == "contract" or (phase and not about["phase"]) else about

    def count_time(self) -> None:
        """The time limit counts from the first call on."""
        self._guard.limit(float(self._options["timeout"]))

    # While it works

    def watch(self, start: Callable[[Callable[[Any], Any]], Any]) -> None:
        """Looks from a separate connection for who blocks the migration and who queues behind it."""
        if not self._watching:
            self._watching = True
            start(self._look)

    def _look(self, dbapi: Any) -> None:
        timeout = self._options["lock_timeout"] / 1000
        pause = min(0.25, max(timeout / 5, 0.02)) if timeout else 0.25
        told: list[Any] = []
        while not self._unwound.wait(pause):
            pids = self.pids()
            found = session.blockers(dbapi, pids) if pids else []
            if found and [one["pid"] for one in found] != told:
                self._channel.say("blocked", by=found[:5])
            told = [one["pid"] for one in found]
            self._measure(dbapi, pids)

    def _measure(self, dbapi: Any, pids: list[int]) -> None:
        if pids:
            count, longest = health.attempted(lambda: health.queue(dbapi, pids), (0, 0.0))
            self._queued, self._longest = max(self._queued, count), max(self._longest, longest)
        lag = health.attempted(lambda: health.replay_lag(dbapi), None)
        self._lag = max(self._lag, lag or 0.0)

    def say_load(self, dbapi: Any) -> None:
        """Says what the migration cost the server. `wal` is the whole server's, in bytes."""
        lag = health.attempted(lambda: health.replay_lag(dbapi), None)
        wal = health.attempted(lambda: health.wal_since(dbapi, self._wal), None) if self._wal else None
        self._channel.say(
            "load",
            wal=wal,
            queued=self._queued,
            longest=round(self._longest, 2),
            lag=None if lag is None else round(max(lag, self._lag), 2),
        )

    # The end

    def _finish(self, state: str, code: int, fields: dict[str, Any]) -> None:
        if not self._word.acquire(blocking=False):
            self._unwound.set()
            threading.Event().wait()  # the guard has the word, and ends the process
        self._unwound.set()
        with self._leaving(code):
            self._flush()
            self._say_end(state, fields, 10.0)

    def _ended_from_outside(self, number: int) -> None:
        """The guard's part, in its thread, while the main one sits in a statement: everything within seconds."""
        if not self._word.acquire(blocking=False):
            return  # the main thread is at its end already
        timed_out = number == int(signal.SIGALRM)
        with self._leaving(1 if timed_out else 128 + number):
            self._end(number, timed_out)

    def _end(self, number: int, timed_out: bool) -> None:
        seconds = ENDING_AT_THE_LIMIT if timed_out else ENDING
        ends = time.monotonic() + seconds
        self._channel.say("ending", why="timeout" if timed_out else "signal", signal=number)
        problem: dict[str, Any] = {"statement": self.statement()} if self.statement() else {}
        step = self.step()
        self.close()
        pids = self.pids()
        gone = True
        if pids:
            try:
                gone = self.end_sessions(pids, seconds / 2)
            except Exception as error:  # the revision is still worth reading
                gone = False
                problem["text"] = problems.words(error)
            # The main thread has lost its connection; what it does with that must be over before the revision is read.
            self._unwound.wait(seconds / 8)
        self.went_on_with(step)
        state = "timeout" if timed_out else "cancelled"
        fields = {"rule": state, "problem": problem, "sessions": pids, "terminated": bool(pids) and gone}
        self._channel.drain(0.2)
        self._say_end(state, fields, ends - time.monotonic())

    def step(self) -> Any:
        """Returns the migration that runs, `None` between two."""
        return None

    def went_on_with(self, step: Any) -> None:
        """The migration that ran when the end began, whatever the main thread made of its lost connection."""

    def _say_end(self, state: str, fields: dict[str, Any], seconds: float) -> None:
        self.read_now(fields, seconds)
        self._channel.say("end", state=state, **fields)

    @contextlib.contextmanager
    def _leaving(self, code: int) -> Iterator[None]:
        """Ends the process after the block, whatever happens in it."""
        try:
            yield
        except BaseException as error:  # the log may have no reader
            code = code or 1
            problems.show(error)
        finally:
            # A handler may wait for its server and hold its lock: a second is what a drain gets.
            with contextlib.suppress(BaseException):
                Aside(logging.shutdown).result(1.0)
            with contextlib.suppress(BaseException):
                self._flush()
            os._exit(code)

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # closed or replaced by the application
                continue
        self._channel.drain()


def ended(dbapi: Any, pids: list[int], seconds: float) -> bool:
    """Terminates sessions and waits until they are gone. Returns whether they are."""
    ends = time.monotonic() + seconds
    session.terminate(dbapi, pids)
    while session.alive(dbapi, pids):
        if time.monotonic() >= ends:
            return False
        time.sleep(0.03)
    return True


def listed(revisions: list[str], size: int = 50) -> list[list[str]]:
    """Returns the revisions in pieces that fit a line."""
    return [revisions[at : at + size] for at in range(0, len(revisions), size)]
