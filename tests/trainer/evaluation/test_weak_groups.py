"""Groups of visitors that are behind item kNN, against dense cosines and plain loops."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, VISITORS
from artifacts.sparse_rows import SparseRows
from trainer.evaluation.weak_groups import WeakGroups

USERS, ITEMS, K = 420, 24, 5


def world():
    """Return who has what, what is held out, and the items: visitors of 150, 150 and 120, each with their category."""
    rng = np.random.default_rng(5)
    kinds = np.arange(ITEMS) % 3
    of_user = np.repeat([0, 1, 2], (150, 150, 120))
    has = rng.random((USERS, ITEMS)) < np.where(of_user[:, None] == kinds, 0.5, 0.1)
    has[:, 0] |= ~has.any(1)
    held = ~has & (rng.random(has.shape) < 0.2)
    held[-30:] = False  # 90 visitors of the third category are measured: too few
    table = {VISITORS: pa.array(has.sum(0)), CATEGORY: pa.array([f"k{kind}" for kind in kinds])}
    return has, held, ItemsTable(pa.table(table))


def rows(table: np.ndarray) -> SparseRows:
    return SparseRows.from_matrix(sp.csr_matrix(table.astype(np.float32)))


def test_item_knn_is_measured_as_its_definition_has_it():
    has, held, items = world()
    groups = WeakGroups.of(items, rows(has), rows(held), K)
    both = has.T.astype(float) @ has
    cosines = both / np.sqrt(np.outer(has.sum(0), has.sum(0)))
    np.fill_diagonal(cosines, 0)
    scores = np.where(has, -np.inf, has @ cosines)
    measured = np.flatnonzero(held.any(1))
    lists = np.argsort(-scores[measured], axis=1, kind="stable")[:, :K]
    hits = np.take_along_axis(held[measured], lists, 1)
    np.testing.assert_allclose(groups.theirs[0], hits.sum(1) / held[measured].sum(1))
    ideal = np.array([(1 / np.log2(np.arange(2, min(K, count) + 2))).sum() for count in held[measured].sum(1)])
    np.testing.assert_allclose(groups.theirs[1], (hits / np.log2(np.arange(2, K + 2))).sum(1) / ideal)


def test_groups_of_a_hundred_count_if_recall_or_ndcg_is_surely_less():
    has, held, items = world()
    weak = WeakGroups.of(items, rows(has), rows(held), K)
    recall, ndcg = weak.theirs
    measured = np.flatnonzero(held.any(1))
    kinds = np.stack([has[measured, :][:, kind::3].sum(1) for kind in range(3)])
    assert all(len(group) >= 100 for group in weak.groups)
    for kind, counts in ((0, True), (2, False)):
        surely = np.flatnonzero(kinds[kind] > np.delete(kinds, kind, 0).max(0))  # of this category without a tie
        assert any(np.isin(surely, group).all() and len(group) < 200 for group in weak.groups) == counts
    noise, everybody = np.random.default_rng(0).normal(0, 0.1, len(recall)), len(weak.groups)
    assert weak.behind(recall, ndcg) == 0, "equal is not behind"
    assert weak.behind(recall - 0.2 + noise, ndcg) == weak.behind(recall, ndcg - 0.2 + noise) == everybody
    assert weak.behind(recall + 0.2 + noise, ndcg + 0.2) == 0
    worse = np.where(np.isin(np.arange(len(ndcg)), weak.groups[-1]), -0.1, 0.0)
    expected = sum(worse[group].mean() + 1.96 * worse[group].std() / len(group) ** 0.5 < 0 for group in weak.groups)
    assert weak.behind(recall, ndcg + worse) == expected > 0
