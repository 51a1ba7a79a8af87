"""wals evaluate: metrics against ranx, baselines against dense NumPy, intervals, the gate, mistakes."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables
from artifacts.names import RECENT_POPULARITY
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs import cli
from configs.settings import EvaluationSettings, TrainingSettings
from tests.ranking.test_diversity import mmr_plainly
from tests.support import quick_export, ranx_metrics
from tests.support.datasets import write_dataset, write_items
from trainer import evaluate as command
from trainer.evaluation import baselines, evaluation, gate, intervals, segments
from trainer.evaluation import metrics as measures
from trainer.evaluation.baselines import ItemKnn
from trainer.evaluation.intervals import Cell
from trainer.job import training_job

USERS, ITEMS = 90, 40
KS = (1, 5, 10)


def rows(matrix) -> SparseRows:
    found = sp.csr_matrix(matrix, dtype=np.float32)
    found.sort_indices()
    return SparseRows.from_matrix(found)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two tastes; a dataset with a split, two models of it, and a config. Some users have nothing held out."""
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(4)
    own = (np.arange(USERS) % 2)[:, None] == (np.arange(ITEMS) >= ITEMS // 2)[None, :]
    has = (own & (rng.random((USERS, ITEMS)) < 0.6)) | (rng.random((USERS, ITEMS)) < 0.05)
    has[:5] = False
    has[np.arange(5), np.arange(5)] = True
    held = has & (rng.random((USERS, ITEMS)) < 0.25)
    held[:5] = False
    held[0, 9] = True
    values = rng.random((USERS, ITEMS)) + 0.1
    train, truth = sp.csr_matrix(values * (has & ~held)), sp.csr_matrix(values * held)
    dataset = write_dataset(root / "dataset", train, held_out=truth, shards=3)
    decayed = np.asarray((train > 0).sum(0)).ravel() * rng.random(ITEMS)
    names = [f"c{n}" for n in range(ITEMS)]
    write_items(Dataset(dataset), names, train.getnnz(0), **{RECENT_POPULARITY: decayed})
    for name, k in (("model", 4), ("other", 2)):
        with quick_export.without_graphs():
            training_job.train(TrainingSettings(embedding_dimension=k, max_sweeps=6), dataset, str(root / name), False)
    tree = {"dataset_dir": dataset, "model_dir": str(root / "model")}
    tree["evaluation"] = {"k": KS, "neighbours": 7, "resamples": 200}
    (root / "c.yaml").write_text(json.dumps(tree))
    return root, train.toarray(), truth.toarray(), decayed


def factors(root, name="model"):
    return [factor_tables.read_table(str(root / name / "factors" / f"{side}_factors")) for side in ("user", "item")]


def dense_scores(world):
    """float64 [users, items] of each system, by the plain formulas."""
    root, train, _, decayed = world
    users, items = factors(root)
    has = (train > 0).astype(float)
    lengths = np.sqrt(has.sum(0))
    cosine = has.T @ has / np.maximum(np.outer(lengths, lengths), 1e-12)
    np.fill_diagonal(cosine, 0)
    near = np.zeros_like(cosine)
    for item in range(ITEMS):
        best = np.lexsort((np.arange(ITEMS), -cosine[item].astype("f")))[:7]
        near[item, best] = cosine[item, best]
    return {
        baselines.WALS: users.astype(float) @ items.T,
        baselines.POPULAR: np.tile(has.sum(0), (USERS, 1)),
        baselines.RECENT: np.tile(decayed, (USERS, 1)),
        baselines.KNN: has @ near,
    }


@pytest.fixture(scope="module")
def found(world):
    root = world[0]
    settings = EvaluationSettings(k=KS, neighbours=7, resamples=400, mmr_lambda=(0.2, 0.7), mmr_candidates=15)
    return evaluation.evaluate(str(root / "dataset"), str(root / "model"), settings, str(root / "other"))


def test_metrics_are_those_of_ranx(world, found):
    """All systems, all K, to 1e-9: lists by plain sorting, metrics by the library."""
    root, train, truth, _ = world
    who = np.flatnonzero(truth.sum(1))
    relevant = {str(u): {str(i): 1 for i in np.flatnonzero(truth[u])} for u in who}
    assert found.users == len(who) and found.pairs == np.count_nonzero(truth)
    for name, scores in dense_scores(world).items():
        lists, run = {}, {}
        for user in who:
            order = np.lexsort((np.arange(ITEMS), -scores[user].astype("f")))
            order = [i for i in order if train[user, i] == 0 and (name != baselines.KNN or scores[user, i] > 0)][
                : KS[-1]
            ]
            lists[user] = order
            run[str(user)] = {str(item): 1.0 / (place + 1) for place, item in enumerate(order)}
        names = [f"{metric}@{k}" for metric in measures.USER_METRICS for k in KS]
        for metric, by_user in ranx_metrics.evaluate(relevant, run, names).items():
            mean = np.mean(list(by_user.values()))
            assert found.cells[name][metric].value == pytest.approx(mean, abs=1e-9), (name, metric)
        visitors = np.maximum((train > 0).sum(0), 1)
        for k in KS:
            given = [item for user in who for item in lists[user][:k]]
            counts = np.sort(np.bincount(given, minlength=ITEMS))
            assert found.cells[name][f"novelty@{k}"].value == pytest.approx(np.mean(-np.log2(visitors[given] / USERS)))
            assert found.cells[name][f"coverage@{k}"].value == len(set(given)) / ITEMS
            spread = np.abs(counts[:, None] - counts).sum() / (2 * ITEMS**2 * counts.mean())  # the definition
            assert found.cells[name][f"gini@{k}"].value == pytest.approx(spread)
            alike = np.mean([mean_cosine(factors(root)[1], lists[user][:k]) for user in who])
            assert found.cells[name][f"ils@{k}"].value == pytest.approx(alike, abs=1e-12)


def mean_cosine(table, items) -> float:
    """Return the mean over all pairs of items of the cosine of their rows; 0 without a pair."""
    pairs = list(combinations(table[items].astype("d"), 2))
    return float(np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])) if pairs else 0.0


