"""Events that are worth more count more: a visitor is folded in as a training folds in the same pairs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from artifacts.manifests import TrainedOn
from configs.settings import RatingSettings, Settings
from serving.events.live import Live
from serving.metrics import Metrics
from serving.models.engine.engine import Engine
from tests.support.oracles import DenseWals
from tests.support.served import ODD

MEDIAN, RATING = 4.0, RatingSettings(scale=0.02, weight="log")  # so that no rating reaches the cap
WORTH = {"view_item": 1.0, "add_to_cart": 4.0, "purchase": 10.0}  # of the preset
K = 5


def rated(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(RATING.factor * amounts / MEDIAN, 1), np.log2(1 + amounts / MEDIAN)


class Version:
    """A version with tables."""

    number, path, has_tables = 1, "", True


class Service:
    """Asks an engine whose entries have weights."""

    def __init__(self, settings: Settings, engine: Engine):
        self.settings, self.metrics, self.online, self._engine = settings.serving, Metrics(), None, engine
        self.deletion_list = SimpleNamespace(ids=frozenset())
        model = Version()
        self.registry = SimpleNamespace(model=lambda: model)

    async def ask(self, model, call):
        return self._engine.run(call.signature, call.inputs)

    def limits(self, rules):
        return None


@pytest.fixture
def world(served_model) -> tuple[Engine, np.ndarray]:
    """The tables of the model, and the amounts of its pairs, so that ratings and weights go together."""
    made = Engine(str(served_model / "model" / "saved_model"))
    histories = made._content.histories
    amounts = np.random.default_rng(1).integers(1, 30, histories.entries).astype("d")
    values, weights = (part.astype("f") for part in rated(amounts))
    again = np.arange(histories.entries) % 4 == 0  # items that may be recommended again
    made._content.histories = replace(histories, values=values, weights=weights, again=again)
    return made, amounts


@pytest.mark.parametrize("number", [0, 5, 7])
def test_events_count_by_their_signals_as_in_a_training_of_the_same_pairs(world, number, tmp_path):
    engine, trained = world
    content = engine._content
    items, lengths = content.items.rows, content.histories.lengths.copy()
    lengths[: len(ODD)] = 0
    row, ids = np.argsort(-lengths, kind="stable")[number * 10], content.item_ids.ids(np.arange(len(items)))
    has = slice(*content.histories.indptr[row : row + 2])
    amounts = np.zeros(len(items))
    amounts[content.histories.indices[has]] = trained[has]
    visitor = content.visitor_ids.ids(np.array([row]))[0]
    free = [item for item in range(len(ODD), len(items)) if not amounts[item]][:2]
    own = content.histories.indices[has][-1:].tolist()
    sent = [("purchase", free[0]), ("view_item", free[1]), ("add_to_cart", free[1]), *(("purchase", i) for i in own)]
    for name, item in sent:
        amounts[item] += WORTH[name]

    settings = {"source": {"kind": "ga4", "preset": "ga4_shop"}, "rating": RATING.model_dump()}
    settings = Settings.model_validate(settings | {"events": {"accept": True, "store": str(tmp_path / "events")}})
    events = [{"name": name, "params": {"items": [{"item_id": ids[item].decode()}]}} for name, item in sent]
    body = json.dumps({"client_id": visitor.decode(), "events": events}).encode()

    async def post_and_ask():
        service = Service(settings, engine)
        live = Live(settings, service)
        dataset = TrainedOn(root="", fingerprint="", rating=RATING, median=MEDIAN, last_view_ms=0)
        live._datasets[service.registry.model()] = dataset
        async with live.running():
            assert (await live.take(body)).kept == len(sent)
            return (await live.recommend(visitor, K))[0]

    answer = asyncio.run(post_and_ask())
    dense = DenseWals(
        observed=amounts[None] > 0, ratings=rated(amounts)[0][None], entry_weights=rated(amounts)[1][None],
        row_weights=np.full(1, content.default_row_weight), col_weights=content.projection.weights,
        w0=0.1, lam=0.2, nu=0.5,
    )  # fmt: skip
    scores = (dense.solve_rows(items.astype("d")) @ items.T)[0]
    again = set(content.histories.indices[has][content.histories.again[has]]) - {item for _, item in sent}
    order = [item for item in np.argsort(-scores) if not amounts[item] or item in again][:K]
    assert number or again & set(order)
    assert answer["rule"] == b"live" and answer["liveItems"] == len({item for _, item in sent})
    assert answer["contentIds"].tolist() == ids[order].tolist()
    np.testing.assert_allclose(answer["scores"], scores[order], atol=1e-5)
