"""A migrated database for the tests, and the application on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.harness import API, client_of, make_database, make_settings
from two_lane_api.app import create_app
from two_lane_api.database import make_engine
from two_lane_api.settings import Settings


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def alembic_config() -> Config:
    return Config(API / "alembic.ini")


@pytest.fixture(scope="session")
def _fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    yield from make_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="session")
def _migrated_database(_fresh_database: URL) -> URL:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", _fresh_database.render_as_string(hide_password=False))
        command.upgrade(Config(API / "alembic.ini"), "head")
    return _fresh_database


@pytest.fixture
def empty_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """A separate database without any table; DATABASE_URL names it."""
    for url in make_database(tmp_path):
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        yield url


@pytest.fixture
def settings(_migrated_database: URL) -> Settings:
    return make_settings(_migrated_database)


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(settings.sqlalchemy_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def app(settings: Settings, engine: AsyncEngine) -> AsyncIterator[FastAPI]:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM items"))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client
