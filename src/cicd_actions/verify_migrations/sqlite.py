"""Judges a project on SQLite: databases are files, and PostgreSQL's statements of this package are read as SQLite's.

SQLite locks the whole database, and no other session sees a migration before its end, so locks are not judged. A rename
cannot be distinguished from a drop and an addition: tables and columns have no identity but their names.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cicd_actions.verify_migrations import dialect
from cicd_actions.verify_migrations.dialect import constraint, named_in, number
from cicd_actions.verify_migrations.server import PREFIX, Server
from cicd_actions.verify_migrations.trace import Entry, Recorder
from cicd_actions.verify_migrations.wire import Address, Connection, Row, ServerError, name

_LOG = "cicd_vm_log"
_WAITING = 30.0
"""Seconds to wait for a writer in another process."""

_TEXTS = "select json_group_array(sql) from sqlite_master where sql is not null"
_WITHOUT_MEANING = re.compile(r"(re)?set\s", re.IGNORECASE)
_VIRTUAL = re.compile(r"create virtual table\b", re.IGNORECASE)
_SHADOWS = (
    *("data", "idx", "content", "docsize", "config", "segments", "segdir", "stat"),
    *("node", "parent", "rowid"),
)
"""How the tables of a virtual one end: https://www.sqlite.org/fts5.html, https://www.sqlite.org/rtree.html"""
_CODES = (
    (re.compile(r"no such table"), "42P01"),
    (re.compile(r"no such column|has no column named"), "42703"),
    (re.compile(r"NOT NULL constraint failed: .*\.(?P<column>\w+)$"), "23502"),
    (re.compile(r"CHECK constraint failed: (?P<constraint>.*)"), "23514"),
    (re.compile(r"UNIQUE constraint failed"), "23505"),
    (re.compile(r"FOREIGN KEY constraint failed"), "23503"),
    (re.compile(r"datatype mismatch"), "42804"),
)
"""The SQLSTATE that PostgreSQL has for SQLite's words: https://www.sqlite.org/rescode.html has one code for most of them."""


class SqliteAddress(Address):
    """A database file. The databases of a run lie in one folder."""

    @property
    def path(self) -> Path:
        return Path(self.database)

    def at(self, database: str) -> Address:
        """Returns the address of another file in the folder."""
        path = str(self.path.with_name(database))
        url = f"{urlsplit(self.url).scheme}:///{path}"
        return SqliteAddress(url, "", 0, "", "", path, "")


