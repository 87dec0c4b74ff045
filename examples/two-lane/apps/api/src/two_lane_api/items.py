"""The items resource."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from two_lane_api.cache import ItemCache
from two_lane_api.database import Session
from two_lane_api.errors import name_taken, not_found, problems
from two_lane_api.models import Item
from two_lane_api.schemas import ItemCreate, ItemPage, ItemRead, ItemUpdate

router = APIRouter(prefix="/items", tags=["items"])

# The width of the column: a larger number would be the database's error, not a 404.
ItemId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("", responses=problems(422))
async def list_items(
    session: Session,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    updated_since: AwareDatetime | None = None,
) -> ItemPage:
    """List items, newest first; pages do not shift when items are added meanwhile."""
    query = select(Item).order_by(Item.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(Item.id < before)
    if updated_since is not None:
        query = query.where(_updated_since(updated_since))
    rows = list(await session.scalars(query))
    page = [ItemRead.model_validate(row) for row in rows[:limit]]
    return ItemPage(items=page, next_before=page[-1].id if len(rows) > limit else None)


@router.post("", status_code=201, responses=problems(409, 422))
async def create_item(body: ItemCreate, session: Session, response: Response) -> ItemRead:
    item = Item(name=body.name, description=body.description)
    session.add(item)
    await _commit(session, name=body.name)
    response.headers["Location"] = f"/items/{item.id}"
    return ItemRead.model_validate(item)


@router.get("/{item_id}", responses=problems(404, 422))
async def get_item(item_id: ItemId, session: Session, request: Request) -> ItemRead:
    cache = _cache(request)
    cached = await cache.get(item_id)
    if cached is not None:
        return cached
    item = ItemRead.model_validate(await _existing(session, item_id))
    await cache.put(item)
    return item


@router.patch("/{item_id}", responses=problems(404, 409, 422))
async def update_item(
    item_id: ItemId, body: ItemUpdate, session: Session, request: Request
) -> ItemRead:
    item = await _existing(session, item_id)
    for field, value in body.model_dump(exclude_unset=True).items():
        setattr(item, field, value)
    await _commit(session, name=item.name)
    await _cache(request).forget(item_id)
    return ItemRead.model_validate(item)


@router.delete("/{item_id}", status_code=204, responses=problems(404, 422))
async def delete_item(item_id: ItemId, session: Session, request: Request) -> None:
    await session.delete(await _existing(session, item_id))
    await session.commit()
    await _cache(request).forget(item_id)


def _cache(request: Request) -> ItemCache:
    cache: ItemCache = request.app.state.cache
    return cache


def _updated_since(moment: AwareDatetime) -> ColumnElement[bool]:
    # Rows of the previous release, written while it still ran, have no updated_at. Asking for them
    # apart lets both databases use the index, which coalesce() would not.
    never_updated = and_(Item.updated_at.is_(None), Item.created_at >= moment)
    return or_(Item.updated_at >= moment, never_updated)


async def _existing(session: AsyncSession, item_id: int) -> Item:
    item = await session.get(Item, item_id)
    if item is None:
        raise not_found(item_id)
    return item


async def _commit(session: AsyncSession, *, name: str) -> None:
    try:
        await session.commit()
    except IntegrityError as error:
        # The name is the only thing about an item that can clash; the schema has checked the rest.
        raise name_taken(name) from error