def test_lists_by_mmr_are_measured_as_those_by_score(world, found):
    root, train, truth, _ = world
    scores, table = dense_scores(world)[baselines.WALS].astype("f"), factors(root)[1]
    who = np.flatnonzero(truth.sum(1))
    assert list(found.diversity) == ["0.7", "0.2"] and found.as_json()["diversity"]["0.7"]["ils@10"]
    for weight, cells in found.diversity.items():
        alike, recalls = [], []
        for user in who:
            order = np.lexsort((np.arange(ITEMS), -scores[user]))
            best = np.array([item for item in order if train[user, item] == 0][:15])
            chosen = mmr_plainly(best, scores[user, best], table, float(weight), 10)
            alike.append(mean_cosine(table, chosen))
            recalls.append(np.count_nonzero(truth[user, chosen]) / np.count_nonzero(truth[user]))
        assert cells["ils@10"].value == pytest.approx(np.mean(alike), abs=1e-9)
        assert cells["recall@10"].value == pytest.approx(np.mean(recalls), abs=1e-9)
    similarities = [cells["ils@10"].value for cells in (found.cells[baselines.WALS], *found.diversity.values())]
    assert similarities == sorted(similarities, reverse=True)


def test_training_measures_as_evaluation_does(world, found):
    root, train, truth, _ = world
    users, items = factors(root)
    measured = measures.of_factors(users, items, rows(truth), rows(train), 10)
    cells = found.cells[baselines.WALS]
    assert measured.recall == pytest.approx(cells["recall@10"].value, abs=1e-12)
    assert measured.ndcg == pytest.approx(cells["ndcg@10"].value, abs=1e-12) and measured.users == found.users


def test_lists_of_any_case_are_judged_as_ranx_does():
    """Random lists with gaps, short ones and empty ones, against random truths."""
    rng, users, ks = np.random.default_rng(0), 200, (1, 3, 20)
    top, truth = np.full((users, 20), -1, np.int32), sp.lil_matrix((users, 30))
    for user in range(users):
        size = rng.integers(1, 21)
        top[user, :size] = rng.permutation(30)[:size]
        truth[user, rng.permutation(30)[: rng.integers(1, 25)]] = 1
    held = rows(truth)
    out = measures.Columns.of(measures.of_lists(top, held, np.array(ks), np.zeros(30)))
    lists = {str(u): {str(i): 1.0 / (p + 1) for p, i in enumerate(top[u]) if i >= 0} for u in range(users)}
    relevant = {str(u): {str(i): 1 for i in truth.rows[u]} for u in range(users)}
    names = [f"{metric}@{k}" for k in ks for metric in measures.USER_METRICS]
    judged = ranx_metrics.evaluate(relevant, lists, names)
    for place, k in enumerate(ks):
        for metric in measures.USER_METRICS:
            expected = [judged[f"{metric}@{k}"][str(user)] for user in range(users)]
            np.testing.assert_allclose(getattr(out, metric)[:, place], expected, atol=1e-9)


