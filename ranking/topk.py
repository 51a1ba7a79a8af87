"""Exact top K on the CPU: the items of the greatest scores for each user, without a table of all scores.

A score is u . v, and what the neighbourhood adds to it, if there is one (`ranking.neighbourhood`).

A tile of scores is one matrix product in float32, and a compiled pass over it keeps the best of each user in a heap.
BLAS rounds a score differently by processor and by its position in a tile, so that equal items would not tie and
another block size would give other answers. Therefore the tiles only choose candidates, a few more than k. Their scores
are computed again in float64, in one order, and a bound on the rounding error shows whether any other item can belong
to the best. So the answer depends on the factors alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from ranking.heap import FAST, STRICT, Best, offer, sift, sort
from ranking.neighbourhood import Addends, AmongVisitors, Term

_SPARE = 6  # candidates beyond k + k / 8; with fewer, more users need a second look


class Tile(NamedTuple):
    """Users and items that are scored at once: 2 MB of scores by default, which stay in a core's cache."""

    users: int = 256
    items: int = 2048


TILE = Tile()


class _Block(NamedTuple):
    """Users to answer, as the kernels read them."""

    users: np.ndarray  # float32 [b, d]
    items: np.ndarray  # float32 [n, d]
    starts: np.ndarray  # int64 [b + 1]; user r is not given the items left_out[starts[r]:starts[r + 1]]
    left_out: np.ndarray  # int [nnz]
    errors: np.ndarray  # float64 [b], bounds on the distance between a rough score and the exact one
    addends: Addends  # what the neighbourhood adds, in tiles of `width` items
    width: int


def top_k(
    users: np.ndarray,
    items: np.ndarray,
    left_out: SparseRows,
    k: int,
    tile: Tile = TILE,
    *,
    term: Term | AmongVisitors | None = None,
) -> Best:
    """Return the k best items of each user; of equal scores, the lower index comes first.

    A score is the float64 dot product and the neighbourhood's addend, rounded to float32; two scores that are equal as
    float32 tie.

    Args:
        users: float32 [b, d]. items: float32 [n, d]. Both must be finite.
        left_out: b rows of the items that each user is not given, such as those that the user has already.
        term: of these users, over the items of the table; None adds nothing.
    """
    best, errors = Best.empty(len(users), k), _errors(users, items)

    def answer(start: int) -> None:
        rows = slice(start, min(start + tile.users, len(users)))
        addends = _addends(term, rows, len(items), tile.items)
        bounds = errors[rows] if term is None else _with_addends(errors[rows], addends, users.shape[1])
        starts = left_out.indptr[rows.start : rows.stop + 1]
        block = _Block(users[rows], items, starts, left_out.indices, bounds, addends, tile.items)
        _settle(block, *_candidates(block, k), best.rows(rows))

    threads.each(answer, range(0, len(users), tile.users))
    return best


