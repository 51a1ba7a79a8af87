"""The SavedModel against batch prediction's scorer, dense NumPy and plain rules; ids byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import tensorflow as tf

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking import cold_start, topk
from tests.support import quick_export
from tests.support.datasets import write_dataset, write_items
from tests.support.oracles import DenseWals
from trainer.als import wals
from trainer.saved_model import export

USERS, ITEMS, K = 90, 160, 5
ODD = [b" a", b"a ", b"a,b", b"a\tb", b"\xe2\x80\xa8", b"nul\0in", b"caf\xc3\xa9", b"\xff\xfe", b'"', b"\\", b"x\x0by"]
OBJECTIVE, STRANGER = wals.Objective(0.1, 0.2, 0.5), 0.7


class World:
    """A dataset with odd ids in no order, factors with many equal scores, and the SavedModel of both."""

    def __init__(self, root: Path, settings: ColdStartSettings, whole_numbers: bool):
        rng = np.random.default_rng(5)
        dense = np.where(rng.random((USERS, ITEMS)) < rng.random((USERS, 1)) * 0.4, rng.random((USERS, ITEMS)), 0)
        dense[3] = 0
        dense[4, : ITEMS - 2] = 1  # two items left
        self.matrix = sp.csr_matrix(dense.astype("f"))
        self.visitors = [*ODD, *(b"v%d" % (n * 7919 % 1000) for n in range(USERS - len(ODD)))]
        self.item_ids = [*reversed(ODD), *(b"c%d" % (n * 7919 % 1000) for n in range(ITEMS - len(ODD)))]
        tables = [rng.integers(-1, 2, (n, K)) if whole_numbers else rng.normal(size=(n, K)) for n in (USERS, ITEMS)]
        self.users, self.items = (table.astype("f") for table in tables)
        self.weights = rng.random(ITEMS).astype("f") + 0.5
        dataset = Dataset(write_dataset(root / "dataset", self.matrix, self.visitors, self.item_ids))
        rows = wals.Side(self.users, np.diff(self.matrix.indptr), rng.random(USERS).astype("f") + 0.5, USERS)
        counts = np.bincount(self.matrix.indices, minlength=ITEMS)
        cols = wals.Side(self.items, counts, self.weights, ITEMS)
        self.user_weights = rows.weights
        self.entry_weights = self.matrix.copy()
        self.entry_weights.data = rng.choice(np.array([0.25, 1, 3], "f"), self.matrix.nnz)
        histories = SparseRows.from_matrix(self.matrix, self.entry_weights)
        blocks = [histories.take(np.arange(s, USERS, 3)) for s in (2, 0, 1)]
        self.path = str(root / "saved_model")
        self.titles = [f"Title {n}" if n % 2 else None for n in range(ITEMS)]
        write_items(dataset, [name.decode("utf-8", "replace") for name in self.item_ids], counts, title=self.titles)
        export.save(self.path, dataset, rows, cols, blocks, OBJECTIVE, settings, STRANGER)
        self.signatures = tf.saved_model.load(self.path).signatures

    def ask(self, signature: str, **inputs):
        found = self.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: tensor.numpy() for name, tensor in found.items()}

    def best(self, factors, left_out, k, ids=None, table=None):
        """Return the answers of batch prediction: ids best first, and scores."""
        ids, table = ids or self.item_ids, self.items if table is None else table
        offsets = np.cumsum([0] + [len(some) for some in left_out])
        seen = np.concatenate([np.asarray(some, np.int32) for some in left_out])
        rows = SparseRows(np.arange(len(left_out)), offsets, seen, np.ones(len(seen), "f"))
        best = topk.top_k(factors.astype("f"), table, rows, k)
        return [[(ids[n], s) for n, s in zip(*row, strict=True) if n >= 0] for row in zip(*best, strict=True)]


def answers(found, name="contentIds", values="scores"):
    rows = zip(found[name].tolist(), found[values], found["count"], strict=True)
    return [list(zip(ids[:n], value[:n], strict=True)) for ids, value, n in rows]


OWN = ColdStartSettings(min_ratings=0, min_site_ratings=0)


@pytest.fixture(scope="module", params=["real", "whole numbers"])
def world(request, tmp_path_factory):
    return World(tmp_path_factory.mktemp("export"), OWN, request.param == "whole numbers")


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    with quick_export.only("recommend", "recommend_from_history", "audience", "explanation"):
        return World(tmp_path_factory.mktemp("cold"), ColdStartSettings(min_ratings=20, min_site_ratings=0), False)


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_recommend_answers_what_batch_prediction_answers(world, k):
    expected = world.best(world.users, [row.indices for row in world.matrix], min(k, ITEMS))
    found = world.ask("recommend", visitorId=world.visitors, k=k)
    mine = [n for n in range(USERS) if world.matrix[n].nnz]
    assert [answers(found)[n] for n in mine] == [expected[n] for n in mine]
    assert {found["rule"][n] for n in mine} == {b"factors"} and found["rule"][3] == b"popularity"
    for n in (0, 4, USERS - 1):  # alone, in another order, or with a k of its own, all the same
        alone = world.ask("recommend", visitorId=[world.visitors[n]], k=[k])
        assert answers(alone) == [expected[n]]
    pair = world.ask("recommend", visitorId=[world.visitors[9], world.visitors[0]], k=[2, 5])
    assert answers(pair) == world.best(world.users[[9]], [world.matrix[9].indices], 2) + world.best(
        world.users[[0]], [world.matrix[0].indices], 5
    )
    assert list(pair["contentIds"][0, 2:]) == [b""] * 3 and not pair["scores"][0, 2:].any()


def test_strangers_get_what_is_popular_in_the_order_of_count_and_item_id(world):
    found = world.ask("recommend", visitorId=[b"nobody", b""], k=9)
    counts = np.bincount(world.matrix.indices, minlength=ITEMS)
    order = sorted(range(ITEMS), key=lambda item: (-counts[item], item))[:9]
    assert answers(found) == [[(world.item_ids[item], counts[item]) for item in order]] * 2
    assert set(found["rule"]) == {b"popularity"}


def projected(world, n, row=None, weight=None):
    row = world.matrix[n] if row is None else row
    own = world.entry_weights[n].toarray()[0] if weight is None else np.ones(ITEMS)  # those of a request are 1
    dense, weight = row.toarray(), weight or world.user_weights[n]
    # W_ij of the row is w0 + R C_j E_ij; lambda_i = lambda (n + w0 m)^nu
    ridge = OBJECTIVE.regularization_coeff * (row.nnz + OBJECTIVE.unobserved_weight * ITEMS) ** 0.5
    oracle = DenseWals(dense != 0, dense, np.array([weight]), world.weights * own, OBJECTIVE.unobserved_weight, ridge)
    return oracle.solve_rows(world.items.astype(np.float64))[0].astype("f")


def test_few_ratings_are_projected_and_each_answer_names_its_rule(cold):
    found = cold.ask("recommend", visitorId=cold.visitors, k=6)
    few = [n for n in range(USERS) if 0 < cold.matrix[n].nnz <= 20]
    assert 5 < len(few) < USERS - 5
    for n in range(USERS):
        views = cold.matrix[n].nnz
        rule = b"popularity" if views == 0 else b"projection" if n in few else b"factors"
        assert found["rule"][n] == rule
    for n in few:
        expected = cold.best(projected(cold, n)[None], [cold.matrix[n].indices], 6)[0]
        assert [name for name, _ in answers(found)[n]] == [name for name, _ in expected]
        np.testing.assert_allclose([s for _, s in answers(found)[n]], [s for _, s in expected], rtol=1e-5)


def test_a_history_gives_what_solving_its_row_gives(cold):
    few = [n for n in range(USERS) if 0 < cold.matrix[n].nnz <= 20][:5]
    width = max(cold.matrix[n].nnz for n in few) + 1
    names, values = [], []
    for n in few:
        row = cold.matrix[n]
        own = [cold.item_ids[item] for item in row.indices[::-1]]
        names.append([*own, b"never seen", *[b""] * width][:width])
        values.append([*row.data[::-1], 3.0, *[0.0] * width][:width])
    found = cold.ask("recommend_from_history", contentIds=names, ratings=np.array(values, "f"), k=4)
    own = np.concatenate([projected(cold, n, weight=STRANGER)[None] for n in few])
    expected = cold.best(own, [cold.matrix[n].indices for n in few], 4)
    assert [[name for name, _ in a] for a in answers(found)] == [[name for name, _ in e] for e in expected]
    np.testing.assert_allclose(found["scores"], [[score for _, score in e] for e in expected], rtol=1e-5)
    assert list(found["known"]) == [cold.matrix[n].nnz for n in few] and set(found["rule"]) == {b"projection"}
    empty = cold.ask("recommend_from_history", contentIds=[[b"", b"new"]], ratings=[[1.0, 1.0]], k=2)
    assert empty["rule"][0] == b"popularity" and empty["known"][0] == 0


def test_a_site_of_few_ratings_gets_popularity_alone(tmp_path):
    with quick_export.only("recommend"):
        world = World(tmp_path, ColdStartSettings(min_site_ratings=10**6), False)
    found = world.ask("recommend", visitorId=world.visitors[:9], k=3)
    assert set(found["rule"]) == {b"popularity"}
    for n, answer in enumerate(answers(found)):
        assert not {name for name, _ in answer} & {world.item_ids[item] for item in world.matrix[n].indices}


def test_target_is_the_other_direction(world):
    expected = world.best(
        world.items, [world.matrix[:, [n]].nonzero()[0] for n in range(ITEMS)], 8, world.visitors, world.users
    )
    found = world.ask("audience", contentId=world.item_ids, k=8)
    assert answers(found, "visitorIds") == expected and set(found["rule"]) == {b"factors"}
    fresh = world.ask("audience", contentId=[b"published today"], k=8)
    mean = world.items.mean(0, dtype="d").astype("f")[None]
    assert answers(fresh, "visitorIds") == world.best(mean, [[]], 8, world.visitors, world.users)
    assert fresh["rule"][0] == cold_start.MEAN_ITEM.encode()


def test_visitors_with_few_ratings_are_given_by_their_projected_factors(cold):
    """The score of a visitor and an item is one, whichever of them is asked."""
    users = cold.users.copy()
    for n in range(USERS):
        if 0 < cold.matrix[n].nnz <= 20:
            users[n] = projected(cold, n)
    owners = [cold.matrix[:, [n]].nonzero()[0] for n in range(20)]
    expected = cold.best(cold.items[:20], owners, 8, cold.visitors, users)
    found = answers(cold.ask("audience", contentId=cold.item_ids[:20], k=8), "visitorIds")
    for own, other in zip(found, expected, strict=True):
        assert [name for name, _ in own] == [name for name, _ in other]
        np.testing.assert_allclose([score for _, score in own], [score for _, score in other], rtol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_similar_are_those_of_the_greatest_cosine_or_product(world, metric):
    for name, field, ids, table, given in (
        ("similar_items", "contentId", world.item_ids, world.items, "contentIds"),
        ("similar_visitors", "visitorId", world.visitors, world.users, "visitorIds"),
    ):
        if metric == "cosine":
            norms = np.linalg.norm(table.astype("d"), axis=1)
            table = (table / np.where(norms > 0, norms, 1)[:, None]).astype("f")
        found = world.ask(name + ("_dot" if metric == "dot" else ""), **{field: [*ids, b"unknown"], "k": 6})
        expected = world.best(table, [[n] for n in range(len(ids))], 6, ids, table)
        assert answers(found, given) == [*expected, []]


def test_explain_adds_up_to_the_projected_score(cold):
    asked = [(n, item) for n in (0, 1, 5, 40) for item in (2, 77)]
    visitors, items = [cold.visitors[n] for n, _ in asked], [cold.item_ids[item] for _, item in asked]
    found = cold.ask("explanation", visitorId=visitors, contentId=items, k=ITEMS)
    for answer, total, (n, item) in zip(answers(found, values="contributions"), found["score"], asked, strict=True):
        row = cold.matrix[n]
        assert sorted(name for name, _ in answer) == sorted(cold.item_ids[j] for j in row.indices)
        shares = [share for _, share in answer]
        assert shares == sorted(shares, reverse=True)
        score = projected(cold, n) @ cold.items[item]
        assert sum(shares) == pytest.approx(score, abs=1e-5) and total == pytest.approx(score, abs=1e-5)
        # An item's share is what the score loses when its rating becomes 0 with its weight unchanged.
        name, share = answer[0]
        without = row.copy()
        without.data[row.indices == cold.item_ids.index(name)] = 1e-30
        assert score - projected(cold, n, without) @ cold.items[item] == pytest.approx(share, abs=1e-5)
    nothing = cold.ask("explanation", visitorId=[b"nobody", cold.visitors[0]], contentId=[items[0], b"none"], k=3)
    assert list(nothing["count"]) == [0, 0] and not nothing["score"].any()


def test_history_is_the_best_rated_first(world):
    found = world.ask("history", visitorId=[world.visitors[7], b"nobody"], k=5)
    row = world.matrix[7]
    rated = sorted(zip(row.data, row.indices, strict=True), key=lambda pair: (-pair[0], pair[1]))
    assert answers(found, values="ratings") == [[(world.item_ids[j], value) for value, j in rated[:5]], []]
    assert list(found["total"]) == [row.nnz, 0]


@pytest.mark.parametrize(
    ("signature", "inputs", "reason"),
    [
        ("recommend", {"visitorId": [b"a"], "k": 0}, "k must be at least 1"),
        ("audience", {"contentId": [b"a"], "k": -3}, "k must be at least 1"),
        ("similar_visitors", {"visitorId": [b"a"], "k": 0}, "k must be at least 1"),
        ("recommend", {"visitorId": [b"a", b"b"], "k": [1, 2, 3]}, "one k, or one a row"),
        ("recommend_from_history", {"contentIds": [[b"c1"]], "ratings": [[float("nan")]], "k": 1}, "finite"),
        ("recommend_from_history", {"contentIds": [[b"a ", b"", b"a "]], "ratings": [[1.0] * 3], "k": 1}, "twice"),
        ("recommend_from_history", {"contentIds": [[b"a "]], "ratings": [[1.0] * 3], "k": 1}, "one shape"),
    ],
)
def test_what_cannot_be_answered_is_refused(world, signature, inputs, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        world.ask(signature, **inputs)


def test_any_size_is_answered(world):
    """A k of a million, an id of a megabyte, no rows at all, an empty history."""
    found = world.ask("recommend", visitorId=[b"x" * 2**20, world.visitors[3]], k=10**6)
    assert found["contentIds"].shape == (2, ITEMS) and list(found["count"]) == [ITEMS, ITEMS]
    for signature, inputs in (
        ("recommend", {"visitorId": np.zeros(0, object)}),
        ("audience", {"contentId": np.zeros(0, object)}),
        ("similar_visitors", {"visitorId": np.zeros(0, object)}),
        ("recommend_from_history", {"contentIds": np.zeros((0, 0), object), "ratings": np.zeros((0, 0), "f")}),
        ("explanation", {"visitorId": np.zeros(0, object), "contentId": np.zeros(0, object)}),
    ):
        inputs = {
            name: tf.constant(value, tf.string if value.dtype == object else None) for name, value in inputs.items()
        }
        assert len(world.ask(signature, k=3, **inputs)["count"]) == 0
    nothing = np.zeros((1, 0))
    found = world.ask(
        "recommend_from_history", contentIds=tf.constant(nothing.astype("S")), ratings=nothing.astype("f"), k=2
    )
    assert found["rule"][0] == b"popularity" and found["count"][0] == 2


# A process with TensorFlow alone; each line of its input is the path of a model.
ALONE = """
import json, sys, tensorflow as tf
for line in sys.stdin:
    model = tf.saved_model.load(line.rstrip())
    found = model.signatures["recommend"](visitorId=tf.constant(["caf\\u00e9"]), k=tf.constant(3))
    assert not {"trainer", "configs", "pipeline"} & set(sys.modules)
    names = [[name.decode("latin1") for name in row] for row in found["contentIds"].numpy().tolist()]
    print(json.dumps(names), flush=True)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    command, folder = [sys.executable, "-I", "-c", ALONE], tmp_path_factory.mktemp("alone")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:
        yield process
        process.kill()


