"""With the item-item term, batch prediction, SavedModel, server and evaluation agree to the last place."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts import factor_tables
from artifacts.manifests.neighbourhood import NeighbourhoodAccount
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.settings import Settings
from pipeline import batch_predict
from serving import publish
from tests.support import served
from tests.support.datasets import write_dataset, write_items
from tests.support.exports import PLAIN_RUNNER
from trainer.evaluation.baselines import Factors
from trainer.inputs import dataset_rows
from trainer.job import training_job

USERS, ITEMS, K = 1000, 60, 10
TRAINING = {"embedding_dimension": 8, "max_sweeps": 4, "solver": "cholesky", "regularization_coeff": 0.5}


def matrix() -> sp.csr_matrix:
    """Return ratings in which each row occurs four times and each item twice: many scores tie."""
    rng = np.random.default_rng(3)
    table = np.where(rng.random((USERS // 4, ITEMS // 2)) < rng.random((USERS // 4, 1)) * 0.5, 1.0, 0.0)
    table[7] = 0
    return sp.csr_matrix(np.tile(np.repeat(table, 4, axis=0), (1, 2)).astype(np.float32))


class World:
    """A dataset, a model with the term, and its SavedModel."""

    def __init__(self, root):
        self.root, self.matrix = root, matrix()
        self.dataset = write_dataset(root / "dataset", self.matrix)
        days = np.arange(ITEMS) * 86_400_000
        ids = [f"c{number}" for number in range(ITEMS)]
        write_items(Dataset(self.dataset), ids, self.matrix.getnnz(0), first_time_ms=days, last_time_ms=days)
        self.tree = {"dataset_dir": self.dataset, "model_dir": str(root / "model"), "training": TRAINING}
        self.tree |= {
            "neighbourhood": {"gamma": 0.7, "few_items": True, "neighbours": 7},
            "beam": {"runner": PLAIN_RUNNER},
        }
        given = Settings.model_validate(self.tree)
        training_job.train(
            given.training, self.dataset, given.model_dir, False, given.cold_start, term=given.neighbourhood
        )
        self.signatures = tf.saved_model.load(str(root / "model/saved_model")).signatures
        related = factor_tables.read_related(Model(given.model_dir).related_items, ITEMS)
        self.related = sp.csr_matrix((related.values, related.indices, related.indptr), (ITEMS, ITEMS)).toarray()

    def predict(self, name: str, **options) -> list[dict]:
        out = self.root / name
        settings = self.tree | {"prediction": {"top_k": K, "formats": ["jsonl"]} | options}
        batch_predict.predict(Settings.model_validate(settings), [], True, str(out))
        lines = [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]
        return sorted(lines, key=lambda line: int(next(iter(line.values()))[1:]))

    def ask(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {name: tensor.numpy() for name, tensor in self.signatures[signature](**tensors).items()}

    def scores(self, factors: np.ndarray) -> np.ndarray:
        """Return what each user's scores are by the formula, float32 [users, items]."""
        items = factor_tables.read_table(Model(str(self.root / "model")).item_factors).astype(np.float64)
        products = np.add.accumulate(factors.astype(np.float64)[:, None, :] * items[None], axis=2)[:, :, -1]
        have = self.matrix.toarray() > 0
        weights = 0.7 / np.sqrt(np.maximum(have.sum(1, keepdims=True), 1))
        return (products + weights * (have @ self.related.astype(np.float64))).astype(np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("term"))


@pytest.fixture(scope="module")
def lines(world):
    return world.predict("predictions")


VISITORS = [b"v%d" % number for number in range(USERS)]


def lists(lines: list[dict]) -> list[list[tuple[str, np.float32]]]:
    return [[(entry["contentId"], np.float32(entry["score"])) for entry in line["recommendations"]] for line in lines]


def answers(found: dict[str, np.ndarray], name: str = "contentIds") -> list[list[tuple[str, np.float32]]]:
    rows = zip(found[name].tolist(), found["scores"], found["count"], strict=True)
    return [
        [(name.decode(), score) for name, score in zip(ids[:n], scores[:n], strict=True)] for ids, scores, n in rows
    ]


def test_batch_is_what_sorting_all_scores_is(world, lines):
    trained = factor_tables.read_table(Model(str(world.root / "model")).user_factors)
    scores = np.where(world.matrix.toarray() > 0, -np.inf, world.scores(trained))
    order, checked = np.argsort(-scores, axis=1, kind="stable")[:, :K], 0
    for number, (line, best) in enumerate(zip(lines, lists(lines), strict=True)):
        if line["rule"] == "factors":
            given = [item for item in order[number] if scores[number, item] > -np.inf]
            assert best == [(f"c{item}", scores[number, item]) for item in given]
            checked += 1
    assert checked > 300


