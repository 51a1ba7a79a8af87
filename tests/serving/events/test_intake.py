"""Intake without a model: hashed and deleted visitors, a restart, and a store that is away."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from types import SimpleNamespace

import numpy as np
import pytest

from configs.settings import Settings
from serving.errors import Refusal
from serving.events import live
from serving.events.live import Live
from serving.metrics import Metrics
from tests.support import redis_server

KEY = "0123456789abcdef0123456789abcdef"
ANN, CUP = "ann@example.com", b"cup"
HASHED = hmac.digest(KEY.encode(), ANN.encode(), hashlib.sha256).hex()


class FakeModel:
    """A version by its number and its directory."""

    def __init__(self, path: str):
        self.number, self.path, self.has_tables = 1, path, False


class FakeService:
    """A service whose model knows one item, the cup, and no visitor."""

    def __init__(self, settings: Settings, path: str):
        self.settings, self.metrics, self.online = settings.serving, Metrics(), None
        self.deletion_list = SimpleNamespace(ids=frozenset())
        self.model = FakeModel(path)
        self.registry = SimpleNamespace(model=lambda: self.model)

    async def ask(self, model, call):
        items = [item for item in call.inputs["contentIds"][0] if item == CUP] if "ratings" in call.inputs else []
        ids = np.array([[b"pot"]], object)
        answer = {"contentIds": ids, "scores": np.ones((1, 1)), "ratings": np.ones((1, 1)), "total": np.array([0])}
        count = 1 if call.signature == "recommend_from_history" else 0
        rule = np.array([b"projection"], object)
        return answer | {"count": np.array([count]), "known": np.array([len(items)]), "rule": rule}

    def limits(self, rules):
        return None

    async def ask_one(self, signature, k, rules, named, **ids):
        return {"contentIds": [CUP], "scores": [1.0], "rule": b"popularity"}, self.model


@pytest.fixture
def served(served_model):
    """Return what runs a step for each of several servers, one after the other, and returns the answers."""

    def run(settings, *steps):
        async def each(step):
            service = FakeService(settings, str(served_model / "served" / "wals" / "1"))
            taking = Live(settings, service)
            async with taking.running():
                return await step(taking, service)

        return [asyncio.run(each(step)) for step in steps]

    return run


def configured(store, **sections) -> Settings:
    events = {"accept": True, "store": str(store)} | sections.pop("events", {})
    return Settings.model_validate({"source": {"kind": "ga4", "preset": "ga4_shop"}, "events": events} | sections)


def body(visitor: str = ANN) -> bytes:
    event = {"name": "view_item", "params": {"items": [{"item_id": CUP.decode()}]}}
    return json.dumps({"client_id": visitor, "events": [event]}).encode()


async def rule_of(taking, visitor: str = ANN) -> bytes:
    outputs, _ = await taking.recommend(taking.known_as(visitor.encode()), 3)
    return outputs["rule"]


def test_hashed_visitors_are_known_by_their_ids_and_stored_by_their_hashes(served, tmp_path):
    (tmp_path / "key").write_text(KEY)
    store = tmp_path / "events.sqlite"

    async def step(taking, service):
        await taking.take(body())
        return await rule_of(taking), await rule_of(taking, HASHED)

    sections = {"privacy": {"hash_key_file": str(tmp_path / "key")}}
    assert served(configured(store, **sections), step) == [(b"live", b"live")]
    files = b"".join(path.read_bytes() for path in tmp_path.glob("events.sqlite*"))
    assert HASHED.encode() in files and ANN.encode() not in files
    assert store.stat().st_mode & 0o077 == 0, "nobody else may read it"


def test_a_restart_loses_no_event_and_a_deleted_visitor_loses_all(served, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_TIDY_S", 0.01)

    async def take(taking, service):
        return (await taking.take(body())).kept

    async def delete(taking, service):
        before = await rule_of(taking)
        service.deletion_list.ids = frozenset([ANN.encode()])
        at_once = await rule_of(taking)
        refused = await taking.take(body())
        while await taking._store.of(ANN.encode(), 0):
            await asyncio.sleep(0.01)
        return before, at_once, refused.left_out

    kept, answer = served(configured(tmp_path / "events.sqlite"), take, delete)
    assert (kept, answer) == (1, (b"live", b"popularity", {"deleted_visitor": 1}))
    assert not any(ANN.encode() in path.read_bytes() for path in tmp_path.glob("events.sqlite*"))


def test_while_redis_is_away_events_wait_and_recommendations_do_without(served, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(live, "_REST_S", 0.05)
    with redis_server.running(tmp_path) as redis:

        async def step(taking, service):
            await taking.take(body())
            answers = [await rule_of(taking)]
            redis.kill()
            with pytest.raises(Refusal, match="send the events again") as refused:
                await taking.take(body())
            outputs, _ = await taking.recommend(ANN.encode(), 3)
            answers += [refused.value.status, outputs["rule"], outputs["liveItems"]]
            redis.start()
            await asyncio.sleep(0.06)
            return [*answers, await rule_of(taking), service.metrics.text().count(b"wals_event_store_up 1.0")]

        (answers,) = served(configured(redis.url), step)
    assert answers == [b"live", 503, b"popularity", None, b"live", 1]
    assert ANN not in caplog.text and "answers again" in caplog.text


def test_a_store_that_did_not_answer_is_left_alone_for_a_moment(served, tmp_path):
    """A store that takes its whole time to fail must not make each request wait as long."""
    asked = []

    async def step(taking, service):
        async def fail(*arguments):
            asked.append(arguments)
            raise live.StoreDownError("it is away")

        taking._store.of = fail
        return [(await taking.recommend(ANN.encode(), 3))[0]["liveItems"] for _ in range(5)]

    assert served(configured(tmp_path / "events.sqlite"), step) == [[None] * 5]
    assert len(asked) == 1


def test_a_version_that_cannot_be_rated_by_answers_without_events(served, tmp_path, caplog):
    async def step(taking, service):
        service.model.path = str(tmp_path)
        await taking.take(body())
        return [await rule_of(taking) for _ in range(2)]

    assert served(configured(tmp_path / "events.sqlite"), step) == [[b"popularity"] * 2]
    assert caplog.text.count("train again to recommend by events") == 1