class SqliteConnection(Connection):
    """One session. What has no meaning in SQLite, such as SET, does nothing."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._database = sqlite3.connect(self.path, timeout=_WAITING, isolation_level=None, check_same_thread=False)
        beside = f"{self.path}.choices" if path != ":memory:" else ":memory:"
        self._database.execute("attach ? as cicd_vm", (beside,))

    def close(self) -> None:
        self._database.close()

    def rows(self, statement: str) -> list[Row]:
        """Returns the rows of a statement; none for a script of several. Raises `ServerError`."""
        text = dialect.TOKEN.sub(_as_sqlite, statement).replace(" overriding system value", "")
        if _WITHOUT_MEANING.match(text):
            return []
        try:
            if ";" in text and sqlite3.complete_statement(text.rstrip("; \n") + ";") and not _one(text):
                self._database.executescript(text)
                return []
            return [tuple(None if each is None else str(each) for each in row) for row in self._database.execute(text)]
        except sqlite3.Error as error:
            raise _refused(str(error)) from None


def _as_sqlite(found: re.Match[str]) -> str:
    """Returns a constant or a name as SQLite reads it.

    A name in double quotes that no column has would be a string: https://www.sqlite.org/quirks.html#dblquote
    """
    if found["name"] is not None:
        return "`" + found["name"].replace('""', '"').replace("`", "``") + "`"
    return dialect.plain(found)


def _one(text: str) -> bool:
    """Returns whether a text is one statement: a `;` may stand in a constant."""
    at = text.find(";")
    while at >= 0:
        if sqlite3.complete_statement(text[: at + 1]):
            return not text[at + 1 :].strip()
        at = text.find(";", at + 1)
    return True


def _refused(words: str) -> ServerError:
    for pattern, code in _CODES:
        if found := pattern.search(words):
            named = found.groupdict()
            return ServerError({"M": words, "C": code, "n": named.get("constraint") or "", "c": named.get("column") or ""})
    return ServerError({"M": words})


class SqliteServer(Server):
    """A folder of database files. Nothing is kept for another run."""

    @property
    def version(self) -> int:
        return int("".join(f"{part:03d}" for part in sqlite3.sqlite_version_info))

    def connect(self, database: str) -> Connection:
        """Opens a file of the folder."""
        return SqliteConnection(self.address.at(database).database)

    def databases(self, prefix: str = PREFIX) -> list[str]:
        """Returns none: what other runs made is elsewhere."""
        return []

    def create(self, kind: str, template: str = "") -> str:
        """Makes a file, empty or as a copy. Returns its name."""
        database = f"{PREFIX}{kind}_{self.run}"
        path = Path(self.address.at(database).database)
        if template:
            source = Path(self.address.at(template).database)
            for ending in ("", ".choices"):
                if Path(f"{source}{ending}").exists():
                    shutil.copyfile(f"{source}{ending}", f"{path}{ending}")
        else:
            path.touch()
        return database

    def create_apart(self, kind: str, template: str) -> str:
        """Makes a copy from another thread."""
        return self.create(kind, template)

    def keep(self, database: str, as_: str) -> str:
        """Renames a file. Returns its new name."""
        for ending in ("", ".choices"):
            path = Path(f"{self.address.at(database).database}{ending}")
            if path.exists():
                path.rename(f"{self.address.at(as_).database}{ending}")
        return as_

    def note(self, database: str, text: str) -> None:
        """Does nothing: no other run reads it."""

    def prune(self, keep: str) -> None:
        """Does nothing: the folder goes with the run."""


class SqliteRecorder(Recorder):
    """Keeps the schema's text at each write to Alembic's table. The catalog is read from that text afterwards."""

    salt = "sqlite"
    unseen = "The database is SQLite: locks, scans, rewrites and the number of changed rows are not judged."

    def install(self, connection: Connection) -> None:
        """Does nothing."""

    def catalog(self, connection: Connection) -> Any:
        """Returns the catalog of the database."""
        return catalog(connection.document(_TEXTS))

    def arm(self, connection: Connection) -> None:
        """Begins to record."""
        connection.rows(f"create table {_LOG}(n integer primary key, kind text, tag text, objects text, catalog text)")
        for at, table in enumerate(_version_tables(connection)):
            rows = f"select json_group_array(json_object('version_num', version_num)) from {table}"
            for what in ("insert", "update", "delete"):
                connection.rows(
                    f"create trigger cicd_vm_{what}_{at} after {what} on {table} begin"
                    f" insert into {_LOG}(kind, tag, objects, catalog)"
                    f" select 'revision', '{what}', ({rows}), ({_TEXTS}); end"
                )

    def version_rows(self, connection: Connection) -> list[dict[str, Any]]:
        """Returns the rows of Alembic's table."""
        found = [connection.rows(f"select version_num from {table}") for table in _version_tables(connection)]
        return [{"version_num": version} for rows in found for (version,) in rows]

    def state(self, error: Mapping[str, Any]) -> str:
        """Returns the SQLSTATE that PostgreSQL has for SQLite's words."""
        return _refused(str(error["text"])).code

    def mark(self, connection: Connection, text: str) -> None:
        """Writes a line of our own into the log."""
        connection.rows(f"insert into {_LOG}(kind, tag) values ('mark', '{text}')")

    def entries(self, connection: Connection) -> Iterator[Entry]:
        """Yields the log from its beginning."""
        for n, kind, tag, objects, text in connection.rows(f"select n, kind, tag, objects, catalog from {_LOG} order by n"):
            known = catalog(json.loads(text)) if text else None
            yield Entry(int(n or 0), kind or "", tag or "", "", "", "", {}, json.loads(objects or "[]"), {}, {}, "", known)


def _version_tables(connection: Connection) -> list[str]:
    """Returns Alembic's tables, quoted: they have one column, whatever they are called."""
    columns = "(select group_concat(c.name) from pragma_table_info(m.name) c)"
    listed = connection.rows(f"select m.name from sqlite_master m where m.type = 'table' and {columns} = 'version_num'")
    return [name(row[0] or "") for row in listed]


@contextmanager
def scratch(url: str, folder: Path) -> Iterator[Server]:
    """Yields the server for a project whose URL has that scheme. `folder` is empty, and removed by the caller."""
    address = SqliteAddress(urlunsplit(urlsplit(url)._replace(query="")), "", 0, "", "", str(folder / "none"), "")
    with closing(SqliteConnection(":memory:")) as connection:
        yield SqliteServer(address, connection, "run", SqliteRecorder())


def catalog(statements: list[str]) -> dict[str, Any]:
    """Returns the catalog of a schema's text, in the form of PostgreSQL's; types have PostgreSQL's names."""
    with closing(sqlite3.connect(":memory:")) as made:
        # A virtual table makes its own tables, which the schema lists as well.
        for text in sorted(statements, key=lambda each: not _VIRTUAL.match(each)):
            if not re.match(r"create table \"?sqlite_", text, re.IGNORECASE):
                _make(made, text)
        shadows = _shadows(made)
        every = made.execute("select type, name, tbl_name, sql from sqlite_master order by name").fetchall()
        listed = [row for row in every if row[2] not in shadows]
        triggers: dict[str, dict[str, Any]] = {}
        for kind, name, table, sql in listed:
            if kind == "trigger" and not dialect.ours(name):
                triggers.setdefault(table, {})[name] = {"definition": sql, "function": "", "enabled": "O"}
        tables = {
            name: _table(made, kind, name, sql, triggers.get(name, {}))
            for kind, name, _, sql in listed
            if kind in {"table", "view"} and not dialect.ours(name)
        }
    return {"tables": tables, "enums": {}, "domains": {}, "functions": {}, "sequences": []}