def test_saved_model_server_and_evaluation_agree_with_batch(world, lines):
    found = world.ask("recommend", visitorId=VISITORS, k=K)
    assert answers(found) == lists(lines)
    assert [rule.decode() for rule in found["rule"]] == [line["rule"] for line in lines]
    assert {line["rule"] for line in lines} == {"factors", "projection", "popularity"}
    scores = found["scores"]
    assert ((scores[:, 1:] == scores[:, :-1]) & (scores[:, 1:] != 0)).sum() > 500, "equal scores are common"
    publish.publish(str(world.root / "model"), str(world.root / "served"), "wals")
    with served.running(served.settings(world.root / "served")) as client:
        for start in range(0, USERS, 250):
            part = slice(start, start + 250)
            answer = served.predict(client, "recommend", visitorId=[name.decode() for name in VISITORS[part]], k=K)
            assert answer["contentIds"] == [[name.decode() for name in row] for row in found["contentIds"][part]]
            np.testing.assert_array_equal(np.float32(answer["scores"]), scores[part])
    info = dataset_rows.read_info(world.dataset)
    system = Factors(Model(str(world.root / "model")), info, NeighbourhoodAccount(gamma=0.7, few_items=True))
    system.prepare(np.arange(USERS))
    top = system.top(np.arange(USERS), SparseRows.from_matrix(world.matrix), K)
    for row, line, best in zip(top, lines, lists(lines), strict=True):
        if line["rule"] == "factors":
            assert [f"c{item}" for item in row if item >= 0] == [name for name, _ in best]


def test_a_history_is_answered_like_a_visitor_who_has_it(world, lines):
    few = [n for n, line in enumerate(lines) if line["rule"] == "projection"][::40]
    for number in few:
        items = world.matrix[[number]].indices
        found = world.ask(
            "recommend_from_history",
            contentIds=[[b"c%d" % item for item in items]],
            ratings=np.ones((1, len(items)), "f"),
            k=K,
        )
        assert answers(found) == [lists(lines)[number]]


def test_allowed_items_caps_and_seen_items_see_the_term(world, tmp_path):
    (tmp_path / "allow").write_text("".join(f"c{number}\n" for number in range(0, ITEMS, 3)))
    trained = factor_tables.read_table(Model(str(world.root / "model")).user_factors)
    scores = world.scores(trained)[:, ::3]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    lines = world.predict("allowed", allow=str(tmp_path / "allow"), include_seen=True)
    for line, best, expected, row in zip(lines, lists(lines), order, scores, strict=True):
        if line["rule"] == "factors":
            assert best == [(f"c{3 * item}", row[item]) for item in expected]


def test_audiences_have_the_scores_of_recommendations(world, lines):
    audiences = world.predict("audiences", kind="audiences")
    found = world.ask("audience", contentId=[line["contentId"].encode() for line in audiences], k=K)
    batch = [[(entry["visitorId"], np.float32(entry["score"])) for entry in line["audience"]] for line in audiences]
    assert answers(found, "visitorIds") == batch
    scores = {line["visitorId"]: dict(best) for line, best in zip(lines, lists(lines), strict=True)}
    both = [
        (score, scores[visitor][line["contentId"]])
        for line, best in zip(audiences, batch, strict=True)
        for visitor, score in best
        if line["contentId"] in scores[visitor] and lines[int(visitor[1:])]["rule"] != "popularity"
    ]
    assert len(both) > 200 and all(score == other for score, other in both)


def test_explanations_contain_the_term_and_sum_to_the_score(world):
    lines = world.predict("explained", explanation=ITEMS)[::20]
    pairs = [(line["visitorId"], entry) for line in lines for entry in line["recommendations"] if entry["explanation"]]
    assert len(pairs) > 200
    asked = [[name.encode() for name in names] for names in zip(*((v, e["contentId"]) for v, e in pairs), strict=True)]
    found = world.ask("explanation", visitorId=asked[0], contentId=asked[1], k=ITEMS)
    projected = {line["visitorId"]: line["rule"] == "projection" for line in lines}
    for (visitor, entry), names, shares, count, score in zip(
        pairs, found["contentIds"].tolist(), found["contributions"], found["count"], found["score"], strict=True
    ):
        given = {part["contentId"]: part["contribution"] for part in entry["explanation"]}
        expected = {name.decode(): share for name, share in zip(names[:count], shares[:count], strict=True)}
        assert given.keys() == expected.keys()
        np.testing.assert_allclose([given[name] for name in expected], list(expected.values()), atol=1e-6)
        assert sum(given.values()) == pytest.approx(score, abs=1e-4)
        if projected[visitor]:
            assert entry["score"] == pytest.approx(score, abs=1e-5)
    (visitor, entry), items = pairs[0], [int(part["contentId"][1:]) for part in pairs[0][1]["explanation"]]
    term = 0.7 * world.related[items, int(entry["contentId"][1:])].sum()
    assert term > 0, "the score without the term would not be explained"
