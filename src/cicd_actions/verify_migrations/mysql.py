"""Judges a project on MySQL or MariaDB: PostgreSQL's statements of this package are read as theirs.

The server reports no locks of a statement, and commits each change of the schema at once, so locks are not judged.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.redaction import Redactor
from cicd_actions.verify_migrations import dialect
from cicd_actions.verify_migrations.mysql_catalog import catalog, queries
from cicd_actions.verify_migrations.mysql_wire import CODES, Wire
from cicd_actions.verify_migrations.server import BASE, PREFIX, Server, refused_data
from cicd_actions.verify_migrations.trace import Entry, Recorder
from cicd_actions.verify_migrations.wire import Address, Connection, Row, ServerError, literal, name

SCHEMES = ("mysql", "mariadb")

_LOG = "cicd_vm_log"
_MODE = "set session sql_mode = concat(@@sql_mode, ',ANSI_QUOTES,NO_BACKSLASH_ESCAPES')"
_SYSTEM = "('information_schema', 'mysql', 'performance_schema', 'sys')"
_OLDEST = {False: 8_000_016, True: 10_002_022}
"""The first versions with `information_schema.check_constraints`: MySQL's, and MariaDB's."""

_READ_AS = (
    (re.compile(r'"main"\.'), ""),
    (re.compile(r"\bcicd_vm\.choices(\(document json)b"), r"cicd_vm_choices\1"),
    (re.compile(r"\bcicd_vm\.choices\b"), "cicd_vm_choices"),
    (re.compile(r" overriding system value| on conflict do nothing$| with \(force\)$"), ""),
    (re.compile(r" default values$"), " () values ()"),
    (re.compile(r" where \([^()]*\) in \(select [^()]* limit 1\)$"), " limit 1"),
)
_SETTINGS = {
    "set session_replication_role = replica": "set foreign_key_checks = 0",
    "reset session_replication_role": "set foreign_key_checks = 1",
}
"""What has a meaning in MySQL; every other SET of this package does nothing."""


class MysqlAddress(Address):
    """A database of a MySQL server."""

    @property
    def libpq(self) -> str:
        """Returns nothing: psql has no use for it."""
        return ""

    def at(self, database: str) -> Address:
        """Returns the address of another database of the same server."""
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))
        return MysqlAddress(url, self.host, self.port, self.user, self.password, database, "")


class MysqlConnection(Wire):
    """One session. `rows` takes a statement of PostgreSQL's, `query` one of MySQL's."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.query(_MODE)

    def script(self, text: str) -> None:
        """Runs the user's own SQL, in the server's usual mode. Raises `ServerError`."""
        self.query("set session sql_mode = default")
        self.query(text)
        self.query(_MODE)

    def rows(self, statement: str) -> list[Row]:
        """Returns the rows of the statement's last result. Raises `ServerError`."""
        if re.match(r"(re)?set\s", statement):
            return self.query(_SETTINGS[statement]) if statement in _SETTINGS else []
        return self.query(read(statement))


def read(statement: str) -> str:
    """Returns a statement of PostgreSQL's as MySQL reads it."""
    statement = dialect.TOKEN.sub(dialect.plain, statement)
    for pattern, text in _READ_AS:
        statement = pattern.sub(text, statement)
    return statement