def test_ties_go_to_the_lower_item():
    """The model, popularity and item kNN: a user's lists against sorting by score and itemId."""
    seen = SparseRows(np.arange(2), np.array([0, 1, 5]), np.array([1, 0, 2, 4, 5], np.int32), np.ones(5, "f"))
    expected = [[2, 4, 3, 0], [1, 3, -1, -1]]
    values = np.array([1, 3, 3, 2, 3, 0], "f")
    assert baselines.Popular(values).top(np.arange(2), seen, 4).tolist() == expected
    model = baselines.Factors.__new__(baselines.Factors)
    model._neighbourhood = None
    model.items, model._keys, model._rows = values[:, None], np.arange(2), np.array([[1], [0]], "f")
    assert model.top(np.arange(2), seen, 4).tolist() == expected
    # Items 0, 2 and 3 have the same two users each: all cosines are 1.
    near = ItemKnn.of(rows([[1, 0, 1, 1], [1, 0, 1, 1]]), 4, 2)
    assert near.near.indices.tolist() == [[2, 3], [-1, -1], [0, 3], [0, 2]]
    assert near.top(np.arange(1), rows([[0, 0, 0, 1]]), 3).tolist() == [[0, 2, -1]]


def test_activity_is_by_items_in_train(world, found):
    _, train, truth, _ = world
    who = np.flatnonzero(truth.sum(1))
    sizes = (train[who] > 0).sum(1)
    expected = {
        "1": (sizes == 1).sum(),
        "2-5": ((sizes > 1) & (sizes < 6)).sum(),
        "6-20": ((sizes > 5) & (sizes < 21)).sum(),
    }
    assert (
        found.by_activity.users == {name: count for name, count in expected.items() if count}
        and found.by_activity.users["1"] == 1
    )
    whole = found.cells[baselines.WALS]["recall@5"].value
    parts = [
        found.by_activity.cells[baselines.WALS][name]["recall@5"].value * count
        for name, count in found.by_activity.users.items()
    ]
    assert sum(parts) / found.users == pytest.approx(whole)
    assert "coverage@5" not in found.by_activity.cells[baselines.WALS]["6-20"]


def test_held_out_items_of_a_band_are_measured_by_themselves(world, found):
    """Recall of the rare third by plain loops, for the model and popularity."""
    _, train, truth, _ = world
    visitors = (train > 0).sum(0)
    rare = 3 * (np.cumsum(visitors) - visitors) // visitors.sum() >= 2
    for name in (baselines.WALS, baselines.POPULAR):
        scores, recalls = dense_scores(world)[name], []
        for user in np.flatnonzero((truth[:, rare] > 0).any(1)):
            order = np.lexsort((np.arange(ITEMS), -scores[user].astype("f")))
            best = [item for item in order if train[user, item] == 0][: KS[-1]]
            wanted = np.flatnonzero((truth[user] > 0) & rare)
            recalls.append(np.isin(wanted, best).mean())
        group = segments.HELD_OUT + segments.RARE
        assert found.by_segment.users[group] == len(recalls) > 10
        cells = found.by_segment.cells[name][group]
        assert cells["recall@10"].value == pytest.approx(np.mean(recalls)) and "recall@5" not in cells


def sums_of(values: np.ndarray, users: int) -> measures.Sums:
    """Return sums in which recall@1 of each user is a given value."""
    sums = measures.Sums((1,), np.zeros(3), users)
    keys = np.arange(len(values))
    who = measures.Users.of(keys, np.full(len(values), 9), 0, users, 0)
    cells = np.zeros((len(values), 1, len(measures.Columns._fields)))
    columns = measures.Columns.of(cells)
    columns.recall[:, 0], columns.recommendations[:] = values, 1
    np.add.at(sums.cells, (who.buckets, who.activity), cells)
    np.add.at(sums.counts, (who.buckets, who.activity), 1)
    return sums


