"""The reach of attributes: against a definition in plain Python, for attributes that help and for some that do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from ranking.attributes import one_list
from ranking.attributes.one_list import FAR, NEAR
from trainer.als.collectives import Cluster
from trainer.attributes import reach

USERS, ITEMS, K = 60, 20, 3


@pytest.mark.parametrize(("helps", "expected"), [(True, FAR), (False, NEAR)])
def test_the_reach_is_chosen_by_the_ranks_of_items_for_visitors_who_were_left_out(helps, expected):
    rng = np.random.default_rng(5)
    users, items = rng.normal(size=(USERS, K)).astype("f"), rng.normal(size=(ITEMS, K)).astype("f")
    likes = users @ items.T > 1.5
    chosen = np.arange(3, 15)
    rows = SparseRows.from_matrix(sp.csr_matrix(likes.T[chosen].astype("f")))
    prior = items[chosen] * (1 if helps else -1)
    seen, metric = [], one_list.metric(users)

    def fold_in(start, left):
        """Return the start, and a tenth of the sum of the viewers that are left."""
        seen.append(left)
        sums = [users[left.indices[a:b]].sum(0) for a, b in zip(left.indptr, left.indptr[1:], strict=False)]
        return (start + 0.1 * np.array(sums)).astype("f")  # the rows are there twice

    trial = reach.choose(rows, chosen, prior, reach.Tables(users, items, metric), fold_in, Cluster())
    gains = []
    for row, item in enumerate(chosen.tolist()):
        had, left = (set(some.indices[some.indptr[row] : some.indptr[row + 1]].tolist()) for some in (rows, seen[0]))
        without = 0.1 * users[sorted(left)].sum(0, dtype=float)
        folded = prior[row] + without
        folded *= np.linalg.norm(without @ metric) / np.linalg.norm(folded @ metric)
        for user in had - left:
            others = [float(users[user] @ other) for number, other in enumerate(items) if number != item]
            ranks = [1 + sum(score >= users[user] @ one for score in others) for one in (folded, without)]
            gains.append(1 / math.log2(1 + ranks[0]) - 1 / math.log2(1 + ranks[1]))
    assert trial.reach == expected and trial.views == len(gains) > 5
    assert trial.gain == pytest.approx(np.mean(gains), abs=1e-6)


def test_items_between_the_reaches_are_sampled():
    views, shown = np.array([3, 5, 6, 50, 199, 200, 30]), np.array([True] * 6 + [False])
    assert reach.sample(views, 10, shown).tolist() == [False, False, True, True, True, False, False]
    assert not reach.sample(views, 0, shown).any()
    many = reach.sample(np.full(10_000, 100), 10, np.ones(10_000, bool))
    assert 10 < many.sum() < 45  # of which a fifth of the views is about five hundred


def test_without_views_to_leave_out_attributes_do_not_reach_far():
    nothing = reach.Tables(*(np.zeros((2, K), "f"),) * 2, np.eye(K, dtype="f"))
    trial = reach.choose(SparseRows.empty(0), np.zeros(0, int), np.zeros((0, K), "f"), nothing, None, Cluster())
    assert trial == (NEAR, 0.0, 0)