class MysqlServer(Server):
    """The scratch server. Nothing is kept for another run."""

    @property
    def version(self) -> int:
        """Returns the server's version as a number, such as 10011006."""
        found = re.findall(r"\d+", self.connection.value("select version()") or "")
        return int("".join(f"{int(part):03d}" for part in found[:3]) or 0)

    def connect(self, database: str) -> MysqlConnection:
        """Opens a session in one of the action's databases."""
        return MysqlConnection(self.address.at(database))

    def databases(self, prefix: str = PREFIX) -> list[str]:
        """Returns the databases of this action that are there."""
        begin = f"left(schema_name, {len(prefix)}) = {literal(prefix)}"
        found = self.connection.rows(f"select schema_name from information_schema.schemata where {begin}")
        return [] if prefix == BASE else sorted(row[0] or "" for row in found)

    def create(self, kind: str, template: str = "") -> str:
        """Makes a database of this run, empty or as a copy. Returns its name."""
        return self._created(self.connection, kind, template)

    def create_apart(self, kind: str, template: str) -> str:
        """Makes a copy from another thread, on a separate connection."""
        with MysqlConnection(self.address) as connection:
            return self._created(connection, kind, template)

    def _created(self, connection: Connection, kind: str, template: str) -> str:
        database = f"{PREFIX}{kind}_{self.run}"
        try:
            connection.rows(f"create database {name(database)}")
            if template:
                with closing(self.connect(template)) as source, closing(self.connect(database)) as target:
                    _copy(source, target, template)
        except ServerError as error:
            raise Inconclusive(f"Could not make the scratch database {database}: {error}.") from None
        return database

    def keep(self, database: str, as_: str) -> str:
        """Does nothing: there is no cache. Returns the name it has now."""
        return database

    def note(self, database: str, text: str) -> None:
        """Does nothing: no other run reads it."""

    def prune(self, keep: str) -> None:
        """Does nothing: there is no cache."""

    def other_data(self) -> str:
        """Returns a database that has a table with rows and is not this action's, with that table; empty for none."""
        mine = f"left(table_schema, {len(PREFIX)}) = {literal(PREFIX)}"
        found = self.connection.rows(
            "select table_schema, table_name from information_schema.tables"
            f" where table_rows > 0 and table_schema not in {_SYSTEM} and not {mine} limit 1"
        )
        return f"{found[0][0]} has the table {found[0][1]}" if found else ""


def _copy(source: MysqlConnection, target: MysqlConnection, template: str) -> None:
    """Copies a database: tables with rows, then views, routines and triggers."""
    target.query("set foreign_key_checks = 0")
    views = []
    for label, kind in source.query("show full tables"):
        if kind == "VIEW":
            views.append(label or "")
            continue
        whole = name(label or "")
        target.query(str(source.query(f"show create table {whole}")[0][1]))
        made = source.query(
            "select column_name from information_schema.columns where table_schema = database()"
            f" and table_name = '{(label or '').replace(chr(39), chr(39) * 2)}' and generation_expression > ''"
        )
        computed = {row[0] for row in made}
        columns = ", ".join(name(row[0] or "") for row in source.query(f"show columns from {whole}") if row[0] not in computed)
        target.query(f"insert into {whole} ({columns}) select {columns} from {name(template)}.{whole}")
    routines = source.query(
        "select routine_type, routine_name from information_schema.routines where routine_schema = database()"
    )
    made_of = [(f"show create {kind} {name(label or '')}", 2) for kind, label in routines]
    made_of += [(f"show create trigger {name(row[0] or '')}", 2) for row in source.query("show triggers")]
    made_of += [(f"show create view {name(view)}", 1) for view in views]
    while made_of:  # a view may need another one
        left = [each for each in made_of if not _made(source, target, template, *each)]
        if len(left) == len(made_of):
            raise Inconclusive(f"Could not copy the base's schema: MySQL refused the result of `{left[0][0]}`.")
        made_of = left


def _made(source: MysqlConnection, target: MysqlConnection, template: str, show: str, column: int) -> bool:
    try:
        target.query((source.query(show)[0][column] or "").replace(f"{name(template)}.", ""))
    except ServerError:
        return False
    return True