def test_it_loads_with_tensorflow_alone_and_describes_itself(world, alone, tmp_path):
    moved = tmp_path / "moved"
    Path(world.path).rename(moved)  # the vocabularies travel with it
    alone.stdin.write(f"{moved}\n")
    alone.stdin.flush()
    answer = alone.stdout.readline()
    moved.rename(world.path)
    assert answer, alone.stderr.read()
    expected = world.ask("recommend", visitorId=["café".encode()], k=3)["contentIds"]
    assert json.loads(answer) == [[name.decode("latin1") for name in row] for row in expected.tolist()]


def test_titles_go_with_the_model(cold):
    table = pq.read_table(f"{cold.path}/assets.extra/items.parquet")
    names = [name.decode("utf-8", "replace") for name in cold.item_ids]
    assert table.to_pydict() == {"contentId": names, "title": cold.titles}


def test_vocabularies_that_do_not_fit_are_refused(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d", sp.eye(3, format="csr")))
    Path(dataset.vocab_users).write_bytes(b"v0\nv1\n")
    side = wals.Side(np.ones((3, 2), "f"), np.ones(3, "i8"), np.ones(3, "f"), 3)
    with pytest.raises(UserError, match="2 ids where the dataset has 3"):
        export.save(str(tmp_path / "m"), dataset, side, side, [], OBJECTIVE, OWN)
