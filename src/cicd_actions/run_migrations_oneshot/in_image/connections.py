"""Meets every connection that the application's env.py makes: gives it its settings, and takes the lock where one migrates.

SQLAlchemy's `engine_connect` fires for every engine, pool, `creator=` and driver, before env.py can begin a transaction, so the
lock is on the migration's own connection and is held before Alembic reads the revision. A lock on a connection of our own would
be freed when this process is killed, while the migration's statement still works in the database.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Callable

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cicd_actions.run_migrations_oneshot.in_image import session
from cicd_actions.run_migrations_oneshot.in_image.aside import dbapi_of
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel

LONGEST_PAUSE = 1.0


class Stop(BaseException):
    """Refused before anything moved. A BaseException, so that no `except Exception` in an env.py takes it for its own."""

    def __init__(self, rule: str, **fields: Any) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fields = fields


@dataclasses.dataclass
class Session:
    """One connection as env.py got it. `pid` is that of the PostgreSQL process which serves it, `None` for other databases."""

    engine: Any
    dbapi: Any
    pid: int | None = None
    version: int = 0
    locked: bool = False


class Connections:
    """Every connection of one run through env.py, in the order in which they were made."""

    def __init__(self, settings: session.Settings, channel: Channel, wait_for_lock: float, on_lock: Callable[[], None]) -> None:
        self._settings = settings
        self._channel = channel
        self._wait = wait_for_lock
        self._on_lock = on_lock
        self._migrating: set[int] = set()
        self._closed = False
        self.seen: list[Session] = []
        self.statement = ""
        self.commits = 0

    def listen(self) -> None:
        """Be told by every engine of this process."""
        event.listen(Engine, "engine_connect", self._connected)
        event.listen(Engine, "before_cursor_execute", self._executes)
        event.listen(Engine, "commit", self._commits)

    def begin(self) -> None:
        """env.py is about to run (again)."""
        self.forget_pools()
        self.seen = []

    def forget_pools(self) -> None:
        """Nothing that was connected stays in a pool: env.py may use an engine that the application keeps, and a connection of
        asyncpg belongs to the event loop that made it, which is gone."""
        for engine in {id(found.engine): found.engine for found in self.seen}.values():
            if getattr(engine.dialect, "is_async", False):
                engine.dispose(close=False)
            else:
                engine.dispose()

    def close(self) -> None:
        """From now on no connection is given out: an env.py that goes on to its next tenant after an error shall not."""
        self._closed = True

    def migrates(self, ordinals: set[int]) -> None:
        """These connections, by their order, run migrations: from now on the lock is taken on them."""
        self._migrating = ordinals

    def ordinal(self, connection: Any) -> int:
        """Which of the connections this is. A pool may have given the same one out twice: the last time counts."""
        dbapi = dbapi_of(connection.connection)
        for at in range(len(self.seen) - 1, -1, -1):
            if self.seen[at].dbapi is dbapi:
                return at
        raise Stop("connection")

    @property
    def pids(self) -> list[int]:
        """The PostgreSQL processes that serve this run's connections."""
        return [found.pid for found in self.seen if found.pid is not None]

    def _connected(self, connection: Any, *_branch: Any) -> None:
        found = Session(connection.engine, dbapi_of(connection.connection))
        at = len(self.seen)
        self.seen.append(found)
        self._channel.hide(str(connection.engine.url.password or ""))
        postgres = connection.dialect.name == "postgresql"
        if postgres:
            found.version = session.version_of(found.dbapi)
            found.pid = session.backend_of(found.dbapi)
        # After the pid is known: whoever closes from here on ends this session too.
        if self._closed:
            raise SystemExit("the run is being ended")
        if postgres:
            self._prepare(found, migrating=at in self._migrating)

    def _prepare(self, found: Session, *, migrating: bool) -> None:
        wire = session.wire_pid(found.dbapi)
        if wire is not None and wire != found.pid:
            # Settings and a session's lock would stay behind in the pooler's connection, for whoever gets it next.
            found.dbapi.commit()
            raise Stop("pooler", host=str(found.engine.url.host or ""), port=found.engine.url.port)
        session.configure(found.dbapi, self._settings, found.version)
        # An open transaction would make the settings revocable, and Alembic believe that env.py owns the transaction.
        found.dbapi.commit()
        if migrating:
            self._lock(found)

    def _lock(self, found: Session) -> None:
        end = time.monotonic() + self._wait
        pause, told = 0.05, False
        while not session.try_lock(found.dbapi):
            who = session.holders(found.dbapi)
            # Never wait inside a transaction: the holder's CREATE INDEX CONCURRENTLY would wait for its snapshot.
            found.dbapi.commit()
            if any(holder["pid"] in self.pids for holder in who):
                return self._had(found)  # another connection of this very run
            if not told:
                self._channel.say("waiting-for-lock", holders=who, seconds=self._wait)
                told = True
            if time.monotonic() >= end:
                raise Stop("lock-held", holders=who, seconds=self._wait)
            time.sleep(min(pause, max(end - time.monotonic(), 0.01)))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        found.dbapi.commit()
        return self._had(found)

    def _had(self, found: Session) -> None:
        found.locked = True
        self._channel.say("lock", pid=found.pid)
        self._on_lock()

    def _executes(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statement = statement

    def _commits(self, _connection: Any) -> None:
        self.commits += 1
