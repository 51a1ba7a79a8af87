"""One list of known and new items: against definitions in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking.attributes import one_list
from ranking.topk import top_k


def test_few_views_mix_and_many_keep_the_trained_factors_bit_for_bit():
    rng = np.random.default_rng(0)
    trained, folded = rng.normal(size=(5, 3)).astype("f"), rng.normal(size=(5, 3)).astype("f")
    mixed = one_list.mixed(trained, folded, np.array([0, 1, 9, 10, 300]), 10)
    np.testing.assert_array_equal(mixed[[3, 4]], trained[[3, 4]])
    for row, share in ((0, 1.0), (1, 0.9), (2, 0.1)):
        np.testing.assert_allclose(mixed[row], share * folded[row] + (1 - share) * trained[row], atol=1e-6)
    np.testing.assert_array_equal(one_list.mixed(trained, folded, np.arange(1, 6), 0), trained)
    assert mixed.dtype == np.float32


def test_the_scale_matches_the_mean_lengths():
    trained, predicted = np.array([[3, 4], [0, 1]], "f"), np.array([[0.5, 0]], "f")
    assert one_list.scale(trained, predicted, 1) == pytest.approx(3 / 0.5)
    assert one_list.scale(trained, predicted, 0.5) == pytest.approx(6**0.5)
    assert one_list.scale(trained, predicted, 0) == 1
    assert one_list.scale(trained, predicted * 0, 1) == one_list.scale(trained[:0], predicted, 1) == 1


@pytest.mark.parametrize(("share", "k", "most"), [(0.3, 10, 3), (0.3, 1, 1), (0, 10, 0), (1, 7, 7), (0.07, 100, 7)])
def test_the_share_of_new_items_is_rounded_up(share, k, most):
    assert one_list.most_new(share, k) == most


@pytest.mark.parametrize("most", [0, 2, 4])
def test_a_merged_list_is_the_best_of_all_with_few_enough_new_items(most):
    """Equal scores, too: known items first, then the lower index."""
    rng, (known, new, k) = np.random.default_rng(1), (9, 6, 4)
    users, items = (rng.integers(-2, 3, size).astype("f") for size in ((30, 2), (known + new, 2)))
    left_out = SparseRows.empty(30)
    best = top_k(users, items[:known], left_out, k)
    some = top_k(users, items[known:], left_out, most)
    some = some._replace(indices=np.where(some.indices >= 0, some.indices + known, -1))
    merged = one_list.merged(best, some, k)
    for row, scores in enumerate((users @ items.T).tolist()):
        expected, given = [], 0
        for index in sorted(range(known + new), key=lambda index: (-scores[index], index)):
            if index < known or given < most:
                expected.append(index)
                given += index >= known
        assert merged.indices[row].tolist() == expected[:k]
        assert merged.scores[row].tolist() == [scores[index] for index in expected[:k]]