@pytest.mark.parametrize("users", [500, 20_000])
def test_an_interval_is_as_wide_as_theory_says(users):
    """The mean's standard error, with users drawn one by one and in buckets; paired differences are narrower."""
    rng = np.random.default_rng(1)
    values = rng.beta(0.4, 1.2, users)
    sums, better = sums_of(values, users), sums_of(values + 0.01 + 0.01 * rng.random(users), users)
    draws = intervals.Intervals(len(sums.counts), 2000, 0.95, 0)
    cell, error = draws.of(sums)["recall@1"], values.std() / np.sqrt(users)
    assert cell.value == pytest.approx(values.mean())
    assert (cell.high - cell.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.08)
    gain = draws.differences(better, sums)["recall@1"]
    assert 0.01 < gain.low < gain.value < gain.high < 0.02 and gain.high - gain.low < (cell.high - cell.low) / 20


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Coverage and gini's jackknife: 95 % of the intervals hold what very many users have, give or take."""
    rng, weights = np.random.default_rng(2), 1 / np.arange(1, 61)
    weights /= weights.sum()
    far = measures.gini(rng.multinomial(10**7, weights))
    held = 0
    for _ in range(60):
        sums = measures.Sums((1,), np.zeros(60), 400)
        for part in range(20):
            sums.exposure[part, 0] = rng.multinomial(200, weights)
        cell = intervals.Intervals(400, 100, 0.95, 0)._of_all_lists(sums, measures.gini)["gini@1"]
        held += cell.low <= far <= cell.high
    assert held >= 50


def test_two_models_are_compared_by_the_same_users(world, found):
    root, train, truth, _ = world
    who, lists = np.flatnonzero(truth.sum(1)), {}
    for name in ("model", "other"):
        users, items = factors(root, name)
        scores = np.where(train > 0, -np.inf, users @ items.T)
        lists[name] = [set(np.argsort(-scores[user], kind="stable")[:5]) for user in who]
    shares = [len(one & other) / 5 for one, other in zip(lists["model"], lists["other"], strict=True)]
    assert found.overlap["overlap@5"].value == pytest.approx(np.mean(shares))
    assert found.against == f"WALS of {root / 'other'}"
    for system, cells in found.differences.items():
        for metric, cell in cells.items():
            expected = found.cells[baselines.WALS][metric].value - found.cells[system][metric].value
            assert cell.value == pytest.approx(expected, abs=1e-12) and cell.low <= cell.value <= cell.high


def run(root, *flags):
    return cli.run(command.main, ["--config", str(root / "c.yaml"), *map(str, flags)])


