"""Views in a file of SQLite, which the server's processes on one machine share.

All requests that wait share one transaction, so that a disk that takes 5 ms to confirm a write does not limit the
server to 200 requests a second. A thread begins and commits it, which may wait for the disk or for another process. Its
statements run in the event loop: in the thread they would wait for the interpreter after each row, which under load
took seconds. Readers never wait for a writer (write-ahead log).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.settings import EventSettings
from serving.events.stores import StoreDownError, View
from serving.futures import resolve

_VERSION = 1
_TABLES = f"""
CREATE TABLE IF NOT EXISTS views (
  visitor BLOB NOT NULL, time_ms INTEGER NOT NULL, event INTEGER NOT NULL, item BLOB NOT NULL, amount REAL NOT NULL,
  PRIMARY KEY (visitor, time_ms, event, item)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS views_by_time ON views (time_ms);
PRAGMA user_version = {_VERSION};
"""
_ADD = "INSERT OR IGNORE INTO views (visitor, item, amount, time_ms, event) VALUES (?, ?, ?, ?, ?)"
_TRIM = """
DELETE FROM views WHERE visitor = ?1 AND (time_ms < ?2 OR (time_ms, event, item) < (
  SELECT time_ms, event, item FROM views WHERE visitor = ?1
  ORDER BY time_ms DESC, event DESC, item DESC LIMIT 1 OFFSET ?3))
"""
_OF = "SELECT item, amount, time_ms, event FROM views WHERE visitor = ? AND time_ms >= ? ORDER BY time_ms DESC"
_MOST_WAITING = 64  # requests in one transaction; their statements take some milliseconds

_Work = Callable[[sqlite3.Connection], Any]
_Waiting = tuple[_Work, asyncio.Future[Any]]


class EmbeddedStore:
    """The views in a file; it belongs to one event loop."""

    def __init__(self, settings: EventSettings):
        """Open the file, or make it; raise UserError if it cannot be used."""
        self._most, self._timeout = settings.max_per_visitor, settings.timeout_seconds
        try:
            path = Path(settings.store)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # nobody else reads what visitors view
            self._writer = _connect(path, settings)
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise UserError(f"events.store {path} is of another release; name another file")
            self._writer.executescript(_TABLES)
            self._reader = _connect(path, settings)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"events.store {settings.store} cannot be used ({reason}); name another file") from error
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="views")

    async def add(self, visitor: bytes, views: Sequence[View], oldest_ms: int) -> int:
        """Keep views; see Store."""
        rows = [(visitor, view.item, view.amount, view.time_ms, _signed(view.event)) for view in views]

        def work(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            connection.executemany(_ADD, rows)
            added = connection.total_changes - before
            connection.execute(_TRIM, (visitor, oldest_ms, self._most - 1))
            return added

        return await self._ask(work)

    async def of(self, visitor: bytes, oldest_ms: int) -> list[View]:
        """Return the views of a visitor; see Store. The rows are next to each other: to hand over takes longer."""
        try:
            rows = self._reader.execute(_OF, (visitor, oldest_ms)).fetchall()
        except sqlite3.Error as error:
            raise StoreDownError(str(error)) from error
        return [View(item, amount, time_ms, event % (1 << 64)) for item, amount, time_ms, event in rows]

    async def remove(self, visitors: Iterable[bytes], oldest_ms: int) -> int:
        """Remove views; see Store."""
        names = [(visitor,) for visitor in visitors]

        def work(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            connection.executemany("DELETE FROM views WHERE visitor = ?", names)
            connection.execute("DELETE FROM views WHERE time_ms < ?", (oldest_ms,))
            return connection.total_changes - before

        return await self._ask(work)

    async def close(self) -> None:
        """Write what waits, and close the file."""
        if self._writing:
            await self._writing
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    async def _ask(self, work: _Work) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        try:
            async with asyncio.timeout(self._timeout):  # wait_for of Python 3.11 can lose a cancellation
                return await future
        except TimeoutError:
            raise StoreDownError("the disk did not confirm a write in time") from None

    async def _write(self) -> None:
        """Write all that waits."""
        while self._waiting:
            jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_WAITING))]
            jobs = [(work, future) for work, future in jobs if not future.done()]  # the others gave up
            results: Sequence[Any]
            try:
                await self._in_thread("BEGIN IMMEDIATE")
                results = [work(self._writer) for work, _ in jobs]
                await self._in_thread("COMMIT")
            except sqlite3.Error as error:
                if self._writer.in_transaction:
                    await self._in_thread("ROLLBACK")
                results = [StoreDownError(str(error))] * len(jobs)
            for (_, future), result in zip(jobs, results, strict=True):
                resolve(future, result)

    async def _in_thread(self, statement: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.execute, statement)


def _connect(path: Path, settings: EventSettings) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=settings.timeout_seconds, isolation_level=None, check_same_thread=False, cached_statements=16
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if settings.fsync else 'NORMAL'}")
    connection.execute("PRAGMA secure_delete = ON")  # what is removed is not left in the file
    return connection


def _signed(event: int) -> int:
    """Return the int64 with the bits of a uint64."""
    return event - (1 << 64) if event >= 1 << 63 else event
