"""The item-item term against a dense table in NumPy."""

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking import topk
from ranking.diversity import Cap, capped_top_k
from ranking.heap import Best
from ranking.neighbourhood import Neighbourhood, Term, on_a_grid

ITEMS, USERS = 90, 40


class World:
    """Users, items and a neighbourhood; whole numbers where `ties`, so that scores are exact and often equal."""

    def __init__(self, seed: int, ties: bool, dimensions: int = 5):
        self.rng = rng = np.random.default_rng(seed)
        shapes = (USERS, dimensions), (ITEMS, dimensions)
        draw = (lambda shape: rng.integers(-2, 3, shape)) if ties else rng.standard_normal
        self.u, self.v = (draw(shape).astype(np.float32) for shape in shapes)
        near = np.argsort(rng.random((ITEMS, ITEMS)), axis=1)[:, :7]
        near[rng.random(near.shape) < 0.2] = -1
        relations = rng.integers(1, 4, near.shape) / 4 if ties else rng.random(near.shape) + 1e-6
        self.related = on_a_grid(Best(near, relations.astype(np.float32)))
        self.neighbourhood = Neighbourhood(self.related, 2.0 if ties else 0.37, few_items=not ties)
        self.have = rng.random((USERS, ITEMS)) < 0.15
        self.have[3] = False
        self.histories = rows(self.have)

    def scores(self) -> np.ndarray:
        """Return float32 [USERS, ITEMS]: the dot products in order and the term in float64, rounded once."""
        dense = np.zeros((ITEMS, ITEMS))
        dense[np.repeat(np.arange(ITEMS), self.related.lengths), self.related.indices] = self.related.values
        products = self.u.astype(np.float64)[:, None, :] * self.v.astype(np.float64)[None, :, :]
        dots = np.add.accumulate(products, axis=2)[:, :, -1]
        roots = np.sqrt(np.maximum(self.have.sum(1, keepdims=True), 1)) if self.neighbourhood.few_items else 1
        return (dots + self.neighbourhood.gamma / roots * (self.have @ dense)).astype(np.float32)


def rows(table: np.ndarray) -> SparseRows:
    starts = np.append(0, np.cumsum(table.sum(1)))
    columns = np.nonzero(table)[1].astype(np.int32)
    return SparseRows(np.arange(len(table)), starts, columns, np.ones(len(columns), np.float32))


def by_sorting(scores: np.ndarray, without: np.ndarray, k: int) -> Best:
    table = np.where(without, -np.inf, scores)
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(table, order, 1)
    return Best(np.where(best > -np.inf, order, -1), best)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("tile", [topk.TILE, topk.Tile(16, 37), topk.Tile(1, 1)])
def test_the_best_of_both_parts_are_those_of_all_scores_sorted(ties, tile):
    world = World(1, ties)
    term, seen = Term(world.neighbourhood, world.histories), world.have
    for k, without in ((6, seen), (25, seen), (ITEMS, np.zeros_like(seen))):
        best = topk.top_k(world.u, world.v, rows(without), k, tile, term=term)
        expected = by_sorting(world.scores(), without, k)
        np.testing.assert_array_equal(best.indices, expected.indices)
        np.testing.assert_array_equal(best.scores, expected.scores)
    plain = topk.top_k(world.u, world.v, rows(seen), 6, tile)
    assert (plain.indices != topk.top_k(world.u, world.v, rows(seen), 6, tile, term=term).indices).mean() > 0.1


def test_scores_that_float32_sums_cannot_tell_apart_are_ordered_by_their_exact_values():
    """Products that cancel the term to the last digits, so that candidates do not suffice."""
    world = World(2, False, 64)
    world.v[:] = world.v[0] + (1e-6 * world.rng.standard_normal(world.v.shape)).astype(np.float32)
    world.related.values[:] = world.related.values[0]
    term = Term(world.neighbourhood, world.histories)
    best = topk.top_k(world.u, world.v, world.histories, 5, term=term)
    expected = by_sorting(world.scores(), world.have, 5)
    np.testing.assert_array_equal(best.indices, expected.indices)
    np.testing.assert_array_equal(best.scores, expected.scores)


