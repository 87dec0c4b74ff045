"""How Alembic reaches the database: by the application's own settings and async driver."""

from __future__ import annotations

import asyncio
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from two_lane_api.models import Base
from two_lane_api.settings import Settings

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

_url = Settings().sqlalchemy_url


def _configure(connection: Connection | None = None) -> None:
    sqlite = _url.get_backend_name() == "sqlite"
    common: dict[str, Any] = {
        "target_metadata": Base.metadata,
        "compare_type": True,
        # One transaction a migration: what failed is undone, what succeeded before it stays.
        "transaction_per_migration": True,
        # SQLite cannot drop a constraint or, before 3.35, a column: Alembic copies the table.
        "render_as_batch": sqlite,
    }
    if connection is None:
        context.configure(
            url=_url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **common
        )
    else:
        context.configure(connection=connection, **common)


def _run(connection: Connection) -> None:
    _configure(connection)
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    engine = create_async_engine(_url, poolclass=NullPool)
    try:
        # connect(), not begin(): a transaction of ours around Alembic's would keep
        # CREATE INDEX CONCURRENTLY from running.
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    _configure()
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_online())
