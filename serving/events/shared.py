"""Views in Redis, which servers on several machines share: a sorted set per visitor, ordered by time."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from configs.errors import UserError
from configs.settings import EventSettings
from serving.events.stores import StoreDownError, View

LOG = logging.getLogger("serving")
_KEYS = b"wals:views:"  # before the visitorId
_NUMBERS = struct.Struct(">Qd")  # event and amount, before the item
_MANY = 1000  # keys per round trip
_CONNECTIONS = 16
_UNSAFE = {
    "aof_enabled": ("0", "it has no append-only file (appendonly yes), so it loses events when it restarts"),
    "maxmemory_policy": ("allkeys", "its maxmemory-policy may remove any key, so it may lose events"),
}


class SharedStore:
    """The views in Redis. A connection that broke is made again by the next request."""

    def __init__(self, settings: EventSettings):
        """Describe the connection, without one: the server starts while Redis is down. Raise UserError."""
        try:
            from redis import asyncio as redis
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
            from redis.retry import Retry
        except ModuleNotFoundError as error:
            raise UserError("events.store is a Redis, which needs the package redis; install it") from error
        password = settings.redis_password_env and os.environ.get(settings.redis_password_env)
        if settings.redis_password_env and not password:
            raise UserError(f"events.redis_password_env {settings.redis_password_env} is not set here")
        try:
            self._pool: Any = redis.BlockingConnectionPool.from_url(
                settings.store,
                **({"password": password} if password else {}),
                max_connections=_CONNECTIONS,
                timeout=settings.timeout_seconds,
                socket_timeout=settings.timeout_seconds,
                socket_connect_timeout=settings.timeout_seconds,
                retry=Retry(NoBackoff(), 1),  # at once, on a new connection: Redis may have closed an idle one
            )
            self._redis: Any = redis.Redis(connection_pool=self._pool)
        except ValueError as error:
            raise UserError("events.store must be redis://HOST:PORT/DB, rediss:// or unix://PATH") from error
        self._failures = (RedisError, OSError)
        self._most, self._keep_s = settings.max_per_visitor, round(settings.keep_days * 86_400)
        self._is_checked = False

    async def add(self, visitor: bytes, views: Sequence[View], oldest_ms: int) -> int:
        """Keep views; see Store. Redis has written them to its append-only file when it answers."""
        key = _KEYS + visitor
        members = {_NUMBERS.pack(view.event, view.amount) + view.item: view.time_ms for view in views}
        async with self._answering(), self._redis.pipeline(transaction=True) as pipeline:
            await self._check()
            pipeline.zadd(key, members)
            pipeline.zremrangebyscore(key, "-inf", f"({oldest_ms}")
            pipeline.zremrangebyrank(key, 0, -self._most - 1)
            pipeline.expire(key, self._keep_s)
            return (await pipeline.execute())[0]

    async def of(self, visitor: bytes, oldest_ms: int) -> list[View]:
        """Return the views of a visitor; see Store."""
        async with self._answering():
            rows = await self._redis.zrevrangebyscore(_KEYS + visitor, "+inf", oldest_ms, withscores=True)
        return [_view(member, int(time_ms)) for member, time_ms in rows]

    async def remove(self, visitors: Iterable[bytes], oldest_ms: int) -> int:
        """Remove views; see Store. All keys are looked at, many per round trip."""
        removed = 0
        async with self._answering():
            names, keys = [_KEYS + visitor for visitor in visitors], list[bytes]()
            for start in range(0, len(names), _MANY):
                removed += sum(await self._each("zcard", names[start : start + _MANY]))
                await self._redis.delete(*names[start : start + _MANY])
            async for key in self._redis.scan_iter(_KEYS + b"*", count=_MANY):
                keys.append(key)
                if len(keys) == _MANY:
                    removed += sum(await self._each("zremrangebyscore", keys, "-inf", f"({oldest_ms}"))
                    keys = []
            return removed + sum(await self._each("zremrangebyscore", keys, "-inf", f"({oldest_ms}"))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._pool.aclose()

    async def _each(self, command: str, keys: Sequence[bytes], *arguments: Any) -> list[int]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                getattr(pipeline, command)(key, *arguments)
            return await pipeline.execute()

    async def _check(self) -> None:
        """Warn once about a Redis that can lose what it acknowledged."""
        if self._is_checked:
            return
        facts = await self._redis.info("persistence", "memory")
        self._is_checked = True
        for name, (unsafe, advice) in _UNSAFE.items():
            if str(facts.get(name, "")).startswith(unsafe):
                LOG.warning("events.store: Redis answers, but %s", advice)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            yield
        except self._failures as error:
            raise StoreDownError(type(error).__name__) from error


def _view(member: bytes, time_ms: int) -> View:
    event, amount = _NUMBERS.unpack_from(member)
    return View(member[_NUMBERS.size :], amount, time_ms, event)
