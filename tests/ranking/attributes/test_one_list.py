"""One list of known and new items: against definitions in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking.attributes import one_list
from ranking.topk import top_k


def test_known_items_keep_the_size_of_their_scores_and_those_of_few_views_are_nearer_to_the_folded_ones():
    rng = np.random.default_rng(0)
    trained, folded, users = (rng.normal(size=(rows, 3)).astype("f") for rows in (6, 6, 40))
    folded[4] = 0  # nothing to take a direction from
    views = np.array([0, 5, 10, 300, 3, 50])
    parts = one_list.FAR.nearness(views, 10), one_list.lengthening(views, 10, 0.5)
    table = one_list.of_known(trained, folded, *parts, one_list.metric(users))

    def size(item):
        return float(np.sqrt(np.mean((users.astype(float) @ item) ** 2)))

    for row, exponent, nearness in ((0, 0.5, 1), (1, 0.25, 1), (2, 0, 1), (3, 0, 0), (5, 0, 1 / 3)):
        old, new = (part[row].astype(float) for part in (trained, folded))
        direction = nearness * new / size(new) + (1 - nearness) * old / size(old)
        wanted = size(old) ** (1 - exponent) * size(new) ** exponent
        np.testing.assert_allclose(table[row], direction / size(direction) * wanted, rtol=1e-5)
    np.testing.assert_array_equal(table[4], trained[4])
    assert table.dtype == np.float32


def test_users_without_scores_change_nothing():
    trained, folded = np.ones((2, 3), "f"), np.full((2, 3), 2, "f")
    table = one_list.of_known(trained, folded, np.ones(2), np.zeros(2), one_list.metric(np.zeros((4, 3), "f")))
    np.testing.assert_allclose(table, trained, rtol=1e-5)


def test_the_two_reaches_of_attributes():
    """In whole up to half or twice the few views, and not from twice or twenty times on."""
    views = np.array([0, 1, 5, 8, 20, 38, 50, 100, 199, 200, 10_000])
    far = [1, 1, 1, 1, 1, (200 / 38 - 1) / 9, 1 / 3, 1 / 9, (200 / 199 - 1) / 9, 0, 0]
    np.testing.assert_allclose(one_list.FAR.nearness(views, 10), far)
    np.testing.assert_allclose(one_list.NEAR.nearness(views, 10), [1, 1, 1, (20 / 8 - 1) / 3, *[0] * 7])
    for reach in (one_list.FAR, one_list.NEAR):
        assert not reach.nearness(views, 0).any()
    np.testing.assert_allclose(one_list.lengthening(np.array([0, 5, 10, 20]), 10, 0.5), [0.5, 0.25, 0, 0])
    assert not one_list.lengthening(np.array([1, 9]), 0, 0.5).any()


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
