"""The cache, on a real Redis where TEST_REDIS_URL names one, and without one that answers."""

from __future__ import annotations

import os
import socket

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.harness import client_of, make_settings
from two_lane_api.app import create_app
from two_lane_api.settings import Settings

pytestmark = pytest.mark.anyio

_REDIS = os.environ.get("TEST_REDIS_URL")


def with_redis(settings: Settings, url: str) -> FastAPI:
    return create_app(make_settings(settings.sqlalchemy_url, redis_url=url))


async def new_item(client: httpx.AsyncClient) -> str:
    created = await client.post("/items", json={"name": "Tea"})
    assert created.status_code == 201
    location: str = created.headers["location"]
    return location


@pytest.mark.skipif(not _REDIS, reason="TEST_REDIS_URL names no Redis, e.g. redis://127.0.0.1:6379")
@pytest.mark.usefixtures("app")
async def test_items_come_from_the_cache_until_they_change(
    settings: Settings, engine: AsyncEngine
) -> None:
    assert _REDIS is not None
    app = with_redis(settings, _REDIS)
    async with app.router.lifespan_context(app), client_of(app) as client:
        location = await new_item(client)
        first = (await client.get(location)).json()
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE items SET name = 'changed behind our back'"))
        assert (await client.get(location)).json() == first
        await client.patch(location, json={"description": "green"})
        assert (await client.get(location)).json()["description"] == "green"
        await client.delete(location)
        assert (await client.get(location)).status_code == 404
        assert (await client.get("/health/ready")).json()["checks"]["cache"]["status"] == "ok"


@pytest.mark.usefixtures("app")
async def test_a_redis_that_is_down_slows_but_does_not_break(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    app = with_redis(settings, f"redis://:a-password@127.0.0.1:{port}/0")
    async with app.router.lifespan_context(app), client_of(app) as client:
        location = await new_item(client)
        assert (await client.get(location)).status_code == 200
        assert (await client.delete(location)).status_code == 204
        ready = await client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["checks"]["cache"]["status"] == "degraded"
    assert "a-password" not in ready.text