def test_equal_addends_do_not_hide_items_whose_products_float32_cannot_tell_apart():
    """Sixty items have the same addend and almost the same product, far more than there are candidates."""
    world = World(8, False, 64)
    world.v[:] = world.v[0] + (1e-6 * world.rng.standard_normal(world.v.shape)).astype(np.float32)
    world.related = on_a_grid(Best(np.tile(np.arange(60), (ITEMS, 1)), np.ones((ITEMS, 60), np.float32)))
    world.neighbourhood = Neighbourhood(world.related, 0.37)  # the same weight for all
    best = topk.top_k(world.u, world.v, world.histories, 5, term=Term(world.neighbourhood, world.histories))
    expected = by_sorting(world.scores(), world.have, 5)
    np.testing.assert_array_equal(best.indices, expected.indices)
    np.testing.assert_array_equal(best.scores, expected.scores)


def test_users_without_factors_are_answered_by_the_term_alone():
    world = World(3, False)
    world.u[:] = 0
    best = topk.top_k(world.u, world.v, world.histories, 9, term=Term(world.neighbourhood, world.histories))
    np.testing.assert_array_equal(best.indices, by_sorting(world.scores(), world.have, 9).indices)
    assert best.indices[3].tolist() == list(range(9))  # the user who has nothing


def test_a_part_of_the_items_may_be_the_answers():
    world = World(4, True)
    allowed = np.flatnonzero(world.rng.random(ITEMS) < 0.6)
    new = np.full(ITEMS, -1)
    new[allowed] = np.arange(len(allowed))
    term = Term(world.neighbourhood.renumbered(new), world.histories)
    best = topk.top_k(world.u, world.v[allowed], world.histories.renumbered(new), 8, term=term)
    expected = by_sorting(world.scores()[:, allowed], world.have[:, allowed], 8)
    np.testing.assert_array_equal(best.indices, expected.indices)
    np.testing.assert_array_equal(best.scores, expected.scores)


def test_caps_see_the_term():
    world = World(5, True)
    categories = (np.arange(ITEMS) % 4).astype(np.int32)
    term = Term(world.neighbourhood, world.histories)

    def search(rows, length):
        return topk.top_k(world.u[rows], world.v, world.histories.take(rows), length, term=term.take(rows))

    best = capped_top_k(search, len(world.u), ITEMS, 6, Cap(categories, 2), entries=200)
    order = by_sorting(world.scores(), world.have, ITEMS).indices
    for row, given in zip(order.tolist(), best.indices.tolist(), strict=True):
        kept: list[int] = []
        for item in row:
            if item >= 0 and len(kept) < 6 and [categories[other] for other in kept].count(categories[item]) < 2:
                kept.append(item)
        assert given == kept + [-1] * (6 - len(kept))


def test_sums_are_exact_in_any_order():
    relations = (np.random.default_rng(6).random((500, 40)) * 3 + 1e-9).astype(np.float32)
    near = np.tile(np.arange(40), (500, 1))
    matrix = on_a_grid(Best(near, relations), power=1.7)
    values = matrix.values.astype(np.float64)
    for _ in range(5):
        assert np.add.accumulate(np.random.default_rng(_).permutation(values))[-1] == np.add.accumulate(values)[-1]
    np.testing.assert_allclose(values, relations.ravel().astype(np.float64) ** 1.7, atol=values.max() * 2.0**-23)


def test_what_rounds_to_nothing_is_left_out_and_rows_ascend():
    matrix = on_a_grid(
        Best(np.array([[2, 1], [0, -1], [1, 0]]), np.array([[1, 0.5], [1e-9, -np.inf], [0.5, 0.25]], "f"))
    )
    assert matrix.indptr.tolist() == [0, 2, 2, 4]
    assert matrix.indices.tolist() == [1, 2, 0, 1] and matrix.values.tolist() == [0.5, 1, 0.25, 0.5]
    assert on_a_grid(Best.empty(3, 2)).indptr.tolist() == [0, 0, 0, 0]


def test_contributions_sum_to_the_term():
    world = World(7, False)
    items, wanted = np.flatnonzero(world.have[0]), np.arange(ITEMS)
    shares = world.neighbourhood.contributions(items, wanted)
    addends = Term(world.neighbourhood, world.histories).addends(slice(0, 1), ITEMS, ITEMS)
    dense = np.zeros(ITEMS)
    dense[addends.indices] = addends.values
    np.testing.assert_allclose(shares.sum(1), dense, rtol=1e-12)
    assert shares.shape == (ITEMS, len(items)) and (shares > 0).sum() > len(items)