def _make(made: sqlite3.Connection, text: str) -> None:
    try:
        made.execute(text)
    except sqlite3.OperationalError as error:
        if not re.search(r"already exists|no such module", str(error)):
            raise


def _shadows(made: sqlite3.Connection) -> set[str]:
    """Returns the tables that virtual tables keep their contents in, and that refuse all other writes."""
    listed = made.execute("select name, sql from sqlite_master where type = 'table'").fetchall()
    return {f"{name}_{part}" for name, sql in listed if _VIRTUAL.match(sql) for part in _SHADOWS}


def _table(made: sqlite3.Connection, kind: str, name: str, sql: str, triggers: dict[str, Any]) -> dict[str, Any]:
    columns, keys = {}, []
    for _, label, declared, required, default, key, hidden in made.execute("select * from pragma_table_xinfo(?)", (name,)):
        columns[str(number(label))] = {
            "name": label,
            "type": _type(declared),
            "notnull": bool(required or key),
            "default": default,
            "generated": "s" if hidden in {2, 3} else "",
            "identity": "",
            "sequence": None,
        }
        keys += [number(label)] if key else []
    constraints: dict[str, Any] = {}
    if keys:
        constraints["primary key"] = constraint("p", "", keys)
    own = [column["name"] for column in columns.values()]
    for at, place, other, source, target, *_ in made.execute("select * from pragma_foreign_key_list(?)", (name,)):
        there, known, key = _pointed_at(made, other)
        one = constraints.setdefault(f"foreign key {at}", constraint("f", f"references {there}", [], there, []))
        one["columns"].append(number(_spelled(source, own)))
        # A reference without a column is one to the key.
        one["targets"].append(number(_spelled(target or "".join(key[place : place + 1]) or "id", known)))
    for at, text in enumerate(_checks(sql)):
        constraints[f"check {at}"] = constraint("c", f"CHECK ({text})", named_in(text, columns))
    indexes = {}
    for _, label, unique, _, _ in made.execute("select * from pragma_index_list(?)", (name,)):
        inside = made.execute("select name from pragma_index_info(?)", (label,)).fetchall()
        made_by = made.execute("select sql from sqlite_master where type = 'index' and name = ?", (label,)).fetchone()
        listed = ", ".join(each or "an expression" for (each,) in inside)
        indexes[label] = {
            "name": f"unique {name} ({listed})" if made_by is None or not made_by[0] else label,
            "definition": (made_by and made_by[0]) or f"unique ({listed})",
            "valid": True,
            "unique": bool(unique),
            "file": 0,
            "columns": [number(each) for (each,) in inside if each],
        }
    whole = {"columns": columns, "constraints": constraints, "indexes": indexes, "triggers": triggers}
    return dialect.table("r", name, None, **whole) if kind == "table" else dialect.table("v", name, sql, **whole)


def _pointed_at(made: sqlite3.Connection, table: str) -> tuple[str, list[str], list[str]]:
    """Returns a table's name as it was made, its columns, and those of its key."""
    found = made.execute("select name from sqlite_master where type = 'table' and lower(name) = lower(?)", (table,)).fetchone()
    columns = made.execute("select name, pk from pragma_table_info(?) order by pk", (table,)).fetchall()
    return found[0] if found else table, [name for name, _ in columns], [name for name, key in columns if key]


def _spelled(name: str, known: list[str]) -> str:
    """Returns a column's name as its table has it: SQLite ignores the case."""
    return next((each for each in known if each.lower() == name.lower()), name)


def _checks(sql: str) -> Iterator[str]:
    """Yields the conditions of a table's checks."""
    for found in re.finditer(r"\bcheck\s*\(", sql, re.IGNORECASE):
        depth, at = 1, found.end()
        while at < len(sql) and depth:
            depth += {"(": 1, ")": -1}.get(sql[at], 0)
            at += 1
        yield sql[found.end() : at - 1].strip()


_TYPES = (
    (r"(?:N?VARCHAR|CHARACTER VARYING|VARYING CHARACTER|N?CHAR|CHARACTER)\s*(\([\d ]+\))?", "character varying"),
    (r"BOOL(?:EAN)?()", "smallint"),
    (r"[A-Z ]*INT[A-Z0-9 ]*()", "bigint"),
    (r"(?:NUMERIC|DECIMAL)\s*(\([\d, ]+\))?", "numeric"),
    (r"(?:FLOAT|REAL|DOUBLE)[A-Z ]*()", "double precision"),
    (r"(?:DATETIME|TIMESTAMP)()", "timestamp without time zone"),
    (r"(DATE|TIME|JSON|UUID)", ""),
    (r"BLOB()", "bytea"),
)


def _type(declared: str) -> str:
    """Returns PostgreSQL's name for a declared type; `text` for one that says nothing."""
    for pattern, known in _TYPES:
        if found := re.fullmatch(pattern, declared.strip(), re.IGNORECASE):
            return (known + (found[1] or "").replace(" ", "")) if known else found[1].lower()
    return "text"
