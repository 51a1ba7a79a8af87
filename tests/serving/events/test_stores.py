"""Both stores keep what they acknowledged, of each visitor alone, bounded in number and age."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3

import pytest

from configs.errors import UserError
from configs.settings import EventSettings
from serving.events.live import opened_store
from serving.events.stores import StoreDownError, View
from tests.support import redis_server

ODD = b"a\x00\n\xff' OR 1"


def view(number: int, item: bytes = b"tea") -> View:
    return View(item, number / 4, 1000 + number, (1 << 64) - 1 - number)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["file", "redis"])
def settings(request, tmp_path):
    """Settings of an empty store of five views per visitor."""
    store = str(tmp_path / "new" / "events.sqlite")
    if request.param == "redis":
        store = request.getfixturevalue("redis").url.removesuffix("0") + str(hash(request.node.name) % 15)
    made = EventSettings(store=store, max_per_visitor=5, timeout_seconds=5)
    asyncio.run(asking(made, lambda store: store.remove([b"ann", b"bob", ODD], 1 << 50)))
    return made


async def asking(settings, *asks):
    """Open a store, ask it, close it, and return the answers."""
    store = opened_store(settings)
    try:
        return [await ask(store) for ask in asks]
    finally:
        await store.close()


def test_views_are_kept_over_a_restart_each_visitors_own(settings):
    views = [view(1), view(2, ODD), View(b"tea", -2.5, 1001, 7)]
    added, again = asyncio.run(
        asking(settings, lambda store: store.add(b"ann", views, 0), lambda store: store.add(b"ann", views[:2], 0))
    )
    assert (added, again) == (3, 0), "a request that is sent again adds nothing"
    asyncio.run(asking(settings, lambda store: store.add(ODD, [view(9)], 0)))
    of_ann, of_odd, of_bob = asyncio.run(
        asking(settings, *(lambda store, name=name: store.of(name, 0) for name in (b"ann", ODD, b"bob")))
    )
    assert sorted(of_ann) == sorted(views) and of_ann[0].time_ms == 1002
    assert of_odd == [view(9)] and of_bob == []


def test_a_visitor_has_the_newest_views_and_none_that_is_too_old(settings):
    async def ask(store):
        await store.add(b"ann", [view(number) for number in range(1000)], 0)
        newest = await store.of(b"ann", 0)
        await store.add(b"ann", [view(998, b"cup")], 1997)
        return newest, await store.of(b"ann", 0), await store.of(b"ann", 1999)

    newest, trimmed, later = asyncio.run(asking(settings, ask))[0]
    assert newest == [view(number) for number in range(999, 994, -1)]
    assert sorted(trimmed) == sorted([view(997), view(998), view(998, b"cup"), view(999)])
    assert later == [view(999)]


def test_a_damaged_file_fails_what_was_asked_and_nothing_else(tmp_path):
    """Neither views nor the file's path are in the reason; the store answers again once the table is there."""
    path = tmp_path / "events.sqlite"

    async def ask(store):
        await store.add(b"ann", [view(1)], 0)
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE views RENAME TO lost")
        with pytest.raises(StoreDownError, match="no such table"):
            await store.add(b"ann", [view(2)], 0)
        with pytest.raises(StoreDownError, match="no such table"):
            await store.of(b"ann", 0)
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE lost RENAME TO views")
        await store.add(b"ann", [view(3)], 0)
        return await store.of(b"ann", 0)

    assert asyncio.run(asking(EventSettings(store=str(path)), ask)) == [[view(3), view(1)]]


def test_removal_is_of_visitors_and_of_old_views(settings):
    async def ask(store):
        for name in (b"ann", b"bob"):
            await store.add(name, [view(1), view(2)], 0)
        removed = await store.remove([b"ann"], 1002)
        return removed, await store.of(b"ann", 0), await store.of(b"bob", 0)

    assert asyncio.run(asking(settings, ask))[0] == (3, [], [view(2)])


def test_many_requests_at_once_are_all_kept(settings):
    async def ask(store):
        await asyncio.gather(*(store.add(b"%d" % (n % 50), [view(n)], 0) for n in range(250)))
        return [await store.of(b"%d" % name, 0) for name in range(50)]

    kept = asyncio.run(asking(settings, ask))[0]
    assert kept == [[view(n) for n in range(name + 200, -1, -50)] for name in range(50)]
    asyncio.run(asking(settings, lambda store: store.remove([b"%d" % name for name in range(50)], 0)))


def test_two_processes_see_each_others_views(settings):
    async def ask(store):
        other = opened_store(settings)
        await other.add(b"ann", [view(1)], 0)
        try:
            return await store.of(b"ann", 0), await store.add(b"ann", [view(1), view(2)], 0)
        finally:
            await other.close()

    assert asyncio.run(asking(settings, ask))[0] == ([view(1)], 1)


def test_a_redis_that_is_away_is_said_so_and_found_again(tmp_path):
    with redis_server.running(tmp_path) as server:
        settings = EventSettings(store=server.url, timeout_seconds=0.5)

        async def ask(store):
            await store.add(b"ann", [view(1)], 0)
            server.kill()
            for asked in (store.of(b"ann", 0), store.add(b"ann", [view(2)], 0), store.remove([], 0)):
                with pytest.raises(StoreDownError):
                    await asked
            server.start()
            return await store.of(b"ann", 0)

        assert asyncio.run(asking(settings, ask)) == [[view(1)]], "killed, it lost nothing that it acknowledged"


def test_a_redis_that_may_lose_events_is_warned_about(tmp_path, caplog):
    flags = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    with redis_server.running(tmp_path, *flags) as server, caplog.at_level(logging.WARNING):
        asyncio.run(asking(EventSettings(store=server.url), *[lambda store: store.add(b"ann", [view(1)], 0)] * 2))
    assert [("append-only" in text, "maxmemory" in text) for text in caplog.messages] == [(True, False), (False, True)]


def test_a_disk_that_does_not_answer_is_said_so(tmp_path):
    settings = EventSettings(store=str(tmp_path / "events.sqlite"), timeout_seconds=0.2)

    async def ask(store):
        with sqlite3.connect(settings.store) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreDownError):
                await store.add(b"ann", [view(1)], 0)
            readable = await store.of(b"ann", 0)
            other.rollback()
        await store.add(b"ann", [view(1)], 0)
        return readable, await store.of(b"ann", 0)

    assert asyncio.run(asking(settings, ask)) == [([], [view(1)])]


def test_a_file_that_cannot_be_used_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "text").write_text("not a database, and longer than its head of a hundred bytes" * 9)
    with sqlite3.connect(tmp_path / "later") as later:
        later.execute("PRAGMA user_version = 9")
    for name, reason in (("text", "not a database"), ("text/below", "name another file"), ("later", "another release")):
        with pytest.raises(UserError, match=reason):
            opened_store(EventSettings(store=str(tmp_path / name)))
    monkeypatch.delenv("NO_SUCH_NAME", raising=False)
    pytest.importorskip("redis")
    with pytest.raises(UserError, match="NO_SUCH_NAME is not set"):
        opened_store(EventSettings(store="redis://localhost/0", redis_password_env="NO_SUCH_NAME"))  # noqa: S106 - the name of one
    with pytest.raises(UserError, match="must be redis://"):
        opened_store(EventSettings(store="redis://localhost:port/0"))
