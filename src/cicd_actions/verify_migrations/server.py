"""The scratch server: databases that the action makes, copies and drops, and what else lives there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.verify_migrations.trace import Recorder
from cicd_actions.verify_migrations.wire import Address, Connection, ServerError, literal, name

PREFIX = "cicd_vm_"
"""Databases of this action begin with it. Those of `BASE` stay on the server as a cache; the others go with the run."""

BASE = f"{PREFIX}base_"

_KEY = 8_231_764_102
"""Advisory lock: shared by every run, exclusive for the one that drops old caches."""

_HAS_ROWS = """
select n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not like 'pg\\_%' and n.nspname not in ('information_schema', 'cicd_vm')
  and c.relpages + pg_catalog.pg_relation_size(c.oid) > 0 limit 1
"""


@dataclass
class Server:
    """A connection for administration, in the database that the URL names; that database is only looked at."""

    address: Address
    connection: Connection
    run: str
    recorder: Recorder = field(default_factory=Recorder)

    def connect(self, database: str) -> Connection:
        """Opens a session in one of the action's databases. Nothing there outlives a crash, so nothing waits for the disk."""
        return Connection(self.address.at(database), settings={"options": "-c synchronous_commit=off"})

    def databases(self, prefix: str = PREFIX) -> list[str]:
        """Returns the databases of this action that are there."""
        found = self.connection.rows(
            f"select datname from pg_catalog.pg_database where starts_with(datname, {literal(prefix)})"
        )
        return sorted(row[0] or "" for row in found)

    def create(self, kind: str, template: str = "") -> str:
        """Makes a database of this run, empty or as a copy. Returns its name."""
        database = f"{PREFIX}{kind}_{self.run}"
        try:
            self.connection.rows(f"create database {name(database)} template {name(template or 'template0')}")
        except ServerError as error:
            raise Inconclusive(f"Could not make the scratch database {database}: {error}.") from None
        return database

    def create_apart(self, kind: str, template: str) -> str:
        """Makes a copy from another thread, on a separate connection."""
        with Connection(self.address) as connection:
            return Server(self.address, connection, self.run).create(kind, template)

    def keep(self, database: str, as_: str) -> str:
        """Renames a database of this run into the cache, unless another run was faster. Returns the name it has now."""
        try:
            self.connection.rows(f"alter database {name(database)} rename to {name(as_)}")
        except ServerError:
            return database
        return as_

    def note(self, database: str, text: str) -> None:
        """Keeps a text with a database, also when it is renamed."""
        self.connection.rows(f"comment on database {name(database)} is {literal(text)}")

    def noted(self, database: str) -> str:
        """Returns the text that `note` kept."""
        note = "select pg_catalog.shobj_description(oid, 'pg_database') from pg_catalog.pg_database"
        return self.connection.value(f"{note} where datname = {literal(database)}") or ""

    def drop(self, database: str) -> None:
        """Drops a database, ending the sessions in it."""
        try:
            self.connection.rows(f"drop database if exists {name(database)} with (force)")
        except ServerError:
            return

    def prune(self, keep: str) -> None:
        """Drops caches of other bases, unless another run is using the server."""
        if self.connection.value(f"select pg_catalog.pg_try_advisory_lock({_KEY})") != "t":
            return
        for database in self.databases(BASE):
            if not database.startswith(keep):
                self.drop(database)
        self.connection.rows(f"select pg_catalog.pg_advisory_unlock({_KEY})")

    @property
    def superuser(self) -> bool:
        return self.connection.value("select rolsuper from pg_catalog.pg_roles where rolname = current_user") == "t"

    @property
    def version(self) -> int:
        """The server's version as a number, such as 150004."""
        return int(self.connection.value("show server_version_num") or 0)

    def other_data(self) -> str:
        """Returns a database that has a table with rows and is not this action's, with that table; empty for none."""
        listed = self.connection.rows(
            "select datname from pg_catalog.pg_database where datallowconn and not datistemplate"
            f" and not starts_with(datname, {literal(PREFIX)})"
        )
        for (database,) in listed:
            with Connection(self.address.at(database or "")) as there:
                table = there.value(_HAS_ROWS)
            if table:
                return f"{database} has the table {table}"
        return ""


def refused_data(address: Address, data: str) -> UnusableInput:
    """Returns the error for a server that holds other data."""
    return UnusableInput(
        f"The server at {address.host}:{address.port} holds other data: {data}.",
        cause="The action makes databases and traces every command in them, so it refuses a server that may be in use.",
        fix="Give it a scratch server. If this is one that tests have used before:\n\n    with:\n      allow-other-data: true",
    )


@contextmanager
def scratch(address: Address, *, allow_other_data: bool) -> Iterator[Server]:
    """Connects to the server, and drops this run's databases at the end, also of a cancelled run. Raises `UnusableInput`."""
    with Connection(address) as connection:
        server = Server(address, connection, uuid.uuid4().hex[:12])
        if not server.superuser:
            raise UnusableInput(
                f"The role {address.user} is not a superuser of the scratch server.",
                cause="Event triggers, which record locks and rewrites, need one: https://www.postgresql.org/docs/current/sql-createeventtrigger.html",
                fix="Give the address of the lane's own PostgreSQL container, whose first role is a superuser:\n\n"
                "    services:\n      postgres:\n        image: postgres:17\n        env: {POSTGRES_PASSWORD: postgres}",
            )
        data = "" if allow_other_data else server.other_data()
        if data:
            raise refused_data(address, data)
        connection.rows(f"select pg_catalog.pg_advisory_lock_shared({_KEY})")
        try:
            yield server
        finally:
            for database in server.databases():
                if database.endswith(f"_{server.run}"):
                    server.drop(database)
