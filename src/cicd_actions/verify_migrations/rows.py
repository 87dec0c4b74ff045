"""Fills the tables of a schema with rows that it allows, from the catalog alone, in the order of the foreign keys."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cicd_actions.verify_migrations import values
from cicd_actions.verify_migrations.values import Type
from cicd_actions.verify_migrations.wire import Connection, ServerError, literal, name

_STRIDE = 100
"""Keys of whole numbers are this far apart, so that a migration that works in ranges of keys meets several ranges."""

_SPARE = 5
"""Rows that a one-to-one table leaves of the other one: old code's next row needs one."""

_MOST_TRIES = 200
_CHOICES = "create table if not exists cicd_vm.choices(document jsonb)"
_QUOTED = re.compile(r"'((?:[^']|'')*)'|(?<![\w.])(-?\d+(?:\.\d+)?)(?![\w.])")
_ONE_OF = re.compile(r"= ANY \(|\bIN \(|\) = '|= '")


@dataclass
class Column:
    """A column as rows are made for it. `pool` are the only values that it takes, where a check or a partition says so; `hints`
    are constants of its checks, and their neighbours."""

    name: str
    type: Type
    required: bool
    key: bool
    unique: bool
    default: bool
    computed: bool
    sequence: str
    domain: bool
    pool: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def ways(self) -> list[Callable[[int], str]]:
        """Returns other ways to make a value: usual ones, and the constants of its checks."""
        return [*values.alternatives(self.type), *(partial(_constant, hint) for hint in self.hints)]


@dataclass
class Table:
    """A table that gets rows. `parents`: the columns of each foreign key, and the table and columns that it points to.
    `guessed` are those that only a name such as `user_id` tells: orderly rows keep to them."""

    oid: str
    name: str
    columns: dict[int, Column]
    parents: list[tuple[list[int], str, list[int]]]
    guessed: list[tuple[list[int], str, list[int]]]
    checks: dict[str, list[int]]

    def column(self, label: str) -> Column | None:
        return next((column for column in self.columns.values() if column.name == label), None)


@dataclass(frozen=True)
class Unfilled:
    """A table without a row, and why its first one was refused."""

    oid: str
    table: str
    reason: str


