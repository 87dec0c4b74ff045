"""Whether this release can serve: is the database there, and is its schema one we can work with?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from two_lane_api.cache import ItemCache
from two_lane_api.schemas import Check

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Revisions:
    """The schema revisions that come with this release."""

    heads: frozenset[str]
    known: frozenset[str]

    def judge(self, current: Collection[str]) -> Check:
        """Judge the database's revision.

        Ready at this release's head, and at a revision it does not know: a newer release has
        migrated already (or this one was rolled back to), and migrations are made so that the
        previous code can live with them. A known older one lacks what this code needs.
        """
        if not current:
            return Check(
                status="failed", detail="the schema has no revision; run: alembic upgrade head"
            )
        at = ", ".join(sorted(current))
        if frozenset(current) == self.heads:
            return Check(status="ok", detail=f"at head, {at}")
        if not self.known.issuperset(current):
            return Check(status="ok", detail=f"ahead of this release, {at}")
        head = ", ".join(sorted(self.heads))
        return Check(
            status="failed",
            detail=f"at {at}, older than this release's head {head}; run: alembic upgrade head",
        )


@lru_cache(maxsize=1)
def own_revisions() -> Revisions:
    """Read the revision files of this release, once."""
    scripts = ScriptDirectory(str(files("two_lane_api").joinpath("migrations")))
    return Revisions(
        heads=frozenset(scripts.get_heads()),
        known=frozenset(script.revision for script in scripts.walk_revisions()),
    )


class ReadinessCheck:
    """Checks on demand, at most one check at a time however many probes come in.

    A check that is not done after `timeout` seconds is given up without waiting for its clean-up:
    a driver that hangs while it cancels must not make the probe hang.
    """

    def __init__(self, engine: AsyncEngine, cache: ItemCache, *, timeout: float) -> None:
        self._engine = engine
        self._cache = cache
        self._timeout = timeout
        self._running: asyncio.Task[dict[str, Check]] | None = None
        self._given_up: set[asyncio.Task[dict[str, Check]]] = set()

    async def run(self) -> dict[str, Check]:
        task = self._running
        if task is None or task.done():
            task = self._running = asyncio.create_task(self._check())
        done, _ = await asyncio.wait({task}, timeout=self._timeout)
        if done and not task.cancelled():
            return task.result()
        if self._running is task:
            self._running = None
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)
            task.cancel()
        reason = f"the database did not answer within {self._timeout:g} s"
        return {"database": Check(status="failed", detail=reason)}

    async def _check(self) -> dict[str, Check]:
        checks: dict[str, Check] = {}
        cache = asyncio.create_task(self._cache.check())
        try:
            async with self._engine.connect() as connection:
                current = await _current_revisions(connection)
            checks["database"] = Check(status="ok", detail=f"{self._engine.dialect.name} answers")
            checks["schema"] = own_revisions().judge(current)
        except Exception as error:  # noqa: BLE001 (while connecting, drivers raise what they like)
            _log.warning("not ready: %s", error)
            checks["database"] = Check(status="failed", detail=_reason(error))
        found = await cache
        if found is not None:
            checks["cache"] = found
        # What failed stands first: a caller may show only the beginning of the answer.
        return dict(sorted(checks.items(), key=lambda check: check[1].status != "failed"))


async def _current_revisions(connection: AsyncConnection) -> list[str]:
    await connection.execute(text("SELECT 1"))
    has_table = await connection.run_sync(
        lambda sync: sync.dialect.has_table(sync, "alembic_version")
    )
    if not has_table:
        return []
    rows = await connection.execute(text("SELECT version_num FROM alembic_version"))
    return list(rows.scalars())


def _reason(error: Exception) -> str:
    # Drivers' messages may hold host, user or statement, so only the kind of error is told outside.
    cause: BaseException = (
        error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    )
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"the database cannot be used: {type(cause).__name__}"
