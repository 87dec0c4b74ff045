"""Talks to PostgreSQL on one DBAPI connection: settings, the lock, who holds it, who blocks, invalid indexes.

Everything goes through the DBAPI, so it is alike for psycopg, psycopg2 and (through SQLAlchemy's adapter) asyncpg.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

LOCK = 0x63696364_6D696772
"""The key of the advisory lock, alike for every run on a database ("cicdmigr"). Advisory locks are per database:
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every session of a run gets; times in milliseconds, 0 is "no limit"."""

    application_name: str
    lock_timeout: int
    statement_timeout: int
    read_only: bool = False

    def statements(self, version: int) -> list[str]:
        """Returns the statements for a server of that `server_version_num`."""
        found = [
            "SET application_name = '{}'".format(self.application_name.replace("'", "''").replace("\\", "")),
            f"SET lock_timeout = {self.lock_timeout:d}",
            f"SET statement_timeout = {self.statement_timeout:d}",
        ]
        if self.read_only:
            found.append("SET default_transaction_read_only = on")
        # A role's limits for applications must not end a migration that computes in Python between two statements.
        if version >= 90600:
            found.append("SET idle_in_transaction_session_timeout = 0")
        if version >= 170000:
            found.append("SET transaction_timeout = 0")
        if version >= 140000:
            # A server that notices a vanished client ends its statement, and so frees its locks. And the lock's session may
            # be idle for long while a migration works in Python.
            found += ["SET client_connection_check_interval = '2s'", "SET idle_session_timeout = 0"]
        return found


def ask(dbapi: Any, statement: str) -> list[tuple[Any, ...]]:
    """Returns the rows of a query. Texts are `str`, also where the session has the encoding SQL_ASCII: psycopg leaves bytes."""
    cursor = dbapi.cursor()
    try:
        cursor.execute(statement)
        return [tuple(_text(value) for value in row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def tell(dbapi: Any, statement: str) -> None:
    """Runs a statement that returns no rows."""
    cursor = dbapi.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def configure(dbapi: Any, settings: Settings, version: int) -> None:
    """Gives a session its settings. Nothing is committed here."""
    for statement in settings.statements(version):
        tell(dbapi, statement)


def version_of(dbapi: Any) -> int:
    """Returns `server_version_num`: 150008 for 15.8."""
    return int(ask(dbapi, "SHOW server_version_num")[0][0])


def width_of(dbapi: Any, table: str) -> int | None:
    """Returns how many characters the column `version_num` takes; `None` without a limit. `table` is ready for a statement."""
    name = table.replace("'", "''")
    rows = ask(
        dbapi,
        f"SELECT atttypmod - 4 FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass('{name}')"
        " AND attname = 'version_num' AND atttypmod > 4",
    )
    return int(rows[0][0]) if rows else None


def in_recovery(dbapi: Any) -> bool:
    """Returns whether the server is a replica, which cannot be migrated."""
    return bool(ask(dbapi, "SELECT pg_is_in_recovery()")[0][0])


def is_read_only(dbapi: Any) -> bool:
    """Returns whether the role or the database makes the session read-only."""
    return str(ask(dbapi, "SHOW default_transaction_read_only")[0][0]) == "on"


def backend_of(dbapi: Any) -> int:
    """Returns the process that serves the session, as the server says."""
    return int(ask(dbapi, "SELECT pg_backend_pid()")[0][0])


def wire_pid(dbapi: Any) -> int | None:
    """Returns the process id that was sent when the connection was made, or `None` where the driver does not keep it.

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
    """Takes the session's lock if it is free. Never waits: a session that waits for it would hold a snapshot, and the holder's
    CREATE INDEX CONCURRENTLY would wait for that."""
    return bool(ask(dbapi, f"SELECT pg_try_advisory_lock({LOCK:d})")[0][0])


def holders(dbapi: Any, key: int | None = LOCK, *, but: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Returns who holds an advisory lock in this database: pid, application name, user, address, since when.

    `key` is `None` where only the application knows it: then every advisory lock counts. `but`: pids that are left out.
    """
    which = "TRUE"
    if key is not None:
        which = f"l.objsubid = 1 AND l.classid = {key >> 32 & 0xFFFFFFFF:d} AND l.objid = {key & 0xFFFFFFFF:d}"
    skipped = ", ".join(f"{pid:d}" for pid in (0, *but))
    rows = ask(
        dbapi,
        "SELECT DISTINCT a.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'local'),"
        " to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'"
        f" FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND {which}"
        f" AND a.pid NOT IN ({skipped}) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    names = ("pid", "application", "user", "address", "since")
    return [dict(zip(names, row)) for row in rows]


def blockers(dbapi: Any, pids: list[int]) -> list[dict[str, Any]]:
    """Returns who keeps these sessions waiting for a lock now, and for what statement of theirs."""
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
    """Returns indexes that a concurrent build left half-made, quoted and with their schema, as DROP INDEX takes them.

    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    rows = ask(
        dbapi,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        # One that a session is building right now is not valid yet, and was not left behind.
        " WHERE NOT i.indisvalid AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS"
        " (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) ORDER BY 1",
    )
    return [str(row[0]) for row in rows]


def schema_of(dbapi: Any, table: str) -> str | None:
    """Returns the schema in which the session's search path finds a table, both quoted; `None` when it finds none."""
    literal = table.replace("'", "''")
    rows = ask(
        dbapi,
        "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.oid = to_regclass('{literal}')",
    )
    return str(rows[0][0]) if rows else None


def current_schema(dbapi: Any) -> str:
    """Returns the first schema of the session's search path that exists, empty where none does."""
    return str(ask(dbapi, "SELECT coalesce(current_schema()::text, '')")[0][0])


def terminate(dbapi: Any, pids: list[int]) -> None:
    """Ends sessions; the database undoes what they had not committed, and frees their locks."""
    ask(dbapi, "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{}]) AS pid".format(", ".join(f"{pid:d}" for pid in pids)))


def alive(dbapi: Any, pids: list[int]) -> int:
    """Returns how many of these sessions are still there."""
    listed = ", ".join(f"{pid:d}" for pid in pids)
    return int(ask(dbapi, f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({listed})")[0][0])
