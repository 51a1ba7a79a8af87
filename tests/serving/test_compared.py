"""Versions that a request names: those in memory, and on loopback one more at a time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serving.errors import Refusal, UnusableError
from serving.models import compared
from serving.models.compared import Compared

NEWEST: Any = SimpleNamespace(number=9)
OF_VARIANT: Any = SimpleNamespace(number=7)


@pytest.fixture
def loads(monkeypatch):
    """Record the versions that are loaded; 3 is damaged, and 4 has no tables."""
    loaded = []

    def load(number: int, path: str):
        if number == 3:
            raise UnusableError("its graph is damaged")
        loaded.append(number)
        return SimpleNamespace(number=number)

    monkeypatch.setattr(compared, "Model", load)
    monkeypatch.setattr(compared.versions, "paths", lambda *_: {n: str(n) for n in (9, 7, 5, 4, 3, 2)})
    monkeypatch.setattr(compared.Tables, "are_in", lambda path: path != "4")
    return loaded


def made(may_load: bool) -> Compared:
    registry = SimpleNamespace(model=lambda: NEWEST, directory="d", name="n")
    return Compared(registry, lambda: [OF_VARIANT], may_load)


def test_versions_in_memory_are_there_for_everyone(loads):
    versions = made(may_load=False)
    assert asyncio.run(versions.numbers()) == [7]
    for expected in (NEWEST, OF_VARIANT):
        assert asyncio.run(versions.model(expected.number, print)) is expected
    with pytest.raises(Refusal, match="version 5 is not in memory") as refused:
        asyncio.run(versions.model(5, print))
    assert refused.value.status == 404 and loads == []


def test_one_more_is_loaded_once_on_loopback(loads):
    versions, prepared = made(may_load=True), []

    async def ask() -> None:
        assert await versions.numbers() == [7, 5, 3, 2]
        both = await asyncio.gather(*(versions.model(5, prepared.append) for _ in range(2)))
        assert both == [versions.one] * 2 == prepared * 2
        await versions.model(2, prepared.append)
        assert versions.one.number == 2
        busy = await asyncio.gather(versions.model(5, print), versions.model(3, print), return_exceptions=True)
        assert busy[0].number == 5 and busy[1].status == 503

    asyncio.run(ask())
    assert loads == [5, 2, 5]


@pytest.mark.parametrize(
    ("number", "reason"), [(3, "its graph is damaged"), (4, "is not there, or has no tables"), (6, "is not there")]
)
def test_a_version_that_cannot_answer_is_refused(loads, number, reason):
    versions = made(may_load=True)
    for _ in range(2):
        with pytest.raises(Refusal, match=reason) as refused:
            asyncio.run(versions.model(number, print))
        assert refused.value.status == 404


def test_who_stops_waiting_does_not_stop_the_loading(loads):
    versions = made(may_load=True)

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await versions.model(5, print)
        assert (await versions.model(5, print)).number == 5

    asyncio.run(ask())
    assert loads == [5]
