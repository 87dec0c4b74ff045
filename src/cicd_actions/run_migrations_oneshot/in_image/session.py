"""What is said to PostgreSQL on one DBAPI connection: settings, the lock, who holds it, who blocks, invalid indexes.

Everything goes through the DBAPI, so it is alike for psycopg, psycopg2 and (through SQLAlchemy's adapter) asyncpg.
"""

from __future__ import annotations

import dataclasses
from typing import Any

LOCK = 0x63696364_6D696772
"""The key of the advisory lock, alike for every run on a database ("cicdmigr"). Advisory locks are per database:
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every session of a run gets; times in milliseconds, 0 is "no limit"."""

    application_name: str
    lock_timeout: int
    statement_timeout: int

    def statements(self, version: int) -> list[str]:
        """The statements for a server of that `server_version_num`."""
        found = [
            "SET application_name = '{}'".format(self.application_name.replace("'", "''").replace("\\", "")),
            f"SET lock_timeout = {self.lock_timeout:d}",
            f"SET statement_timeout = {self.statement_timeout:d}",
        ]
        if version >= 140000:
            # A server that notices a vanished client ends its statement, and so frees its locks. And the lock's session may
            # be idle for long while a migration works in Python.
            found += ["SET client_connection_check_interval = '2s'", "SET idle_session_timeout = 0"]
        return found


def ask(dbapi: Any, statement: str) -> list[tuple[Any, ...]]:
    """The rows that a query gives."""
    cursor = dbapi.cursor()
    try:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def tell(dbapi: Any, statement: str) -> None:
    """Run a statement that gives no rows."""
    cursor = dbapi.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def configure(dbapi: Any, settings: Settings, version: int) -> None:
    """Give a session its settings. Nothing is committed here."""
    for statement in settings.statements(version):
        tell(dbapi, statement)


def version_of(dbapi: Any) -> int:
    """`server_version_num`: 150008 for 15.8."""
    return int(ask(dbapi, "SHOW server_version_num")[0][0])


def backend_of(dbapi: Any) -> int:
    """The process that serves the session, by its own word."""
    return int(ask(dbapi, "SELECT pg_backend_pid()")[0][0])


def wire_pid(dbapi: Any) -> int | None:
    """The process id that was sent when the connection was made, or `None` where the driver does not keep it.

    PostgreSQL sends that of the backend; a pooler answers for itself and sends another number:
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP (BackendKeyData)
    """
    raw = getattr(dbapi, "driver_connection", None) or getattr(dbapi, "_connection", None) or dbapi
    if hasattr(raw, "get_server_pid"):  # asyncpg
        return int(raw.get_server_pid())
    if hasattr(raw, "get_backend_pid"):  # psycopg2
        return int(raw.get_backend_pid())
    pid = getattr(getattr(raw, "info", None), "backend_pid", None)  # psycopg
    return int(pid) if pid is not None else None


def try_lock(dbapi: Any) -> bool:
    """Take the session's lock if it is free. Never waits: a session that waits for it would hold a snapshot, and the holder's
    CREATE INDEX CONCURRENTLY would wait for that."""
    return bool(ask(dbapi, f"SELECT pg_try_advisory_lock({LOCK:d})")[0][0])


def holders(dbapi: Any) -> list[dict[str, Any]]:
    """Who holds the lock in this database: pid, application name, user, address, since when."""
    rows = ask(
        dbapi,
        "SELECT a.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'local'),"
        " to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        f" AND l.classid = {LOCK >> 32:d} AND l.objid = {LOCK & 0xFFFFFFFF:d}"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    names = ("pid", "application", "user", "address", "since")
    return [dict(zip(names, row)) for row in rows]


def blockers(dbapi: Any, pids: list[int]) -> list[dict[str, Any]]:
    """Who keeps these sessions waiting for a lock now, and for what statement of theirs."""
    listed = ", ".join(f"{pid:d}" for pid in pids)
    rows = ask(
        dbapi,
        "SELECT b.pid, b.application_name, b.usename, b.state, left(b.query, 300),"
        " extract(epoch FROM clock_timestamp() - b.xact_start)::int, left(a.query, 300)"
        " FROM pg_stat_activity a JOIN pg_stat_activity b ON b.pid = ANY (pg_blocking_pids(a.pid))"
        f" WHERE a.pid IN ({listed}) AND a.wait_event_type = 'Lock'",
    )
    names = ("pid", "application", "user", "state", "query", "seconds", "waiting")
    return [dict(zip(names, row)) for row in rows]


def invalid_indexes(dbapi: Any) -> list[str]:
    """Indexes that a concurrent build left half-made, quoted and with their schema, as DROP INDEX takes them.

    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    rows = ask(
        dbapi,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        # One that a session is building right now is not valid yet; nobody left it behind.
        " WHERE NOT i.indisvalid AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS"
        " (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) ORDER BY 1",
    )
    return [str(row[0]) for row in rows]


def schema_of(dbapi: Any, table: str) -> str | None:
    """The schema in which the session's search path finds a table (given quoted), itself quoted; `None` when it finds none."""
    literal = table.replace("'", "''")
    rows = ask(
        dbapi,
        "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.oid = to_regclass('{literal}')",
    )
    return str(rows[0][0]) if rows else None


def terminate(dbapi: Any, pids: list[int]) -> None:
    """End sessions; the database undoes what they had not committed, and frees their locks."""
    ask(dbapi, "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{}]) AS pid".format(", ".join(f"{pid:d}" for pid in pids)))


def alive(dbapi: Any, pids: list[int]) -> int:
    """How many of these sessions are still there."""
    listed = ", ".join(f"{pid:d}" for pid in pids)
    return int(ask(dbapi, f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({listed})")[0][0])