class Rows:
    """Makes rows for every table of a catalog. `choices` remembers what a check accepted: by table, column and way."""

    def __init__(self, connection: Connection, catalog: Mapping[str, Any], count: int) -> None:
        self._connection = connection
        self._count = count
        self._domains: Mapping[str, Any] = catalog["domains"] or {}
        self._enums: Mapping[str, Any] = catalog["enums"] or {}
        self.tables = _tables(catalog, self._domains)
        self._parents: dict[tuple[str, tuple[int, ...]], list[tuple[str | None, ...]]] = {}
        connection.rows(_CHOICES)
        self._choices: dict[str, int] = connection.document("select document from cicd_vm.choices") or {}

    def fill(self, *, hostile: bool) -> list[Unfilled]:
        """Fills every table. Returns what could not be filled, and why."""
        found = []
        for table in self.ordered():
            problem = self._fill(table, hostile=hostile)
            # Read while it was empty, for a key into the table itself or in a circle.
            self._parents = {key: rows for key, rows in self._parents.items() if key[0] != table.oid}
            if problem:
                label = table.name.replace('"', "").removeprefix("public.").removeprefix("main.")
                found.append(Unfilled(table.oid, label, problem))
        for table in self.tables.values():
            for column in table.columns.values():
                if column.sequence:
                    top = f"select setval({literal(column.sequence)}, coalesce(max({name(column.name)}), 1)) from {table.name}"
                    self._try(top)
        # A database without an encoding takes no escapes of letters.
        choices = literal(json.dumps(self._choices, ensure_ascii=False))
        self._connection.rows(f"delete from cicd_vm.choices; insert into cicd_vm.choices values ({choices})")
        self._try("analyze")
        return found

    def ordered(self) -> list[Table]:
        """Returns the tables so that those that a foreign key points to come first, as far as they are no circle."""
        left, done, found = dict(self.tables), set[str](), list[Table]()
        while left:
            ready = [
                t
                for t in left.values()
                if all(to in done or to == t.oid or to not in left for _, to, _ in [*t.parents, *t.guessed])
            ]
            for table in ready or [next(iter(left.values()))]:
                found.append(table)
                done.add(table.oid)
                del left[table.oid]
        return found

    def row(self, table: Table, i: int, *, hostile: bool = False, fresh: bool = False) -> dict[str, str]:
        """Returns row `i` as SQL constants by column. `fresh`: a row that comes after the filled ones."""
        given: dict[int, str | None] = {}
        for columns, target, targets in table.parents if hostile else [*table.parents, *table.guessed]:
            known = self._known(target, targets)
            if known:
                alone = all(table.columns[at].unique for at in columns if at in table.columns)
                span = max(len(known) - _SPARE, 1) if alone and len(known) > 2 * _SPARE else len(known)
                picked = known[-1] if fresh else known[(0 if hostile and not alone and i % 3 else i) % span]
                given.update(zip(columns, picked, strict=True))
            elif all(at in table.columns and table.columns[at].required for at in columns) and target in self.tables:
                other = self.tables[target]
                given.update(
                    {
                        at: self._value(other, other.columns[to], i, hostile=False)
                        for at, to in zip(columns, targets, strict=True)
                    }
                )
            else:
                given.update(dict.fromkeys(columns))
        found: dict[str, str] = {}
        for at, column in table.columns.items():
            if column.computed:
                continue
            if hostile and i % 4 == 0 and not column.required:
                found[column.name] = "NULL"
                continue
            value = given[at] if at in given else self._value(table, column, i, hostile=hostile and not column.unique)
            if value is None and column.required and column.default:
                found[column.name] = "DEFAULT"
            else:
                found[column.name] = literal(value)
        return found

    def insert(self, table: Table, rows: Sequence[Mapping[str, str]], *, conflict: str = " on conflict do nothing") -> str:
        """Returns the statement that inserts rows with the same columns."""
        if not rows[0]:
            return f"insert into {table.name} default values"
        columns = ", ".join(map(name, rows[0]))
        listed = ", ".join("(" + ", ".join(row.values()) + ")" for row in rows)
        return f"insert into {table.name} ({columns}) overriding system value values {listed}{conflict}"

    def _fill(self, table: Table, *, hostile: bool) -> str:
        many = [self.row(table, i, hostile=hostile) for i in range(1, self._count + 1)]
        if self._try(self.insert(table, many)) is None and not self.empty(table.name):
            return ""
        error: ServerError | None = None
        for replica in (False, True):
            role = "replica" if replica else "origin"
            self._connection.rows(f"set session_replication_role = {role}")
            error = self._accepted(table, hostile=hostile)
            if error is None:
                for i in range(2, self._count + 1):
                    refused = self._try(self.insert(table, [self.row(table, i, hostile=hostile)]))
                    if refused and hostile:
                        self._try(self.insert(table, [self.row(table, i)]))
            self._connection.rows("reset session_replication_role")
            if error is None and not self.empty(table.name):
                return ""
        if hostile:  # the schema does not allow them; orderly rows are better than none
            return self._fill(table, hostile=False)
        return str(error or "a trigger or a rule stores no row")

    def empty(self, table: str, connection: Connection | None = None) -> bool:
        """Returns whether a table, as it stands in a statement, has no row. `connection`: another one than that of the rows."""
        return not (connection or self._connection).rows(f"select 1 from {table} limit 1")

    def _accepted(self, table: Table, *, hostile: bool) -> ServerError | None:
        """Inserts the first row, with other values in the columns of each check that refuses it."""
        error: ServerError | None = None
        for _ in range(6):
            error = self._try(self.insert(table, [self.row(table, 1, hostile=hostile)]))
            if error is None or error.code != "23514" or not self._chosen(table, error, hostile=hostile):
                break
        return error

    def _chosen(self, table: Table, refused: ServerError, *, hostile: bool) -> bool:
        columns = [table.columns[at] for at in table.checks.get(refused.constraint, ()) if at in table.columns]
        if not columns:
            # The check of a domain names the domain, not the column.
            columns = [column for column in table.columns.values() if column.domain][:3]
        ways = [range(-1, len(column.ways())) for column in columns]
        before = dict(self._choices)
        for choice in itertools.islice(itertools.product(*ways), 1, _MOST_TRIES):
            self._choices = before | {self._at(table, column): way for column, way in zip(columns, choice, strict=True)}
            error = self._try(self.insert(table, [self.row(table, 1, hostile=hostile)]))
            if error is None or (error.code == "23514" and error.constraint != refused.constraint):
                return True
        self._choices = before
        return False

    def _value(self, table: Table, column: Column, i: int, *, hostile: bool) -> str | None:
        way = self._choices.get(self._at(table, column), -1)
        if way >= 0:
            return column.ways()[way](i)
        if column.pool:
            return column.pool[i % len(column.pool)]
        if column.key and column.type.base in {"integer", "bigint"}:
            return str(i * _STRIDE)
        make = values.hostile if hostile else values.tame
        return make(column.type, column.name, i, self._enums)

    def _known(self, target: str, columns: list[int]) -> list[tuple[str | None, ...]]:
        key = (target, tuple(columns))
        if not self._parents.get(key) and target in self.tables:
            table = self.tables[target]
            listed = ", ".join(name(table.columns[at].name) for at in columns)
            self._parents[key] = self._connection.rows(f"select {listed} from {table.name} order by 1 limit {self._count}")
        return self._parents.get(key, [])

    def _try(self, statement: str) -> ServerError | None:
        try:
            self._connection.rows(statement)
        except ServerError as error:
            return error
        return None

    @staticmethod
    def _at(table: Table, column: Column) -> str:
        return f"{table.name}.{column.name}"


