"""One index space from the export to the answers, and one order of equal scores wherever lists are made."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from artifacts import factor_tables, tfrecords
from artifacts.manifests import DatasetManifest
from artifacts.names import CONTENT_ID
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from configs.settings import ColdStartSettings
from ranking.fold_in import Objective
from serving.models.engine.engine import Engine
from serving.rules.limits import Limited, Limits, Rules
from tests.support import quick_export
from tests.support.exports import event, make_dataset, write_ndjson
from tests.support.predicted import predict, read_json, write_model
from trainer.als import wals
from trainer.evaluation import metrics
from trainer.evaluation.baselines import Factors, ItemKnn, Popular
from trainer.evaluation.inputs import HeldOut
from trainer.inputs import dataset_rows
from trainer.saved_model import export

VISITORS, ITEMS, K = 60, 40, 12


class World:
    """A dataset made from an export, and a model whose factors are small whole numbers, so that most scores tie."""

    def __init__(self, root: Path, marked: bool = False):
        """Make it; marked: a pair is viewed, bought or both, and what was only viewed may be recommended again."""
        rng = np.random.default_rng(1)
        # Ids in no order, so that neither the order of their bytes nor that of the export is the order of the itemIds.
        visitors = [f"v{n * 7919 % 1009}" for n in range(VISITORS)]
        items = [f"c{n * 7919 % 1013}" for n in range(ITEMS)]
        self.views = {(v, i): n for n, (v, i) in enumerate((v, i) for v in visitors for i in items)}
        self.views = {pair: n for pair, n in self.views.items() if rng.random() < 0.1 + 0.3 * (n % 3 == 0)}
        self.bought = {(v.encode(), i.encode()) for (v, i), n in self.views.items() if n % 5 in (0, 1)}
        rows = [
            event(v, i, 100, event_timestamp=str(10**15 + n * 10**7), event_name=name)
            for (v, i), n in self.views.items()
            for name in (("buy",), ("look", "buy"), ("look",), ("look", "look"), ("look",))[n % 5]
        ]
        write_ndjson(root / "events", rows)
        layout = {"split": {"kind": "last_n", "n": 1}, "dataset": {"shards": 3}}
        if marked:
            signals = [{"event": "look", "recommend_again": True}, {"event": "buy", "weight": 3}]
            layout["source"] = {"signals": [signal | {"item": "param.content_id"} for signal in signals]}
        make_dataset(root / "dataset", root / "events", "ga4", **layout)
        self.made = made = DatasetManifest.read(Dataset(str(root / "dataset")).manifest)
        write_model(root / "model", made, np.random.default_rng(2), k=2)
        self.root, self.dataset, self.model = root, Dataset(str(root / "dataset")), Model(str(root / "model"))
        self.visitors, self.items = (
            Vocabulary.read(path) for path in (self.dataset.vocab_users, self.dataset.vocab_items)
        )
        some = () if marked else ("similar_items_dot", "similar_visitors_dot", "project", "recommend_from_history")
        with quick_export.only("recommend", "audience", *some):
            self._export()

    def _export(self) -> None:
        sizes = {"user": len(self.visitors), "item": len(self.items)}
        prefixes = [
            (self.model.user_factors, self.model.user_weights, sizes["user"]),
            (self.model.item_factors, self.model.item_weights, sizes["item"]),
        ]
        users, items = [
            wals.Side(factor_tables.read_table(f), np.ones(n, np.int64), factor_tables.read_table(w)[:, 0], n)
            for f, w, n in prefixes
        ]
        self.users, self.item_factors = users.table, items.table
        info = dataset_rows.read_info(self.dataset.root)
        blocks = [dataset_rows.read_rows(p, *sizes.values()) for p in info.shards(self.dataset.items_for_user)]
        self.rows = SparseRows.stacked(blocks, sizes["user"])
        cold = ColdStartSettings(min_ratings=0, min_site_ratings=0)
        export.save(self.model.saved_model, self.dataset, users, items, blocks, Objective(0.1, 0.2, 0.5), cold)
        self.signatures = tf.saved_model.load(self.model.saved_model).signatures

    def predicted(self, kind: str, asked: str, entries: str, entry: str, **options) -> dict[bytes, list[bytes]]:
        """Return the lists of batch prediction, by who was asked."""
        out = self.root / f"{kind}-{options.get('metric')}-{options.get('include_seen')}"
        predict(self.root, out, kind=kind, top_k=K, formats=["jsonl"], **options)
        lines = [json.loads(line) for path in out.glob("*.jsonl") for line in path.read_text().splitlines()]
        return {line[asked].encode(): [one[entry].encode() for one in line[entries]] for line in lines}

    def served(self, signature: str, asked: str, ids: list[bytes], name: str) -> dict[bytes, list[bytes]]:
        """Return the lists of the SavedModel, by who was asked."""
        outputs = self.signatures[signature](**{asked: tf.constant(ids)}, k=tf.constant(K))
        lists = zip(outputs[name].numpy().tolist(), outputs["count"].numpy(), strict=True)
        return {name: entries[:count] for name, (entries, count) in zip(ids, lists, strict=True)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def marked_world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("marked"), marked=True)


def by_sorting(scores: np.ndarray, left_out: list[set[int]]) -> list[list[int]]:
    """Return the K greatest of each row, ties by the lower index."""
    order = [
        sorted(set(range(len(row))) - out, key=lambda n: -row[n]) for row, out in zip(scores, left_out, strict=True)
    ]
    return [row[:K] for row in order]


def histories(world: World) -> list[set[int]]:
    """Return the items that each user has in train."""
    return [set(world.rows.indices[a:b]) for a, b in zip(world.rows.indptr, world.rows.indptr[1:], strict=False)]


def bought(world: World) -> list[set[int]]:
    """Return the items that each user bought in train, by the export."""
    pairs = world.bought
    return [
        {item for item in own if (world.visitors[user], world.items[item]) in pairs}
        for user, own in enumerate(histories(world))
    ]


def test_evaluation_batch_prediction_and_saved_model_give_the_same_lists(world):
    check_lists(world, histories(world))


MMR = {"mmr_lambda": 0.5, "mmr_candidates": 20}


@pytest.mark.parametrize(
    "options",
    [{}, {"include_seen": True}, {"min_score": 1.0}, MMR, {"max_per_category": 2}, {"max_per_category": 3, **MMR}],
    ids=lambda options: "+".join(options),
)
def test_the_server_orders_equal_scores_as_batch_prediction_does(marked_world, options, tmp_path):
    world = marked_world
    engine = Engine(world.model.saved_model)
    shelves = {name: f"Shelf {n % 5}" for n, name in enumerate(world.items.ids)}
    lines = [f"{name.decode()},,{shelf}\n" for name, shelf in shelves.items()]
    (tmp_path / "catalogue.csv").write_text("contentId,title,category\n" + "".join(lines))
    predict(world.root, tmp_path / "out", catalogue=tmp_path / "catalogue.csv", top_k=K, formats=["jsonl"], **options)
    given = read_json(tmp_path / "out")
    rules = Rules(**{{"mmr_candidates": "candidates"}.get(name, name): value for name, value in options.items()})
    inputs = {"visitorId": np.array(list(given), object), "k": np.array(K)}
    found = engine.run("recommend", inputs, None, Limited(Limits(rules), shelves.__getitem__))
    lists = zip(found["contentIds"].tolist(), found["scores"].tolist(), found["count"], strict=True)
    ties = 0
    for entries, (names, scores, count) in zip(given.values(), lists, strict=True):
        assert [name for name, _ in entries] == names[:count]
        ties += len(scores) - len(set(scores))
    assert len(given) == VISITORS and ties > VISITORS


def test_they_leave_out_what_was_bought_and_recommend_again_what_was_viewed(marked_world):
    world, left_out = marked_world, bought(marked_world)
    check_lists(world, left_out)
    check_audiences(world, left_out)
    again = sum(len(own - out) for own, out in zip(histories(world), left_out, strict=True))
    assert world.made.recommended_again == again > 100
    everything = world.predicted("recommendations", "visitorId", "recommendations", "contentId", include_seen=True)
    rated = [user for user, own in enumerate(histories(world)) if own]
    expected = by_sorting(world.users @ world.item_factors.T, [set()] * len(world.visitors))
    for user in rated:
        assert everything[world.visitors[user]] == [world.items[item] for item in expected[user]]


def test_item_knn_and_popularity_recommend_again_what_was_viewed(marked_world):
    world, left_out, everybody = marked_world, bought(marked_world), np.arange(len(marked_world.visitors))
    owners = [set() for _ in world.items.ids]
    for user, own in enumerate(histories(world)):
        for item in own:
            owners[item].add(user)
    together = np.array([[len(a & b) / math.sqrt(len(a) * len(b)) for b in owners] for a in owners], np.float32)
    np.fill_diagonal(together, 0)
    totals = np.array([together[sorted(own)].sum(axis=0) if own else 0 * together[0] for own in histories(world)])
    knn = ItemKnn.of(world.rows, len(owners), len(owners)).top(everybody, world.rows, K)
    for user, items in enumerate(knn.tolist()):
        own = [item for item in items if item >= 0]
        best = sorted(set(np.flatnonzero(totals[user]).tolist()) - left_out[user], key=lambda n: -totals[user][n])[:K]
        assert not set(own) & left_out[user] and len(own) == len(best)
        np.testing.assert_allclose(totals[user][own], totals[user][best], rtol=1e-5)
    counts = np.array([len(own) for own in owners])
    popular = Popular(counts).top(everybody, world.rows, K).tolist()
    assert popular == by_sorting(np.repeat(counts[None].astype(float), len(everybody), 0), left_out)


def test_held_out_metrics_of_training_leave_out_the_same(marked_world):
    world, left_out = marked_world, bought(marked_world)
    truth = SparseRows.stacked([block.truth for block in HeldOut.read(world.dataset.root).blocks()], len(left_out))
    lists = by_sorting(world.users @ world.item_factors.T, left_out)
    hits = [set(lists[user]) & set(truth.indices[a:b]) for user, (a, b) in enumerate(itertools.pairwise(truth.indptr))]
    measured = metrics.of_factors(world.users, world.item_factors, truth, world.rows, K)
    assert measured.users == np.count_nonzero(truth.lengths)
    assert measured.recall == pytest.approx(sum(map(len, hits)) / measured.users)


def check_lists(world: World, seen: list[set[int]]) -> None:
    """Compare evaluation, batch prediction and the SavedModel with sorted scores, without what was `seen`."""
    scores = world.users @ world.item_factors.T
    expected = by_sorting(scores, seen)
    ties = [np.unique(row[lists]).size < K for row, lists in zip(scores, expected, strict=True)]
    assert np.mean(ties) > 0.9  # nearly every list has equal scores
    rated = np.flatnonzero(world.rows.lengths).tolist()
    lists = {world.visitors[user]: [world.items[item] for item in expected[user]] for user in rated}
    assert len(lists) > VISITORS - 5

    held_out = HeldOut.read(world.dataset.root)
    model, evaluated = Factors(world.model, held_out.info), {}
    for block in held_out.blocks():
        model.prepare(block.keys)
        for user, top in zip(block.keys, model.top(block.keys, block.seen, K), strict=True):
            evaluated[world.visitors[user]] = [world.items[item] for item in top if item >= 0]
    assert evaluated == {name: lists[name] for name in evaluated} and len(evaluated) > VISITORS // 2
    everybody = np.arange(len(world.visitors))
    model.prepare(everybody)
    every_list = model.top(everybody, world.rows, K)
    assert [[item for item in row if item >= 0] for row in every_list.tolist()] == expected

    predicted = world.predicted("recommendations", "visitorId", "recommendations", "contentId")
    assert {name: predicted[name] for name in lists} == lists
    assert world.served("recommend", "visitorId", list(lists), "contentIds") == lists


def test_popularity_is_in_one_order_too(world):
    counts = world.rows.transpose(len(world.items)).lengths
    expected = by_sorting(counts[None].astype(float), [set()])[0]
    assert len(set(counts[expected])) < K  # there are ties
    names = [world.items[item] for item in expected]
    assert Popular(counts).top(np.arange(1), SparseRows.empty(1), K)[0].tolist() == expected
    assert world.served("recommend", "visitorId", [b"nobody"], "contentIds") == {b"nobody": names}
    (world.root / "only").write_bytes(b"nobody\n")
    only = str(world.root / "only")
    predicted = world.predicted("recommendations", "visitorId", "recommendations", "contentId", only=only, metric="dot")
    assert predicted == {b"nobody": names}


def check_audiences(world: World, seen: list[set[int]]) -> None:
    """Compare batch prediction and the SavedModel with sorted scores without the users who are not given the item."""
    without = [{user for user, own in enumerate(seen) if item in own} for item in range(len(world.items))]
    expected = by_sorting(world.item_factors @ world.users.T, without)
    lists = {world.items[n]: [world.visitors[user] for user in row] for n, row in enumerate(expected)}
    assert world.predicted("audiences", "contentId", "audience", "visitorId") == lists
    assert world.served("audience", "contentId", world.items.ids, "visitorIds") == lists


def test_visitors_of_equal_scores_are_in_the_order_of_the_user_ids(world):
    check_audiences(world, histories(world))
    for kind, asked, table, ids in (
        ("similar_items", "contentId", world.item_factors, world.items.ids),
        ("similar_visitors", "visitorId", world.users, world.visitors.ids),
    ):
        expected = by_sorting(table @ table.T, [{n} for n in range(len(ids))])
        lists = {ids[n]: [ids[other] for other in row] for n, row in enumerate(expected)}
        assert world.predicted(kind, asked, kind, asked, metric="dot") == lists
        assert world.served(f"{kind}_dot", asked, ids, f"{asked}s") == lists


def test_an_item_has_one_index_from_the_export_to_the_answers(world):
    """Each contentId of the export, by the position of its line in the vocabulary, in every table that follows."""
    held_out = {
        (v, i) for (v, i), n in world.views.items() if n == max(m for (w, _), m in world.views.items() if w == v)
    }
    train = set(world.views) - held_out
    visitors = Counter(item.encode() for _, item in train)
    assert world.items.ids == sorted(visitors, key=lambda name: (-visitors[name], [-byte for byte in name]))
    described = pq.read_table(world.dataset.items)
    assert [name.encode() for name in described[CONTENT_ID].to_pylist()] == world.items.ids
    rows = {
        key: indices.tolist()
        for path in Path(world.dataset.root).glob("users_for_item-*")
        for key, indices, _ in tfrecords.read_rows(str(path))
    }
    assets = Path(world.model.saved_model) / "assets"
    assert (assets / "vocab_items").read_bytes() == Path(world.dataset.vocab_items).read_bytes()
    assert (assets / "vocab_users").read_bytes() == Path(world.dataset.vocab_users).read_bytes()
    loaded = tf.saved_model.load(world.model.saved_model)
    np.testing.assert_array_equal(loaded.items.numpy(), world.item_factors)
    np.testing.assert_array_equal(loaded.users.numpy(), world.users)
    for item, name in enumerate(world.items.ids):
        owners = {v for v, i in train if i.encode() == name}
        assert {world.visitors[user].decode() for user in rows[item]} == owners
        assert described["visitors"][item].as_py() == len(owners)
        # A row of one itemId has the direction of that item's factors in the systems of `project`.
        projected = world.signatures["project"](indices=tf.constant([[item]], tf.int64), values=tf.constant([[1.0]]))
        history = world.signatures["recommend_from_history"](
            contentIds=tf.constant([[name]]), ratings=tf.constant([[1.0]]), k=tf.constant(1)
        )
        best = max(set(range(len(world.items))) - {item}, key=lambda n: (scores_of(projected, world)[n], -n))
        assert history["contentIds"].numpy()[0, 0] == world.items[best]


def scores_of(projected: dict, world: World) -> np.ndarray:
    """Return the scores float32 [m] of the factors that `project` returns, as the model rounds them."""
    products = projected["factors"].numpy()[0].astype(np.float64) * world.item_factors.astype(np.float64)
    return np.add.accumulate(products, axis=1)[:, -1].astype(np.float32)
