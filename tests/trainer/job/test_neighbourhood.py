"""The item-item term of a training: its matrix, the choice of its weight, and its files."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables
from artifacts.manifests import ModelManifest
from artifacts.manifests.neighbourhood import GammaTrial
from artifacts.paths import Model
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import NeighbourhoodSettings, TrainingSettings
from tests.support import datasets
from trainer.als.collectives import Cluster
from trainer.job import neighbourhood, training_job
from trainer.neighbourhood.related import Relation, nearest

USERS, PAIRS = 300, 40


def in_pairs(seed: int, noise: float) -> sp.csr_matrix:
    """Return users who have both items of a few pairs: two factors know less of them than the related items do."""
    rng = np.random.default_rng(seed)
    table = np.repeat(rng.random((USERS, PAIRS)) < 0.12, 2, axis=1) & (rng.random((USERS, 2 * PAIRS)) < 0.85)
    return sp.csr_matrix((table | (rng.random(table.shape) < noise)).astype(np.float32))


def train(root, matrix: sp.csr_matrix, days: np.ndarray | None = None, **term) -> ModelManifest:
    dataset = datasets.write_dataset(root / "dataset", matrix, days=days)
    settings = TrainingSettings(embedding_dimension=2, max_sweeps=4)
    term = NeighbourhoodSettings(**term)
    return training_job.train(settings, dataset, str(root / "model"), False, term=term)


def test_the_model_keeps_the_matrix_of_its_settings(tmp_path, without_graphs, capsys):
    matrix = in_pairs(0, 0.05)
    term = {"gamma": 0.25, "neighbours": 5, "power": 1.5, "item_exponent": 0.5, "shrinkage": 2.0}
    account = train(tmp_path, matrix, **term).neighbourhood
    read = factor_tables.read_related(Model(str(tmp_path / "model")).related_items, 2 * PAIRS)
    near = nearest(SparseRows.from_matrix(matrix), 2 * PAIRS, 5, Relation(0.5, 0.25, 2.0))
    assert read.lengths.max() == 5 and read.entries == account.entries
    dense = np.zeros((2 * PAIRS, 2 * PAIRS))
    np.put_along_axis(dense, near.indices, np.maximum(near.scores, 0).astype(np.float64) ** 1.5, 1)
    stored = sp.csr_matrix((read.values, read.indices, read.indptr), dense.shape).toarray()
    np.testing.assert_allclose(stored, dense, atol=dense.max() * 2.0**-23)
    manifest = json.loads((tmp_path / "model/manifest.json").read_text())
    assert manifest["neighbourhood"]["gamma"] == 0.25 and account.trials == []
    assert {name for name in manifest["files"] if "related_items" in name} == {
        f"factors/related_items-{part}.npy" for part in ("indptr", "indices", "values")
    }
    assert "neighbourhood: gamma 0.25" in capsys.readouterr().out


def test_a_model_without_the_term_has_no_matrix(tmp_path, without_graphs):
    assert train(tmp_path, in_pairs(0, 0.05)).neighbourhood.gamma == 0
    assert not list((tmp_path / "model/factors").glob("related_items*"))


def test_a_weight_that_ranks_held_out_entries_better_is_chosen(tmp_path, without_graphs):
    account = train(tmp_path, in_pairs(1, 0.02), gamma="auto").neighbourhood
    trials = {(trial.gamma, trial.few_items): trial.ndcg for trial in account.trials}
    without = trials[0.0, False]
    assert len(trials) == 15 and account.visitors > 200 and account.gamma > 0
    assert max(trials.values()) > without + 0.05
    assert trials[account.gamma, account.few_items] >= (max(trials.values()) + without) / 2
    assert account.few_items == max(trials, key=trials.get)[1]


def test_an_item_of_each_visitors_last_day_is_held_out_where_there_are_times(tmp_path, without_graphs, monkeypatch):
    matrix, held, compare = in_pairs(1, 0.02), [], neighbourhood.compare
    days = np.random.default_rng(4).integers(0, 30, matrix.shape)

    def watch(settings, users, items, parts, groups):
        held.append(parts.held_out)
        return compare(settings, users, items, parts, groups)

    monkeypatch.setattr(neighbourhood, "compare", watch)
    account = train(tmp_path, matrix, days, gamma="auto").neighbourhood
    (rows,) = held
    for user in np.flatnonzero(rows.lengths):
        items = matrix[[user]].indices
        latest = items[days[user, items] == days[user, items].max()]
        assert rows.indices[rows.indptr[user] : rows.indptr[user + 1]] in latest
    assert account.visitors == np.count_nonzero(rows.lengths) > 200 and account.gamma > 0


def test_no_weight_is_chosen_where_the_term_does_not_help(tmp_path, without_graphs):
    """Items are had by chance, popular ones more often; this matrix favours the rarest: its best gain is chance too."""
    rng = np.random.default_rng(2)
    table = rng.random((USERS, 60)) < np.linspace(0.6, 0.02, 60)[None, :]
    rare = {"item_exponent": 0, "related_exponent": 1, "power": 4}
    account = train(tmp_path, sp.csr_matrix(table.astype(np.float32)), gamma="auto", **rare).neighbourhood
    trials = {trial.gamma: trial.ndcg for trial in account.trials if not trial.few_items}
    assert account.gamma == 0 and account.entries == 0
    assert max(trials.values()) < trials[0.0] + 0.01 and min(trials.values()) < trials[0.0] - 0.1
    assert not list((tmp_path / "model/factors").glob("related_items*"))


def test_nothing_to_hold_out_means_no_term(tmp_path, without_graphs):
    account = train(tmp_path, sp.csr_matrix(np.eye(9, dtype=np.float32)), gamma="auto").neighbourhood
    assert account.gamma == 0 and account.trials == []


def test_several_workers_are_told_to_set_a_number(tmp_path):
    class Two(Cluster):
        size = 2

    with pytest.raises(UserError, match="gamma auto is chosen by one worker"):
        training_job.train(
            TrainingSettings(),
            "none",
            str(tmp_path / "m"),
            False,
            term=NeighbourhoodSettings(gamma="auto"),
            cluster=Two(),
        )


def test_of_the_weights_with_half_of_the_gain_the_smallest_that_leaves_fewest_groups_behind_is_chosen():
    def chosen(*found):
        rows = [(0.0, 0.0, 0.0, 9), *found]
        return neighbourhood.best(
            [GammaTrial(gamma=g, recall=0, ndcg=0, gain=d, error=e, behind=b) for g, d, e, b in rows]
        ).gamma

    assert chosen((0.25, 0.04, 0.01, 0), (0.5, 0.06, 0.01, 0), (1.0, 0.1, 0.02, 0), (2.0, 0.08, 0.02, 0)) == 0.5
    assert chosen((0.25, 0.04, 0.01, 0), (0.5, 0.06, 0.01, 2), (1.0, 0.1, 0.02, 2), (2.0, 0.08, 0.02, 1)) == 2.0
    assert chosen((0.25, 0.06, 0.04, 0), (0.5, 0.1, 0.01, 0)) == 0.5, "the smaller one's gain may be chance"
    assert chosen((0.5, 0.1, 0.06, 0), (1.0, 0.05, 0.01, 0)) == 1.0
    assert chosen((0.5, 0.1, 0.06, 0), (1.0, -0.05, 0.01, 0)) == 0
    assert neighbourhood.best([]).gamma == 0


def test_the_greatest_gain_decides_whether_visitors_with_few_items_get_more():
    def chosen(same, more):
        gains = {False: same, True: more}
        trials = [
            GammaTrial(gamma=gamma, few_items=few_items, recall=0, ndcg=0, gain=gain, error=0.01)
            for few_items in (False, True)
            for gamma, gain in zip((1.0, 2.0), gains[few_items], strict=True)
        ]
        found = neighbourhood.best(trials)
        return found.gamma, found.few_items

    assert chosen((0.05, 0.09), (0.06, 0.1)) == (1.0, True)
    assert chosen((0.05, 0.11), (0.06, 0.1)) == (2.0, False), "half of its own gain, not of the other's"
    assert chosen((0.05, 0.09), (0.019, 0.02)) == (1.0, False)


def test_a_number_is_the_weight_of_all_unless_visitors_with_few_items_are_to_get_more(tmp_path, without_graphs):
    for term, divided in (({}, False), ({"few_items": True}, True)):
        account = train(tmp_path / str(divided), in_pairs(0, 0.05), gamma=0.25, **term).neighbourhood
        assert (account.gamma, account.few_items) == (0.25, divided)
