from __future__ import annotations

from datetime import datetime, timedelta, timezone

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = pytest.mark.anyio


async def create(client: httpx.AsyncClient, name: str, description: str | None = None) -> int:
    response = await client.post("/items", json={"name": name, "description": description})
    assert response.status_code == 201, response.text
    identifier: int = response.json()["id"]
    return identifier


async def test_an_item_lives_from_creation_to_deletion(client: httpx.AsyncClient) -> None:
    created = await client.post("/items", json={"name": "  Tea ", "description": "green"})
    assert created.status_code == 201
    item = created.json()
    assert (item["name"], item["description"]) == ("Tea", "green")
    assert datetime.fromisoformat(item["created_at"].replace("Z", "+00:00")).tzinfo is not None
    assert created.headers["location"] == f"/items/{item['id']}"

    read = await client.get(created.headers["location"])
    assert read.json() == item

    renamed = await client.patch(f"/items/{item['id']}", json={"name": "Coffee"})
    assert renamed.status_code == 200
    assert (renamed.json()["name"], renamed.json()["description"]) == ("Coffee", "green")
    assert renamed.json()["updated_at"] > item["updated_at"]
    assert renamed.json()["created_at"] == item["created_at"]

    deleted = await client.delete(f"/items/{item['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get(f"/items/{item['id']}")).status_code == 404


async def test_a_description_can_be_removed_but_a_name_cannot(client: httpx.AsyncClient) -> None:
    item = await create(client, "Tea", "green")
    removed = await client.patch(f"/items/{item}", json={"description": None})
    assert removed.json()["description"] is None
    refused = await client.patch(f"/items/{item}", json={"name": None})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["where"] == "body.name"


async def test_pages_are_newest_first_and_do_not_shift(client: httpx.AsyncClient) -> None:
    ids = [await create(client, f"item {number}") for number in range(5)]
    first = (await client.get("/items", params={"limit": 2})).json()
    assert [item["id"] for item in first["items"]] == [ids[4], ids[3]]
    await create(client, "a newcomer")
    second = (
        await client.get("/items", params={"limit": 2, "before": first["next_before"]})
    ).json()
    assert [item["id"] for item in second["items"]] == [ids[2], ids[1]]
    last = (await client.get("/items", params={"limit": 2, "before": second["next_before"]})).json()
    assert [item["id"] for item in last["items"]] == [ids[0]]
    assert last["next_before"] is None


async def test_a_page_that_is_exactly_full_is_the_last_one(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await create(client, f"item {number}")
    page = (await client.get("/items", params={"limit": 3})).json()
    assert (len(page["items"]), page["next_before"]) == (3, None)


async def test_updated_since_knows_rows_of_the_previous_release(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    old = await create(client, "old")
    touched = await create(client, "touched")
    by_previous_release = await create(client, "written without updated_at")
    long_ago = datetime.now(timezone.utc) - timedelta(days=2)
    async with engine.begin() as connection:
        statement = "UPDATE items SET created_at = :then, updated_at = :then WHERE id != :keep"
        then: object = (
            long_ago if engine.dialect.name == "postgresql" else f"{long_ago:%Y-%m-%d %H:%M:%S.%f}"
        )
        await connection.execute(text(statement), {"then": then, "keep": by_previous_release})
        statement = "UPDATE items SET updated_at = NULL WHERE id = :id"
        await connection.execute(text(statement), {"id": by_previous_release})
    await client.patch(f"/items/{touched}", json={"description": "new"})

    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat()
    page = (await client.get("/items", params={"updated_since": yesterday})).json()
    assert [item["id"] for item in page["items"]] == [by_previous_release, touched]
    assert page["items"][0]["updated_at"] == page["items"][0]["created_at"]
    assert (
        (await client.get(f"/items/{old}"))
        .json()["updated_at"]
        .startswith(f"{long_ago:%Y-%m-%dT%H:%M:%S}")
    )


async def test_a_name_can_be_taken_only_once(client: httpx.AsyncClient) -> None:
    await create(client, "Tea")
    other = await create(client, "Coffee")
    for response in (
        await client.post("/items", json={"name": "Tea"}),
        await client.patch(f"/items/{other}", json={"name": "Tea"}),
    ):
        assert response.status_code == 409
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "There is already an item named 'Tea'.",
            "errors": [],
        }
    assert (await client.get(f"/items/{other}")).json()["name"] == "Coffee"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_item_that_is_not_there_is_404(client: httpx.AsyncClient, method: str) -> None:
    body = {"name": "x"} if method == "PATCH" else None
    response = await client.request(method, "/items/4711", json=body)
    assert response.status_code == 404
    assert response.json()["detail"] == "There is no item 4711."


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.name"),
        ({"name": "   "}, "body.name"),
        ({"name": "x" * 201}, "body.name"),
        ({"name": "x", "description": "y" * 2001}, "body.description"),
        ({"name": "x", "colour": "red"}, "body.colour"),
        ([], "body"),
    ],
)
async def test_an_item_that_cannot_be_is_422(
    client: httpx.AsyncClient, body: object, where: str
) -> None:
    response = await client.post("/items", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["where"] for error in response.json()["errors"]] == [where]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "101"}, {"before": "0"}, {"updated_since": "2026-01-01T00:00:00"}],
)
async def test_a_list_that_cannot_be_asked_for_is_422(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    assert (await client.get("/items", params=query)).status_code == 422


async def test_an_id_beyond_the_column_is_422_not_an_error(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/items/{2**31}")).status_code == 422
