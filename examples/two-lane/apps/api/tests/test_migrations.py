"""Every migration, up and down, with a row in the table, on the database that the tests run on."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def scripts(config: Config) -> list[Script]:
    """Oldest first."""
    return list(ScriptDirectory.from_config(config).walk_revisions())[::-1]


def execute(url: URL, statement: str, **values: object) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                result = await connection.execute(text(statement), values)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            await engine.dispose()

    return asyncio.run(run())


def insert(url: URL, name: str) -> None:
    # What the first release writes: every later one must be able to live beside it.
    then: object = (
        THEN if url.get_backend_name() == "postgresql" else f"{THEN:%Y-%m-%d %H:%M:%S.%f}"
    )
    execute(url, "INSERT INTO items (name, created_at) VALUES (:name, :then)", name=name, then=then)


def test_each_migration_goes_up_down_and_up_again(
    alembic_config: Config, empty_database: URL
) -> None:
    first, *rest = scripts(alembic_config)
    command.upgrade(alembic_config, first.revision)
    insert(empty_database, "from the start")
    for script in rest:
        command.upgrade(alembic_config, script.revision)
        insert(empty_database, f"by the first release, at {script.revision}")
        command.downgrade(alembic_config, "-1")
        command.upgrade(alembic_config, script.revision)
    names = {name for (name,) in execute(empty_database, "SELECT name FROM items")}
    assert len(names) == 1 + len(rest)
    command.downgrade(alembic_config, "base")
    command.upgrade(alembic_config, "head")
    command.check(alembic_config)


def test_the_models_are_what_the_migrations_make(
    alembic_config: Config, empty_database: URL
) -> None:
    assert empty_database
    command.upgrade(alembic_config, "head")
    command.check(alembic_config)


def test_there_is_one_head_and_each_migration_has_a_phase(alembic_config: Config) -> None:
    every = scripts(alembic_config)
    assert len(ScriptDirectory.from_config(alembic_config).get_heads()) == 1
    assert [script.module.deploy_phase for script in every] == ["expand"] * len(every)


def test_the_backfill_fills_what_is_missing_and_nothing_else(
    alembic_config: Config, empty_database: URL
) -> None:
    command.upgrade(alembic_config, "0003")
    execute(
        empty_database,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
        "INSERT INTO items (name, created_at) SELECT 'item ' || i, '2026-01-01 00:00:00' FROM n",
    )
    execute(empty_database, "DELETE FROM items WHERE id BETWEEN 900 AND 1300")  # gaps in the ids
    execute(empty_database, "UPDATE items SET updated_at = '2026-05-05' WHERE name = 'item 3'")
    command.upgrade(alembic_config, "0004")
    left = execute(empty_database, "SELECT count(*) FROM items WHERE updated_at IS NULL")
    kept = execute(empty_database, "SELECT count(*) FROM items WHERE updated_at != created_at")
    assert (left, kept) == ([(0,)], [(1,)])


def test_a_half_made_index_is_made_anew(alembic_config: Config, empty_database: URL) -> None:
    if empty_database.get_backend_name() != "postgresql":
        pytest.skip("only PostgreSQL makes indexes concurrently; set TEST_DATABASE_URL")
    command.upgrade(alembic_config, "0004")
    execute(empty_database, "CREATE INDEX ix_items_updated_at ON items (updated_at)")
    execute(
        empty_database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_items_updated_at'::regclass",
    )
    command.upgrade(alembic_config, "head")
    valid = execute(
        empty_database,
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_items_updated_at'::regclass",
    )
    assert valid == [(True,)]


def test_the_sql_can_be_shown_without_a_database(
    alembic_config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    command.upgrade(alembic_config, "head", sql=True)
    sql = capsys.readouterr().out
    assert "CREATE INDEX CONCURRENTLY ix_items_updated_at" in sql
    assert sql.count("BEGIN;") >= 3
