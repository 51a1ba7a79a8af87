"""Items that rest for visitors, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.exposures.unclicked import Resting
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from tests.support.exposures import written

ITEMS = [b"c%d" % number for number in range(8)]


def test_items_rest_for_those_who_were_shown_them_often_enough(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(b"v%d" % v, b"c%d" % c, float(rng.integers(1, 9))) for v in range(30) for c in rng.permutation(10)[:6]]
    root = written(tmp_path, rows[::2], rows[1::2], [])
    resting = Resting.read(root, 0.2, ITEMS)
    expected = {v: sorted(int(c[1:]) for w, c, n in rows if w == v and n >= 5 and c in ITEMS) for v, _, _ in rows}
    assert {v: sorted(resting.of(v).tolist()) for v in expected} == expected and any(expected.values())
    assert not len(resting.of(b"nobody"))
    had = sp.random_array((31, 8), density=0.3, format="csr", rng=rng, dtype=np.float32)
    had.sort_indices()
    visitors = [*expected, b"nobody"]
    more = resting.added_to(SparseRows.from_matrix(had), visitors)
    for row, visitor in enumerate(visitors):
        both = sorted({*had[[row]].indices.tolist(), *expected.get(visitor, [])})
        assert more.indices[slice(*more.indptr[row : row + 2])].tolist() == both


@pytest.mark.parametrize(("weight", "least"), [(1.0, 1), (0.2, 5), (0.1, 10), (0.001, 1000)])
def test_weights_add_up_to_one(tmp_path, weight, least):
    """The least number that rests is not lost to rounding."""
    root = written(tmp_path, [(b"v", b"c0", float(least)), (b"v", b"c1", least - 0.01)])
    assert Resting.read(root, weight, ITEMS).of(b"v").tolist() == [0]


def test_an_outcome_without_the_files(tmp_path):
    with pytest.raises(UserError, match=r"set outcome\.unclicked_half_life_days"):
        Resting.read(written(tmp_path), 0.2, ITEMS)