def _errors(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return a bound on the distance between each user's rough scores and the exact ones, float64 [b].

    In any order, d products summed in float32 err by at most about d 2^-24 |u| |v| (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.5); the rounding adds one part, and numbers next to 0 the last term.
    """
    products = _norms(users) * _norms(items).max(initial=0)
    return np.where(products > 0, 1.01 * (users.shape[1] + 2) * (2.0**-24 * products + 2.0**-126), 0)


def _addends(term: Term | AmongVisitors | None, rows: slice, items: int, width: int) -> Addends:
    return (
        Addends.none(rows.stop - rows.start, -(-items // width)) if term is None else term.addends(rows, items, width)
    )


def _with_addends(errors: np.ndarray, addends: Addends, dimensions: int) -> np.ndarray:
    """Return bounds that also cover an addend a, float64 [b].

    A rough score adds a as float32 to a product that is at most |u| |v|: two roundings, and a part of each sum more in
    the rounding of the exact score. (d + 2) / 2 of the products' bound are more than the one part that |u| |v| lacks.
    """
    share = (dimensions + 3) / (dimensions + 2)
    return share * errors + 1.01 * (4 * 2.0**-24 * addends.greatest + 2.0**-126)


def _norms(table: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.float64))


def _candidates(block: _Block, k: int) -> tuple[Best, Best]:
    """Return heaps of the best without an addend by BLAS's products, and of the best with one by their rough scores.

    The worst is on top. An item that is in neither has at most the score of the worst in its heap.
    """
    users, items, width = block.users, block.items, block.width
    size = min(len(items), k + _SPARE + k // 8)
    heaps = Best.empty(len(users), size)
    with_addends = Best.empty(len(users), size if len(block.addends.indices) else 0)
    space = np.empty(len(users) * width, np.float32)
    for first in range(0, len(items), width):
        part = items[first : first + width]
        tile = space[: len(users) * len(part)].reshape(len(users), len(part))
        np.matmul(users, part.T, out=tile)
        _keep_best(tile, first, block, heaps, with_addends)
    return heaps, with_addends


@numba.njit(**FAST)
def _keep_best(tile, first, block, heaps, with_addends):
    """Merge a tile float32 [b, t] of products of the items `first`, first + 1, ... into each user's heaps."""
    rows, width = tile.shape
    for row in range(rows):
        scores, indices = heaps.scores[row], heaps.indices[row]
        for entry in range(block.starts[row], block.starts[row + 1]):
            column = block.left_out[entry] - first
            if 0 <= column < width:
                tile[row, column] = -np.inf
        _offer_with_addends(tile, row, first, block, with_addends)
        worst = scores[0]
        for start in range(0, width, 64):
            end = min(start + 64, width)
            greatest = tile[row, start]
            for column in range(start, end):  # vectorises; most stretches contain no candidate
                greatest = max(greatest, tile[row, column])
            if greatest > worst:
                for column in range(start, end):
                    if tile[row, column] > worst:  # items ascend: of equal ones the first stays
                        sift(tile[row, column], first + column, len(scores), scores, indices)
                        worst = scores[0]


@numba.njit(**FAST)
def _offer_with_addends(tile, row, first, block, heaps):
    """Merge the addends of a tile's items into the heap of a user, whose indices are those of the addends.

    Their items are removed from the tile, since they are in no other heap.
    """
    scores, entries, addends = heaps.scores[row], heaps.indices[row], block.addends
    bounds = addends.starts[row, first // block.width :]
    for entry in range(bounds[0], bounds[1]):
        column = np.uint32(addends.indices[entry] - first)
        score = tile[row, column] + np.float32(addends.values[entry])
        if score > scores[0]:
            sift(score, entry, len(scores), scores, entries)
        tile[row, column] = -np.inf


@numba.njit(**STRICT)
def _settle(block, candidates, with_addends, best):
    """Fill `best` by the candidates' exact scores; look at all items again if the candidates may lack one."""
    users, items, addends = block.users, block.items, block.addends
    for row in range(len(users)):
        scores, indices, error = best.scores[row], best.indices[row], block.errors[row]
        worst = candidates.scores[row, 0]
        for place in range(with_addends.indices.shape[1]):
            worst = max(worst, with_addends.scores[row, 0])
            entry = with_addends.indices[row, place]
            if entry >= 0 and with_addends.scores[row, place] + error >= scores[0]:
                index = np.int64(addends.indices[entry])
                offer(_exact_score(users[row], items[index], addends.values[entry]), index, scores, indices)
        for place in range(candidates.indices.shape[1]):
            index = candidates.indices[row, place]
            if index >= 0 and candidates.scores[row, place] + error >= scores[0]:
                offer(_exact_score(users[row], items[index], 0.0), index, scores, indices)
        # An item that is not a candidate has at most the worst candidate's score, give or take the error.
        incomplete = candidates.indices.shape[1] < len(items) and worst > -np.inf
        if incomplete and error > 0 and scores[0] <= worst + error:
            _look_again(block, row, error, scores, indices)
        sort(scores, indices)


@numba.njit(**STRICT)
def _look_again(block, row, error, scores, indices):
    """Fill a user's heap from all items: too many scores are too close together."""
    user, items = block.users[row], block.items
    skip, addends = np.zeros(len(items), np.bool_), np.zeros(len(items))
    for entry in range(block.starts[row], block.starts[row + 1]):
        skip[block.left_out[entry]] = True
    for entry in range(block.addends.starts[row, 0], block.addends.starts[row, -1]):
        addends[block.addends.indices[entry]] = block.addends.values[entry]
    scores[:] = -np.inf
    indices[:] = -1
    for index in range(len(items)):
        if not skip[index] and _rough_score(user, items[index]) + np.float32(addends[index]) + error >= scores[0]:
            offer(_exact_score(user, items[index], addends[index]), index, scores, indices)


@numba.njit(**STRICT)
def _exact_score(user, item, addend):
    """Return u . v in float64, summed in order, and the addend, rounded to float32."""
    total = 0.0
    for d in range(len(user)):
        total += np.float64(user[d]) * np.float64(item[d])  # exact: 24 + 24 bits
    return np.float32(total + addend)


@numba.njit(**FAST)
def _rough_score(user, item):
    total = np.float32(0)
    for d in range(len(user)):
        total += user[d] * item[d]
    return total
