"""Stores of views, as the server sees them; serving.events.embedded and serving.events.shared are the two kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class StoreDownError(Exception):
    """The store does not answer. The message names the cause, and no visitor."""


class View(NamedTuple):
    """The amount that one event counts for one item, as the signals say."""

    item: bytes
    amount: float
    time_ms: int
    event: int  # uint64, tells events of one time apart; an event that is sent again has the same


class Store(Protocol):
    """The views of visitors, the newest of each. It belongs to one event loop."""

    async def add(self, visitor: bytes, views: Sequence[View], oldest_ms: int) -> int:
        """Keep views, drop those before `oldest_ms`, and return how many are new; raise StoreDownError.

        When it returns, the views outlast the end of the process.
        """

    async def of(self, visitor: bytes, oldest_ms: int) -> list[View]:
        """Return the views of a visitor since a time, the newest first; raise StoreDownError."""

    async def remove(self, visitors: Iterable[bytes], oldest_ms: int) -> int:
        """Remove all views of some visitors, and those of all before a time; return their number."""

    async def close(self) -> None:
        """Let go of files and connections."""
