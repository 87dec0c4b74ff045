"""A read-through cache of single items in Redis. No Redis, or a broken one, is a miss."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from two_lane_api.schemas import Check, ItemRead

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = logging.getLogger(__name__)
_SECONDS = 30
_TIMEOUT = 0.5
# Two releases run side by side during a roll-out and share Redis: each reads only its own shape.
_SHAPE = hashlib.sha256(json.dumps(ItemRead.model_json_schema()).encode()).hexdigest()[:12]


class ItemCache:
    """Keeps an item for 30 seconds. A reader that loses a race with a writer may put an old item
    back, so that is also how long an answer may be old."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    @classmethod
    def connect(cls, url: str | None) -> ItemCache:
        """Raises ValueError if `url` is not a Redis URL. Nothing is connected yet."""
        if url is None:
            return cls(None)
        from redis.asyncio import Redis  # noqa: PLC0415 (100 ms that most starts can do without)

        return cls(Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT))

    async def get(self, item_id: int) -> ItemRead | None:
        if self._redis is None:
            return None
        try:
            text = await self._redis.get(_key(item_id))
            return None if text is None else ItemRead.model_validate_json(text)
        except ValidationError:
            return None
        except _errors() as error:
            _log.warning("the cache could not be read: %s", type(error).__name__)
            return None

    async def put(self, item: ItemRead) -> None:
        if self._redis is None:
            return
        try:
            await self._redis.set(_key(item.id), item.model_dump_json(), ex=_SECONDS)
        except _errors() as error:
            _log.warning("the cache could not be written: %s", type(error).__name__)

    async def forget(self, item_id: int) -> None:
        if self._redis is None:
            return
        try:
            await self._redis.delete(_key(item_id))
        except _errors() as error:
            _log.warning("the cache still has item %s: %s", item_id, type(error).__name__)

    async def check(self) -> Check | None:
        """None without Redis. Never `failed`: the service works without its cache, only slower."""
        if self._redis is None:
            return None
        try:
            await self._redis.get("two-lane:ping")
        except _errors() as error:
            return Check(status="degraded", detail=f"Redis does not answer: {type(error).__name__}")
        return Check(status="ok", detail="Redis answers")

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()


def _key(item_id: int) -> str:
    return f"two-lane:item:{_SHAPE}:{item_id}"


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError  # noqa: PLC0415

    return (RedisError, OSError)
