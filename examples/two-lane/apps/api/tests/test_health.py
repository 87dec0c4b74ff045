from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.harness import SHA, client_of, make_settings
from two_lane_api.app import create_app
from two_lane_api.readiness import Revisions, own_revisions

pytestmark = pytest.mark.anyio

CHAIN = Revisions(heads=frozenset({"c"}), known=frozenset({"a", "b", "c"}))


@asynccontextmanager
async def at_revision(engine: AsyncEngine, revision: str) -> AsyncIterator[None]:
    async def put(value: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(
                text("UPDATE alembic_version SET version_num = :revision"), {"revision": value}
            )

    (head,) = own_revisions().heads
    await put(revision)
    try:
        yield
    finally:
        await put(head)


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@asynccontextmanager
async def postgres_that_knows_nobody() -> AsyncIterator[int]:
    """As much of PostgreSQL's protocol as it takes to turn a password down."""

    async def turn_down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # may we talk TLS?
        writer.write(b"N")
        length = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(length - 4)  # who we are
        fields = b"SFATAL\0C28P01\0Mpassword authentication failed for user u\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        writer.close()

    server = await asyncio.start_server(turn_down, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def postgres_at(port: int) -> URL:
    return URL.create("postgresql+asyncpg", "u", "a-password", "127.0.0.1", port, "d")


async def test_liveness_says_the_version(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live")
    assert response.status_code == 200
    assert response.json() == {"status": "live", "version": SHA}
    assert response.headers["x-version"] == SHA


async def test_ready_at_head(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["status"], body["version"]) == ("ready", SHA)
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "database": "ok",
        "schema": "ok",
    }
    assert response.headers["x-version"] == SHA
    assert response.headers["cache-control"] == "no-store"


async def test_ready_ahead_of_this_release(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    async with at_revision(engine, "9999"):
        response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["checks"]["schema"] == {
        "status": "ok",
        "detail": "ahead of this release, 9999",
    }


async def test_unready_at_a_known_older_revision(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with at_revision(engine, "0001"):
        response = await client.get("/health/ready")
        startup = await client.get("/health/startup")
    assert response.status_code == 503
    assert response.headers["x-version"] == SHA
    assert response.json()["status"] == "unready"
    checks = response.json()["checks"]
    assert next(iter(checks)) == "schema"
    assert "at 0001, older than" in checks["schema"]["detail"]
    assert startup.status_code == 503


async def test_unready_without_a_schema(empty_database: URL) -> None:
    app = create_app(make_settings(empty_database))
    async with app.router.lifespan_context(app), client_of(app) as client:
        response = await client.get("/health/ready")
    assert response.status_code == 503
    assert "alembic upgrade head" in response.json()["checks"]["schema"]["detail"]


@pytest.mark.parametrize(
    ("current", "status"),
    [
        (["c"], "ok"),
        (["b"], "failed"),
        (["z"], "ok"),
        ([], "failed"),
        (["c", "z"], "ok"),
        (["b", "c"], "failed"),
    ],
)
def test_revisions_are_judged(current: list[str], status: str) -> None:
    assert CHAIN.judge(current).status == status


async def test_a_database_that_refuses_is_503_and_tells_no_secret() -> None:
    app = create_app(make_settings(postgres_at(closed_port())))
    async with app.router.lifespan_context(app), client_of(app) as client:
        response = await client.get("/health/ready")
        assert (await client.get("/health/live")).status_code == 200
    assert response.status_code == 503
    assert response.json()["checks"]["database"]["status"] == "failed"
    assert "ConnectionRefusedError" in response.json()["checks"]["database"]["detail"]
    assert "a-password" not in response.text


async def test_a_wrong_password_is_503_and_tells_no_secret() -> None:
    async with postgres_that_knows_nobody() as port:
        app = create_app(make_settings(postgres_at(port)))
        async with app.router.lifespan_context(app), client_of(app) as client:
            response = await client.get("/health/ready")
    assert response.status_code == 503
    detail = response.json()["checks"]["database"]["detail"]
    assert detail == "the database cannot be used: InvalidPasswordError"


async def test_a_database_that_never_answers_is_503_and_blocks_nobody() -> None:
    async with silent_server() as port:
        app = create_app(make_settings(postgres_at(port), readiness_timeout=0.3))
        async with app.router.lifespan_context(app), client_of(app) as client:
            probes = [asyncio.create_task(client.get("/health/ready")) for _ in range(20)]
            live = await client.get("/health/live")
            assert not any(probe.done() for probe in probes)
            assert live.status_code == 200
            answers = await asyncio.gather(*probes)
    assert {answer.status_code for answer in answers} == {503}
    details = {answer.json()["checks"]["database"]["detail"] for answer in answers}
    assert details == {"the database did not answer within 0.3 s"}


async def test_started_stays_started_when_the_database_goes(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    assert (await client.get("/health/startup")).json()["status"] == "started"
    async with at_revision(engine, "0001"):
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/startup")).status_code == 200
