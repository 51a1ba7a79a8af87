"""The most related items against plain Python."""

from itertools import combinations, permutations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from trainer.neighbourhood.related import Relation, nearest

ITEMS = 30


def plainly(table: np.ndarray, count: int, relation: Relation) -> list[list[tuple[int, float]]]:
    visitors = table.sum(0)
    found: list[list[tuple[int, float]]] = [[] for _ in range(table.shape[1])]
    both = {(i, j): int((table[:, i] & table[:, j]).sum()) for i, j in permutations(range(table.shape[1]), 2)}
    for (i, j), n in both.items():
        if n:
            scale = visitors[i] ** relation.item_exponent * visitors[j] ** relation.related_exponent
            found[i].append((j, np.float32(n / scale * (n / (n + relation.shrinkage)))))
    return [sorted(row, key=lambda entry: (-entry[1], entry[0]))[:count] for row in found]


@pytest.mark.parametrize("relation", [Relation(), Relation(1.0, 0.0), Relation(0.5, 0.25, 2.5)])
def test_the_most_related_are_those_that_plain_python_finds(relation):
    table = np.random.default_rng(0).random((60, ITEMS)) ** 2 < np.linspace(0.5, 0.01, ITEMS)[None, :]
    table[:, 3] = False
    rows = SparseRows.from_matrix(sp.csr_matrix(table.astype("f")))
    best = nearest(rows, ITEMS, 6, relation)
    for indices, scores, expected in zip(best.indices, best.scores, plainly(table, 6, relation), strict=True):
        size = len(expected)
        assert [index for index, _ in expected] == indices[:size].tolist() and (indices[size:] == -1).all()
        np.testing.assert_array_equal(scores[:size], [value for _, value in expected])
    assert (best.indices[3] == -1).all()


def test_equal_relations_go_to_the_lower_item():
    """Each visitor has two items: all pairs have the same relation."""
    pairs = np.array(list(combinations(range(6), 2)), np.int32)
    rows = SparseRows(np.arange(15), np.arange(0, 31, 2), pairs.ravel(), np.ones(30, np.float32))
    assert nearest(rows, 6, 3).indices.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
