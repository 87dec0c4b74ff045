"""Applications, clients and databases for the tests."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from two_lane_api.settings import Settings

API = Path(__file__).parents[1]
SHA = "0123456789abcdef0123456789abcdef01234567"


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")


def make_settings(url: URL, **changes: object) -> Settings:
    database_url = SecretStr(url.render_as_string(hide_password=False))
    values = {"database_url": database_url, "redis_url": None, "release_sha": SHA, **changes}
    return Settings.model_validate(values)


def make_database(folder: Path) -> Iterator[URL]:
    """Yield an empty database, and remove it.

    A SQLite file, or where TEST_DATABASE_URL names a PostgreSQL server a separate database on
    that server, so its user needs CREATEDB; the database that the URL names is never touched.
    """
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        yield URL.create("sqlite+aiosqlite", database=str(folder / "test.db"))
        return
    base = Settings(database_url=SecretStr(server)).sqlalchemy_url
    name = f"two_lane_test_{secrets.token_hex(6)}"
    asyncio.run(_execute(base, f"CREATE DATABASE {name}"))
    try:
        yield base.set(database=name)
    finally:
        asyncio.run(_execute(base, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: URL, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()