def qualified(table: Mapping[str, Any]) -> str:
    """Returns a catalog's table as it stands in a statement."""
    return f"{name(table['schema'])}.{name(table['name'])}"


def is_version_table(table: Mapping[str, Any]) -> bool:
    """Returns whether a migration tool keeps its state in the table."""
    columns = [column["name"] for column in (table["columns"] or {}).values()]
    return columns == ["version_num"] or table["name"] in {
        *("django_migrations", "_prisma_migrations", "schema_migrations", "flyway_schema_history", "knex_migrations"),
        *("ar_internal_metadata", "__EFMigrationsHistory", "goose_db_version", "databasechangelog"),
    }


def _tables(catalog: Mapping[str, Any], domains: Mapping[str, Any]) -> dict[str, Table]:
    listed = {
        oid: table
        for oid, table in (catalog["tables"] or {}).items()
        if table["kind"] in {"r", "p"} and not table["child"] and not is_version_table(table)
    }
    found = {oid: _table(oid, table, catalog["tables"], domains) for oid, table in listed.items()}
    for table in found.values():
        # A database may know a key to a table or column that is not there.
        table.parents = [each for each in table.parents if each[1] not in found or set(each[2]) <= set(found[each[1]].columns)]
        table.guessed += _guessed(table, found)
    return found


def _guessed(table: Table, tables: Mapping[str, Table]) -> Iterator[tuple[list[int], str, list[int]]]:
    held = {at for columns, _, _ in table.parents for at in columns}
    for at, column in table.columns.items():
        stem = column.name.removesuffix("_id")
        if at in held or stem == column.name or column.unique:
            continue
        names = {f'"{each}"' for each in (stem, f"{stem}s", f"{stem}es", f"{stem.removesuffix('y')}ies")}
        for other in tables.values():
            keys = [key for key, one in other.columns.items() if one.key]
            fits = len(keys) == 1 and other.columns[keys[0]].type.base == column.type.base
            if fits and other.name.rpartition(".")[2] in names:
                yield [at], other.oid, keys
                break


