"""What a database administrator looks at before, during and after a migration, asked on one DBAPI connection."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from cicd_actions.run_migrations_oneshot.in_image.session import ask, tell

_MOST = 20


def _literals(tables: Sequence[str]) -> str:
    return ", ".join("'{}'".format(table.replace("'", "''")) for table in tables) or "NULL"


def _oids(tables: Sequence[str]) -> str:
    return f"SELECT to_regclass(name)::oid FROM unnest(ARRAY[{_literals(tables)}]::text[]) AS name"


_EXACT = "pg_total_relation_size(c.oid)"
_ESTIMATED = (
    "(SELECT sum(each.relpages::bigint) * current_setting('block_size')::bigint FROM pg_class each WHERE each.oid IN"
    " (c.oid, c.reltoastrelid) OR each.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid))::bigint"
)


def tables(dbapi: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the tables that exist: name, size with indexes in bytes, estimated rows. The largest first.

    The exact size needs a lock on the table; where another session holds it exclusively, the size of the last vacuum counts.
    """

    def measured(size: str) -> list[tuple[Any, ...]]:
        return ask(
            dbapi,
            f"SELECT c.oid::regclass::text, {size}, greatest(c.reltuples, 0)::bigint FROM pg_class c"
            f" WHERE c.oid IN ({_oids(names)}) ORDER BY 2 DESC LIMIT {_MOST:d}",
        )

    rows = attempted(lambda: measured(_EXACT), None)
    if rows is None:
        rows = measured(_ESTIMATED)
    return [{"table": str(row[0]), "bytes": int(row[1]), "rows": int(row[2])} for row in rows]


def old_transactions(dbapi: Any, names: Sequence[str], milliseconds: int) -> list[dict[str, Any]]:
    """Returns sessions that use these tables in a transaction older than the lock timeout: they would block the migration."""
    rows = ask(
        dbapi,
        "SELECT DISTINCT a.pid, a.application_name, a.usename, a.state, left(a.query, 300),"
        " extract(epoch FROM clock_timestamp() - a.xact_start)::int FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
        # An ordinary autovacuum gives way; `wraparound` finds the other one.
        f" WHERE l.relation IN ({_oids(names)}) AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'"
        f" AND a.xact_start < clock_timestamp() - interval '{milliseconds:d} ms' ORDER BY 6 DESC LIMIT {_MOST:d}",
    )
    keys = ("pid", "application", "user", "state", "query", "seconds")
    return [dict(zip(keys, row)) for row in rows]


def prepared(dbapi: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns prepared transactions that hold a lock on these tables: gid, owner, age in seconds. No session ends them."""
    rows = ask(
        dbapi,
        "SELECT p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::int FROM pg_prepared_xacts p"
        " WHERE p.database = current_database() AND EXISTS (SELECT FROM pg_locks l WHERE l.pid IS NULL"
        f" AND l.relation IN ({_oids(names)}) AND EXISTS (SELECT FROM pg_locks t WHERE t.transactionid = p.transaction"
        f" AND t.virtualtransaction = l.virtualtransaction)) ORDER BY 3 DESC LIMIT {_MOST:d}",
    )
    return [dict(zip(("gid", "user", "seconds"), row)) for row in rows]


def wraparound(dbapi: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns vacuums of these tables that prevent a wraparound: they do not give way to a migration.

    https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
    """
    rows = ask(
        dbapi,
        "SELECT a.pid, p.relid::regclass::text, extract(epoch FROM clock_timestamp() - a.xact_start)::int"
        " FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)"
        f" WHERE p.relid IN ({_oids(names)}) AND a.query LIKE '%to prevent wraparound%' LIMIT {_MOST:d}",
    )
    return [dict(zip(("pid", "table", "seconds"), row)) for row in rows]


def queue(dbapi: Any, pids: Sequence[int]) -> tuple[int, float]:
    """Returns how many sessions wait for these ones, and the longest wait in seconds."""
    listed = ", ".join(f"{pid:d}" for pid in pids)
    rows = ask(
        dbapi,
        "SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - a.query_start)), 0)::float8"
        f" FROM pg_stat_activity a WHERE a.wait_event_type = 'Lock' AND a.pid NOT IN ({listed})"
        f" AND pg_blocking_pids(a.pid) && ARRAY[{listed}]::int[]",
    )
    return int(rows[0][0]), float(rows[0][1])


def wal_position(dbapi: Any) -> str:
    """Returns where the server writes its log now."""
    return str(ask(dbapi, "SELECT pg_current_wal_lsn()::text")[0][0])


def wal_since(dbapi: Any, position: str) -> int:
    """Returns the bytes of log that the whole server wrote since then."""
    literal = position.replace("'", "")
    return int(ask(dbapi, f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{literal}')::bigint")[0][0])


def replay_lag(dbapi: Any) -> float | None:
    """Returns the largest replay lag of a replica in seconds, or `None` where there is no replica."""
    rows = ask(dbapi, "SELECT count(*), coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 FROM pg_stat_replication")
    return float(rows[0][1]) if rows and int(rows[0][0]) else None


def attempted(work: Callable[[], Any], default: Any) -> Any:
    """Returns what `work` returns. A role that may not look must not keep the migration from running."""
    try:
        return work()
    except Exception:  # no kind of error of a report is worth a failed migration
        return default


def before(dbapi: Any, names: Sequence[str], milliseconds: int) -> dict[str, Any]:
    """Returns everything that is worth knowing before the first statement."""
    # This session must never queue for a table: the migration would queue behind it.
    tell(dbapi, "SET lock_timeout = '100ms'")
    tell(dbapi, "SET statement_timeout = '5s'")
    return {
        "tables": attempted(lambda: tables(dbapi, names), []),
        "old": attempted(lambda: old_transactions(dbapi, names, milliseconds), []),
        "prepared": attempted(lambda: prepared(dbapi, names), []),
        "wraparound": attempted(lambda: wraparound(dbapi, names), []),
    }
