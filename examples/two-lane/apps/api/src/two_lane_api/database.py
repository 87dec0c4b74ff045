"""The engine, and one session per request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)


def make_engine(url: URL, *, application_name: str = "two-lane-api") -> AsyncEngine:
    """Make an engine. Nothing is connected yet: a database that is down does not stop the start.

    Args:
        url: with an async driver (asyncpg, psycopg or aiosqlite).
        application_name: shown in PostgreSQL's `pg_stat_activity`.
    """
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    driver = url.get_driver_name()
    if driver == "asyncpg":
        arguments["connect_args"] = {"server_settings": {"application_name": application_name}}
    elif driver == "psycopg":
        arguments["connect_args"] = {"application_name": application_name}
    engine = create_async_engine(url, **arguments)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _wait_for_other_writers)
    return engine


def _wait_for_other_writers(connection: Any, _record: Any) -> None:
    # During a roll-out the old and the new release write to the same file.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def make_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine, expire_on_commit=False)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]
"""The request's session. Endpoints commit themselves, so that a commit that fails is answered with
an error: what runs after `yield` runs when the answer is already on its way."""
