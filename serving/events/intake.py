"""The rules of events, applied to all requests that wait together.

A pass of the rules costs as much for a hundred events as for one, several times what an answer does. It runs in the
thread of the event loop, because it would otherwise wait for the interpreter hundreds of times. After a pass comes a
rest, so that however many events arrive, most of the time is left for answers; a request that comes alone does not
wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from serving.events.rules import Counted, Records, Rules
from serving.futures import resolve

_REST_S = 0.02
_MOST = 256  # records of a pass in the thread of the event loop; it takes some milliseconds


class _Waiting(NamedTuple):
    records: Records
    future: asyncio.Future[Counted]


class Intake:
    """The requests that wait for the rules; it belongs to one event loop."""

    def __init__(self, rules: Rules, rest_s: float = _REST_S, most: int = _MOST):
        self._rules, self._rest_s, self._most = rules, rest_s, most
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Apply the rules while the context is open."""
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    async def views(self, records: Records) -> Counted:
        """Return what counts in a request."""
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.future

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            await self._pass(self._next())
            await asyncio.sleep(self._rest_s)

    def _next(self) -> list[_Waiting]:
        """Return requests of at most `most` records, or one of more."""
        requests = [self._waiting.popleft()]
        size = len(requests[0].records)
        while self._waiting and size + len(self._waiting[0].records) <= self._most:
            requests.append(self._waiting.popleft())
            size += len(requests[-1].records)
        if not self._waiting:
            self._arrived.clear()
        return requests

    async def _pass(self, requests: list[_Waiting]) -> None:
        is_short = len(requests) > 1 or len(requests[0].records) <= self._most
        counted: Sequence[Counted | Exception] | None = self._together(requests) if is_short else None
        if counted is None:
            counted = await asyncio.to_thread(lambda: [self._one(request) for request in requests])
        for request, answer in zip(requests, counted, strict=True):
            resolve(request.future, answer)

    def _together(self, requests: list[_Waiting]) -> list[Counted] | None:
        with contextlib.suppress(Exception):  # of one request, which `_one` finds
            return self._rules.together([request.records for request in requests])
        return None

    def _one(self, request: _Waiting) -> Counted | Exception:
        try:
            return self._rules.views(request.records)
        except Exception as error:
            return error
