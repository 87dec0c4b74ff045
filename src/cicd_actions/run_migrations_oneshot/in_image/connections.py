"""Meets every connection that the application's env.py makes: gives it its settings, and takes the lock where one migrates.

SQLAlchemy's `engine_connect` fires for every engine, pool, `creator=` and driver, before env.py can begin a transaction, so the
lock is on the migration's own connection and is held before Alembic reads the revision. A lock on a separate connection would
be freed when this process is killed, while the migration's statement still works in the database.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Callable

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cicd_actions.run_migrations_oneshot.in_image import session
from cicd_actions.run_migrations_oneshot.in_image.aside import dbapi_of
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel
from cicd_actions.run_migrations_oneshot.in_image.run import Stop, wait_for_lock

_WRITES = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*(CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|INSERT|UPDATE|DELETE)\b", re.IGNORECASE
)
_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)
_ADVISORY = re.compile(r"\bpg_advisory_(?=(?:xact_)?lock(?:_shared)?\b)", re.IGNORECASE)
_KEY = re.compile(r"lock(?:_shared)?\s*\(\s*(-?\d+)\s*\)")

_READ_ONLY = {
    # https://www.sqlite.org/pragma.html#pragma_query_only
    "sqlite": "PRAGMA query_only = ON",
    # https://dev.mysql.com/doc/refman/8.4/en/set-transaction.html
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}
"""How a session of another database than PostgreSQL becomes read-only."""


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

    def __init__(self, settings: session.Settings, channel: Channel, wait: float, on_lock: Callable[[], None]) -> None:
        self._settings = settings
        self._channel = channel
        self._wait = wait
        self._on_lock = on_lock
        self._migrating: set[int] = set()
        self._closed = False
        self.seen: list[Session] = []
        self.statement = ""
        self.commits = 0
        self.writes: list[str] = []
        self.recovery: bool | None = None
        self.read_only = False

    def listen(self) -> None:
        """Listens to every engine of this process."""
        event.listen(Engine, "do_connect", self._opens)
        event.listen(Engine, "engine_connect", self._connected)
        event.listen(Engine, "before_cursor_execute", self._executes, retval=True)
        event.listen(Engine, "commit", self._commits)

    def begin(self) -> None:
        """env.py is about to run (again)."""
        self.forget_pools()
        self.seen = []

    def forget_pools(self) -> None:
        """Empties the pools: env.py may use an engine that the application keeps, and a connection of asyncpg belongs to the
        event loop that made it, which is gone."""
        for engine in {id(found.engine): found.engine for found in self.seen}.values():
            if getattr(engine.dialect, "is_async", False):
                engine.dispose(close=False)
            else:
                engine.dispose()

    def close(self) -> None:
        """Gives out no connection from now on: an env.py that goes on to its next tenant after an error must not."""
        self._closed = True

    def migrates(self, ordinals: set[int]) -> None:
        """Takes the lock from now on on these connections, given by their order: they run migrations."""
        self._migrating = ordinals

    def ordinal(self, connection: Any) -> int:
        """Returns which of the connections this is. A pool may have given the same one out twice: the last time counts."""
        dbapi = dbapi_of(connection.connection)
        for at in range(len(self.seen) - 1, -1, -1):
            if self.seen[at].dbapi is dbapi:
                return at
        raise Stop("connection")

    @property
    def pids(self) -> list[int]:
        """The PostgreSQL processes that serve this run's connections."""
        return [found.pid for found in self.seen if found.pid is not None]

    def _opens(self, _dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        if parameters.get("password") == "***":  # what SQLAlchemy writes in the text of a URL
            raise Stop("masked-password", state="failed")

    def _connected(self, connection: Any, *_branch: Any) -> None:
        found = Session(connection.engine, dbapi_of(connection.connection))
        at = len(self.seen)
        self.seen.append(found)
        for secret in (connection.engine.url.password, connection.engine.url.query.get("password")):
            self._channel.hide(str(secret or ""))
        name = connection.dialect.name
        if name == "postgresql":
            found.version = session.version_of(found.dbapi)
            found.pid = session.backend_of(found.dbapi)
        # After the pid is known: closing from here on ends this session too.
        if self._closed:
            raise SystemExit("the run is being ended")
        if name == "postgresql":
            self._prepare(found, migrating=at in self._migrating)
        elif self._settings.read_only and name in _READ_ONLY:
            session.tell(found.dbapi, _READ_ONLY[name])

    def _prepare(self, found: Session, *, migrating: bool) -> None:
        wire = session.wire_pid(found.dbapi)
        if wire is not None and wire != found.pid:
            # Settings and a session's lock would stay behind in the pooler's connection, for the client that gets it next.
            found.dbapi.commit()
            raise Stop("pooler", host=str(found.engine.url.host or ""), port=found.engine.url.port)
        self.recovery = bool(self.recovery) or session.in_recovery(found.dbapi)
        self.read_only = self.read_only or session.is_read_only(found.dbapi)
        session.configure(found.dbapi, self._settings, found.version)
        # An open transaction would make the settings revocable, and Alembic believe that env.py owns the transaction.
        found.dbapi.commit()
        if migrating:
            wait_for_lock(found.dbapi, self._channel, self._wait, lambda: self.pids)
            found.locked = True
            self._channel.say("lock", pid=found.pid)
            self._on_lock()

    def _executes(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> tuple[str, Any]:
        self.statement = statement
        if self._settings.read_only and not executemany and _WRITES.match(statement) and not _RETURNS.search(statement):
            # A dry run goes on without it. What is not recognised here, the read-only session refuses.
            self.writes.append(" ".join(statement.split())[:300])
            return "SELECT 1", type(parameters)()
        if connection.dialect.name == "postgresql" and _ADVISORY.search(statement):
            self._lock_of_application(dbapi_of(connection.connection), cursor, statement, parameters)
            return "SELECT 1", type(parameters)()
        return statement, parameters

    def _lock_of_application(self, dbapi: Any, cursor: Any, statement: str, parameters: Any) -> None:
        """Waits for an advisory lock that env.py takes, like for ours: never inside the statement, and naming its holder."""
        attempt = _ADVISORY.sub("pg_try_advisory_", statement)
        key = _KEY.search(statement)

        def take(_dbapi: Any) -> bool:
            cursor.execute(attempt, parameters)
            row = cursor.fetchone()
            return row is not None and False not in tuple(row)

        def holders(one: Any) -> Any:
            return session.holders(one, int(key[1]) if key else None, but=self.pids)

        wait_for_lock(dbapi, self._channel, self._wait, list, take=take, holders=holders, commit=False)

    def _commits(self, _connection: Any) -> None:
        self.commits += 1
