"""The version tables that env.py migrates: mostly one, but one per tenant or database where env.py loops."""

from __future__ import annotations

import dataclasses
from typing import Any

from cicd_actions.run_migrations_oneshot.in_image import session
from cicd_actions.run_migrations_oneshot.in_image.aside import on_fresh
from cicd_actions.run_migrations_oneshot.in_image.connections import Connections
from cicd_actions.run_migrations_oneshot.in_image.scripts import Scripts


@dataclasses.dataclass
class VersionTable:
    """One version table. `ordinal` is its connection's, `name` is ready to stand in a statement, `before` are its heads.

    `database` is how people tell it from the others. `shared` is true where several migrations share one transaction.
    """

    ordinal: int
    engine: Any
    name: str
    database: str
    before: tuple[str, ...]
    destination: str
    steps: list[Any]
    external: bool
    transactional: bool
    shared: bool

    @property
    def postgres(self) -> bool:
        return str(self.engine.dialect.name) == "postgresql"


def version_table(context: Any, at: Any, scripts: Scripts, connections: Connections, destination: str) -> VersionTable:
    """Returns the table that this run of `context.run_migrations()` is about. `at` are its heads as Alembic read them."""
    before = tuple(sorted([at] if isinstance(at, str) else at))
    ordinal = connections.ordinal(context.connection)
    found = connections.seen[ordinal]
    quote = context.dialect.identifier_preparer.quote
    name = quote(context.version_table)
    schema: str | None = quote(context.version_table_schema) if context.version_table_schema else None
    if schema is None and found.pid is not None:
        # env.py may have set this session's search path (a tenant): a fresh connection has to look in the same schema.
        schema = session.schema_of(found.dbapi, name)
    where = schema
    if found.pid is not None and not context.version_table_schema:
        # Also where the version table does not exist yet.
        where = session.current_schema(found.dbapi)
    steps = [] if scripts.unknown(before) else scripts.steps(before, destination)
    external = bool(getattr(context, "_in_external_transaction", False))
    transactional = bool(context.impl.transactional_ddl)
    return VersionTable(
        ordinal=ordinal,
        engine=found.engine,
        name=f"{schema}.{name}" if schema else name,
        database=".".join(part for part in (str(found.engine.url.database or ""), where or "") if part),
        before=before,
        # `+1` would be another step for a second run that waited: what it means is settled once.
        destination=steps[-1].revision.revision if steps and destination[:1] == "+" else destination,
        steps=steps,
        external=external,
        transactional=transactional,
        shared=external or (transactional and not getattr(context, "_transaction_per_migration", False)),
    )


def heads_of(table: VersionTable, seconds: float = 10.0) -> tuple[str, ...]:
    """Returns the table's heads now, read on a fresh connection. Without a version table there is no head."""

    def read(dbapi: Any) -> tuple[str, ...]:
        try:
            return tuple(sorted(str(row[0]) for row in session.ask(dbapi, f"SELECT version_num FROM {table.name}")))
        except Exception as error:
            text = f"{getattr(error, 'sqlstate', '')} {getattr(error, 'pgcode', '')} {error}".lower()
            if "42p01" in text or "no such table" in text or "doesn't exist" in text or "does not exist" in text:
                return ()
            raise

    heads: tuple[str, ...] = on_fresh(table.engine, read, seconds)
    return heads


def invalid_in(tables: list[VersionTable], seconds: float = 10.0) -> list[str]:
    """Returns the invalid indexes of every PostgreSQL database among the tables'."""
    found: list[str] = []
    for table in one_per_database(tables):
        found += on_fresh(table.engine, session.invalid_indexes, seconds)
    return sorted(set(found))


def joined(per_table: list[tuple[str, ...]]) -> list[str]:
    """Returns the heads of all tables, each once."""
    return sorted({revision for heads in per_table for revision in heads})


def one_per_database(tables: list[VersionTable]) -> list[VersionTable]:
    """Returns one table of each PostgreSQL database."""
    by_url: dict[str, VersionTable] = {str(table.engine.url): table for table in tables if table.postgres}
    return list(by_url.values())