def test_the_gate_opens_and_closes(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    root = world[0]
    path = root / "model" / "evaluation.json"
    rules = ["--require", "recall@10>=0.2", "--require", "gini@5<=0.99", "--beats", "popularity"]
    assert run(root, *rules) == 0
    content = json.loads(path.read_text())
    assert content["kind"] == "evaluation" and content["gate"]["passed"] and len(content["gate"]["rules"]) == 3
    assert content["systems"]["WALS"]["recall@10"].keys() == {"value", "low", "high"}
    value = content["systems"]["WALS"]["recall@10"]["value"]
    assert {one["system"] for one in content["verdicts"]} == {*content["systems"]} - {"WALS"}
    shown = capsys.readouterr().out
    cell = content["systems"]["WALS"]["recall@5"]
    assert f"{cell['value']:.4f}  {cell['low']:.3f} to {cell['high']:.3f}" in shown
    assert f"{value:.4f}" in shown and shown.count("gate passed") == 3
    whole = " ".join(shown.split())
    assert content["verdicts"][0]["summary"] in whole
    without = int(np.count_nonzero(world[2].sum(1) == 0))
    assert f"visitors without anything held out: {without}" in shown
    assert content["left_out"]["visitors without anything held out"] == without > 5
    asked = [
        "--require",
        f"recall@10>={value + 0.05}",
        "--require",
        "recall@3>=0",
        "--beats",
        "against",
        "--against",
        root / "model",
    ]
    path = tmp_path / "e.json"
    assert run(root, *asked, "--output_json", path) == 3
    error = capsys.readouterr().err
    assert f"0.0500 below {value + 0.05:g}" in error and "minus those of WALS of" in error and error.count("\n") == 1
    content = json.loads(path.read_text())
    assert not content["gate"]["passed"] and [rule["passed"] for rule in content["gate"]["rules"]] == [
        False,
        True,
        False,
    ]
    assert content["against"]["overlap"]["overlap@10"]["value"] == 1
    assert "recall@3" in content["systems"]["WALS"]  # measured since it was asked for


def test_errors_of_given_ratings(world, tmp_path):
    _, train, truth, _ = world
    dataset = write_dataset(tmp_path / "d", sp.csr_matrix(train), held_out=sp.csr_matrix(truth))
    path = tmp_path / "d" / "manifest.json"
    content = json.loads(path.read_text())
    content["settings"]["source"]["rating_column"] = "stars"
    path.write_text(json.dumps(content))
    training_job.train(TrainingSettings(embedding_dimension=3, max_sweeps=4), dataset, str(tmp_path / "m"), False)
    users, items = factors(tmp_path, "m")
    settings = EvaluationSettings(k=(5,), baselines=("popularity", "time-decayed popularity"))
    found = evaluation.evaluate(dataset, str(tmp_path / "m"), settings)
    there = truth > 0
    expected = np.sqrt(((truth - users.astype(float) @ items.T.astype(float))[there] ** 2).mean())
    cell = found.cells[baselines.WALS]["rmse"]
    assert cell.value == pytest.approx(expected, rel=1e-6) and cell.low < cell.value < cell.high
    assert "rmse" not in found.cells[baselines.POPULAR] and baselines.KNN not in found.cells
    assert baselines.RECENT not in found.cells  # this dataset has no times


def test_mistakes_are_one_line(world, tmp_path, capsys):
    root, train, truth, _ = world
    plain = write_dataset(tmp_path / "plain", sp.csr_matrix(train))
    other = write_dataset(tmp_path / "other", sp.csr_matrix(train), held_out=sp.csr_matrix(truth.T[:1].T > 9))
    for flags, said in (
        (("--dataset_dir", plain), "was made without a split: nothing is held out"),
        (("--dataset_dir", other), "was trained on another dataset"),
        (("--dataset_dir", tmp_path / "none"), "is not a finished dataset"),
        (("--model_dir", tmp_path / "none"), "is not a finished model"),
        (("--against", tmp_path / "none"), "is not a finished model"),
        (("--set", "evaluation.k=[41]"), "K is 41, and"),
        (("--require", "recall@50>=0.1"), "K is 50, and"),
        (("--require", "recal@20>=0.1"), "no metric recal (known: precision, recall"),
        (("--require", "recall@20"), "write it as METRIC@K>=NUMBER"),
        (("--require", "recall>=0.1"), "write it as recall@20>=0.1"),
        (("--require", "rmse@5<=1"), "write it as rmse<=1"),
        (("--require", "rmse<=1"), "needs ratings in the export"),
        (("--beats", "luck"), "no such system (known: popularity, time_decayed_popularity, item_knn)"),
        (
            ("--beats", "item_knn", "--set", "evaluation.baselines=[popularity]"),
            "was not measured (evaluation.baselines)",
        ),
        (("--set", "evaluation.confidence=2"), "evaluation.confidence"),
    ):
        capsys.readouterr()
        assert run(root, *flags) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and said in error, error


@pytest.mark.parametrize(
    ("recall", "ndcg", "passed"),
    [(0.001, 0.001, True), (0.0, 0.001, False), (-0.01, 0.001, False), (0.001, -0.002, False)],
)
def test_to_beat_a_system_needs_every_headline_metric(recall, ndcg, passed):
    lows = {"recall@5": recall, "ndcg@5": ndcg}
    differences = {baselines.POPULAR: {metric: Cell(0.02, low, 0.05) for metric, low in lows.items()}}
    about = {"settings": {"k": [5], "headline": ["recall", "ndcg"]}}
    nothing = evaluation.ByGroup({}, {}, {})
    found = evaluation.Evaluation(1, 1, {}, differences, nothing, nothing, {}, None, about)
    (rule,) = gate.check(found, [], [baselines.POPULAR])
    assert rule.passed is passed and rule.short_by == max(0.0, -min(recall, ndcg))
    assert ("must be above 0" in rule.summary) is not passed