def _table(oid: str, table: Mapping[str, Any], tables: Mapping[str, Any], domains: Mapping[str, Any]) -> Table:
    constraints = table["constraints"] or {}
    indexes = (table["indexes"] or {}).values()
    unique = {at for index in indexes if index["unique"] for at in index["columns"]}
    keys = {at for one in constraints.values() if one["type"] == "p" for at in one["columns"]}
    columns = {
        int(at): _column(column, int(at) in unique, int(at) in keys, domains) for at, column in (table["columns"] or {}).items()
    }
    checks: dict[str, list[int]] = {}
    parents = []
    for label, one in constraints.items():
        if one["type"] == "f":
            parents.append((one["columns"], one["target"], one["targets"]))
        elif one["type"] == "c":
            checks[label] = one["columns"] or []
            for at in checks[label]:
                if at in columns:
                    columns[at].hints += _neighbours(one["definition"])
            if len(checks[label]) == 1 and checks[label][0] in columns:
                columns[checks[label][0]].pool += _pool(one["definition"])
    for key, pool in _partitions(oid, tables).items():
        for column in columns.values():
            if column.name == key:
                column.pool += pool
    return Table(oid, qualified(table), columns, parents, [], checks)


def _column(column: Mapping[str, Any], unique: bool, key: bool, domains: Mapping[str, Any]) -> Column:
    text, required, pool, hints = column["type"], column["notnull"], list[str](), list[str]()
    while text in domains:
        domain = domains[text]
        for check in domain["checks"] or ():
            pool += _pool(check)
            hints += _neighbours(check)
        text, required = domain["type"], required or domain["notnull"]
    return Column(
        column["name"],
        Type.of(text),
        required,
        key,
        unique,
        column["default"] is not None or bool(column["identity"]),
        column["generated"] != "",
        column["sequence"] or "",
        column["type"] in domains,
        pool,
        hints,
    )


def _pool(definition: str) -> list[str]:
    """Returns the constants of a check that lists the values that a column may have."""
    if not _ONE_OF.search(definition) or re.search(r"[<>~]|\bAND\b|\bNOT\b|!|LIKE", definition):
        return []
    return _constants(definition)


def _neighbours(definition: str) -> list[str]:
    found: list[str] = []
    for constant in _constants(definition):
        whole = int(constant) if re.fullmatch(r"-?\d{1,15}", constant) else None
        found += [constant] if whole is None else [str(whole + step) for step in (0, 1, -1)]
    return found[:12]


def _constant(text: str, _i: int) -> str:
    return text


def _constants(text: str) -> list[str]:
    plain = re.sub(r"::(?:\"[^\"]+\"|[\w ]+)(?:\(\d+(?:,\d+)?\))?(?:\[\])?", "", text)
    return [(found[1] if found[1] is not None else found[2]).replace("''", "'") for found in _QUOTED.finditer(plain)]


def _partitions(oid: str, tables: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns values for the key of a partitioned table, by column: the first ones of each partition."""
    key = re.match(r"\w+ \((.*)\)$", tables[oid]["key"] or "")
    if not key:
        return {}
    columns = [column.strip().strip('"') for column in key[1].split(",")]
    found: dict[str, list[str]] = {column: [] for column in columns}
    for child_oid, child in tables.items():
        if child["parent"] != oid:
            continue
        bound = child["bound"] or ""
        inside = re.search(r"FROM \((.*?)\) TO|IN \((.*)\)", bound)
        if inside:
            constants = _constants(inside[1] or inside[2])
            if inside[2]:
                found[columns[0]] += constants
            else:
                for column, value in zip(columns, constants, strict=False):
                    found[column].append(value)
        for column, pool in _partitions(child_oid, tables).items():
            found.setdefault(column, []).extend(pool)
    return {column: pool for column, pool in found.items() if pool}
