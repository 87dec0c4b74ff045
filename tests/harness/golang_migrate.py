"""Stands in for golang-migrate, which no registry of these tests offers: its command line, its table and its lock.

`migrate -path FOLDER -database URL [-lock-timeout SECONDS] up|version` on PostgreSQL. Like the original it keeps one row in
`schema_migrations` (version, dirty), marks it dirty while a file runs, and sends a file as one query. It holds a session-level
advisory lock while it migrates, and prints to standard error:
https://github.com/golang-migrate/migrate/tree/master/database/postgres
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import psycopg  # only the interpreter that runs this program has it

LOCK = 4242


def ended(what: str) -> None:
    print(f"error: {what}", file=sys.stderr)  # noqa: T201 - what the tool prints
    sys.exit(1)


def migrated(connection: Any, folder: Path) -> None:
    at = connection.execute("SELECT version, dirty FROM schema_migrations").fetchone()
    if at and at[1]:
        ended(f"Dirty database version {at[0]}. Fix and force version.")
    files = {int(path.name.partition("_")[0]): path for path in folder.glob("*.up.sql")}
    left = [number for number in sorted(files) if at is None or number > at[0]]
    if not left:
        print("no change", file=sys.stderr)  # noqa: T201 - what the tool prints
    for number in left:
        mark(connection, number, dirty=True)
        try:
            connection.execute(files[number].read_bytes())
        except psycopg.Error as error:
            ended(f"migration failed: {error}")
        mark(connection, number, dirty=False)


def mark(connection: Any, number: int, *, dirty: bool) -> None:
    with connection.transaction():
        connection.execute("TRUNCATE schema_migrations")
        connection.execute("INSERT INTO schema_migrations VALUES (%s, %s)", (number, dirty))


def main() -> None:
    parser = argparse.ArgumentParser(prefix_chars="-")
    parser.add_argument("-path", type=Path, required=True)
    parser.add_argument("-database", required=True)
    parser.add_argument("-lock-timeout", type=float, default=15)
    parser.add_argument("command", choices=["up", "version"])
    words = parser.parse_args()
    with psycopg.connect(words.database, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
        if words.command == "version":
            at = connection.execute("SELECT version, dirty FROM schema_migrations").fetchone()
            if at is None:
                ended("no migration")
            print(f"{at[0]}{' (dirty)' if at[1] else ''}", file=sys.stderr)  # noqa: T201
            return
        ends = time.monotonic() + words.lock_timeout
        while not connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()[0]:
            if time.monotonic() > ends:
                ended("timeout: can't acquire database lock")
            time.sleep(0.05)
        migrated(connection, words.path)


if __name__ == "__main__":
    main()