class MysqlRecorder(Recorder):
    """Keeps the server's own description of the schema at each write to Alembic's table."""

    salt = "mysql"
    unseen = "The database is MySQL: locks, scans, rewrites and the number of changed rows are not judged."

    def __init__(self, *, mariadb: bool) -> None:
        self._parts = queries(mariadb=mariadb)
        self._implied: set[str] = set()

    def install(self, connection: Connection) -> None:
        """Does nothing."""

    def catalog(self, connection: Connection) -> Any:
        """Returns the catalog of the database."""
        rows = [(part, json.loads(text or "{}")) for part, query in self._parts.items() for (text,) in _raw(connection, query)]
        return catalog(rows, self._implied)

    def arm(self, connection: Connection) -> None:
        """Begins to record."""
        connection.rows(f"create table {_LOG}(n integer primary key auto_increment, kind text, tag text)")
        connection.rows(
            f"create table {_LOG}_part(id integer primary key auto_increment, n integer, part text, document longtext)"
        )
        for at, table in enumerate(_version_tables(connection)):
            parts = {"version": f"select json_object('version_num', version_num) from {table}", **self._parts}
            into = f" insert into {_LOG}_part(n, part, document) select @cicd_vm"
            # Not from a subquery: MariaDB would drop its order.
            kept = "".join(f"{into}, '{part}', {query.removeprefix('select ')};" for part, query in parts.items())
            for what in ("insert", "update", "delete"):
                _raw(
                    connection,
                    f"create trigger cicd_vm_{what}_{at} after {what} on {table} for each row begin"
                    f" insert into {_LOG}(kind, tag) values ('revision', '{what}'); set @cicd_vm = last_insert_id();{kept} end",
                )

    def version_rows(self, connection: Connection) -> list[dict[str, Any]]:
        """Returns the rows of Alembic's table."""
        found = [connection.rows(f"select version_num from {table}") for table in _version_tables(connection)]
        return [{"version_num": version} for rows in found for (version,) in rows]

    def state(self, error: Mapping[str, Any]) -> str:
        """Returns the SQLSTATE that PostgreSQL has for a driver's `(1265, "Data truncated …")`."""
        found = re.match(r"\((\d+), ", str(error["text"]))
        return CODES.get(int(found[1]), "") if found else ""

    def mark(self, connection: Connection, text: str) -> None:
        """Writes a line of our own into the log."""
        connection.rows(f"insert into {_LOG}(kind, tag) values ('mark', '{text}')")

    def entries(self, connection: Connection) -> Iterator[Entry]:
        """Yields the log from its beginning."""
        parts: dict[str, list[tuple[str, Any]]] = {}
        for at, part, text in connection.rows(f"select n, part, document from {_LOG}_part order by id"):
            parts.setdefault(at or "", []).append((part or "", json.loads(text or "{}")))
        for at, kind, tag in connection.rows(f"select n, kind, tag from {_LOG} order by n"):
            versions = [row for part, row in parts.get(at or "", ()) if part == "version"]
            known = catalog(parts[at], self._implied) if at in parts else None
            yield Entry(int(at or 0), kind or "", tag or "", "", "", "", {}, versions, {}, {}, "", known)


def _raw(connection: Connection, statement: str) -> list[Row]:
    assert isinstance(connection, Wire)  # noqa: S101 - what this server opens
    return connection.query(statement)


def _version_tables(connection: Connection) -> list[str]:
    """Returns Alembic's tables, quoted: they have one column, whatever they are called."""
    listed = connection.rows(
        "select table_name from information_schema.columns where table_schema = database()"
        " group by table_name having count(*) = 1 and max(column_name) = 'version_num'"
    )
    return [name(row[0] or "") for row in listed]


@contextmanager
def scratch(url: str, redactor: Redactor, *, allow_other_data: bool) -> Iterator[Server]:
    """Connects to the server, and drops this run's databases at the end. Raises `UnusableInput`."""
    parts = urlsplit(url)
    password = unquote(parts.password or "")
    redactor.add(password)
    host, user = parts.hostname or "localhost", unquote(parts.username or "root")
    address = MysqlAddress(url, host, parts.port or 3306, user, password, "", "")
    with MysqlConnection(address) as connection:
        mariadb = "mariadb" in (connection.value("select version()") or "").lower()
        server = MysqlServer(address, connection, uuid.uuid4().hex[:12], MysqlRecorder(mariadb=mariadb))
        if server.version < _OLDEST[mariadb]:
            raise UnusableInput(
                "The scratch server is too old.",
                cause="The check reads constraints that MySQL describes since 8.0.16, and MariaDB since 10.2.22.",
                fix="    services:\n      mysql:\n        image: mysql:8.4",
            )
        data = "" if allow_other_data else server.other_data()
        if data:
            raise refused_data(address, data)
        try:
            yield server
        finally:
            for database in server.databases():
                if database.endswith(f"_{server.run}"):
                    server.drop(database)
