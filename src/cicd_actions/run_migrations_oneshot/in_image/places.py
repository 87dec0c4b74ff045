"""The places that env.py migrates: mostly one, but one per tenant or database where env.py loops."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from cicd_actions.run_migrations_oneshot.in_image import session
from cicd_actions.run_migrations_oneshot.in_image.aside import on_fresh
from cicd_actions.run_migrations_oneshot.in_image.connections import Connections
from cicd_actions.run_migrations_oneshot.in_image.scripts import Scripts


@dataclasses.dataclass
class Place:
    """One version table. `ordinal` is its connection's, `table` is ready to stand in a statement, `before` are its heads."""

    ordinal: int
    engine: Any
    table: str
    before: tuple[str, ...]
    destination: str
    steps: list[Any]
    external: bool
    transactional: bool

    @property
    def postgres(self) -> bool:
        return str(self.engine.dialect.name) == "postgresql"


def place_of(context: Any, at: Any, scripts: Scripts, connections: Connections, destination: str) -> Place:
    """The place that this run of `context.run_migrations()` is about. `at` are its heads as Alembic read them."""
    before = tuple(sorted([at] if isinstance(at, str) else at))
    ordinal = connections.ordinal(context.connection)
    found = connections.seen[ordinal]
    quote = context.dialect.identifier_preparer.quote
    table = quote(context.version_table)
    schema: str | None = quote(context.version_table_schema) if context.version_table_schema else None
    if schema is None and found.pid is not None:
        # env.py may have set this session's search path (a tenant): a fresh connection has to look in the same schema.
        schema = session.schema_of(found.dbapi, table)
    steps = [] if scripts.unknown(before) else scripts.steps(before, destination)
    return Place(
        ordinal=ordinal,
        engine=found.engine,
        table=f"{schema}.{table}" if schema else table,
        before=before,
        # `+1` would be another step for a second run that waited: what it means is settled once.
        destination=steps[-1].revision.revision if steps and destination[:1] == "+" else destination,
        steps=steps,
        external=bool(getattr(context, "_in_external_transaction", False)),
        transactional=bool(context.impl.transactional_ddl),
    )


def heads_of(place: Place, seconds: float = 10.0) -> tuple[str, ...]:
    """The place's heads now, read on a fresh connection. No version table is no head."""

    def read(dbapi: Any) -> tuple[str, ...]:
        try:
            return tuple(sorted(str(row[0]) for row in session.ask(dbapi, f"SELECT version_num FROM {place.table}")))
        except Exception as error:
            text = f"{getattr(error, 'sqlstate', '')} {getattr(error, 'pgcode', '')} {error}".lower()
            if "42p01" in text or "no such table" in text or "doesn't exist" in text or "does not exist" in text:
                return ()
            raise

    heads: tuple[str, ...] = on_fresh(place.engine, read, seconds)
    return heads


def invalid_in(places: list[Place], seconds: float = 10.0) -> list[str]:
    """The invalid indexes of every PostgreSQL database among the places."""
    found: list[str] = []
    for place in _one_per_database(places):
        found += on_fresh(place.engine, session.invalid_indexes, seconds)
    return sorted(set(found))


def end_sessions(places: list[Place], pids: list[int], seconds: float) -> bool:
    """Terminate these sessions in the database and wait until they are gone. True when they are."""
    ends = time.monotonic() + seconds

    def work(dbapi: Any) -> bool:
        session.terminate(dbapi, pids)
        while session.alive(dbapi, pids):
            if time.monotonic() >= ends:
                return False
            time.sleep(0.03)
        return True

    return all(on_fresh(place.engine, work, max(ends - time.monotonic(), 0.5)) for place in _one_per_database(places))


def joined(per_place: list[tuple[str, ...]]) -> list[str]:
    """The heads of all places, each once."""
    return sorted({revision for heads in per_place for revision in heads})


def _one_per_database(places: list[Place]) -> list[Place]:
    by_url: dict[str, Place] = {str(place.engine.url): place for place in places if place.postgres}
    return list(by_url.values())
