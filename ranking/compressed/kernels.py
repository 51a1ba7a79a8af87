"""The compiled parts of the search: a pass over compressed rows, and the exact scores of what it leaves."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ranking.heap import FAST, STRICT, is_worse, offer, sort
from ranking.neighbourhood import Addends

_BLOCK = 256  # items whose rows stay in the first cache while each query reads them
_ROWS, _USERS = 128, 3  # items of a block in float32, and queries at a time in `_products`


class Queries(NamedTuple):
    """Queries as the kernels read them."""

    exact: np.ndarray  # float32 [b, d], u
    whole: np.ndarray  # int16 [b, d'], p
    scales: np.ndarray  # float32 [b], t
    lengths: np.ndarray  # float32 [b], at least |t p|
    slacks: np.ndarray  # float32 [b], what the bounds add to |t p| |r|
    errors: np.ndarray  # float64 [b], bounds of a product in float32, as in `ranking.topk`
    starts: np.ndarray  # int64 [b + 1]; query r is not given the items left_out[starts[r]:starts[r + 1]]
    left_out: np.ndarray  # int [nnz], ascending in a row
    allowed: np.ndarray  # bool [n], or empty if all items may be answers
    addends: Addends  # what the neighbourhood adds, in one tile of all items


class View(NamedTuple):
    """The exact rows, as the kernels read them."""

    rows: np.ndarray  # float32 [n, d]
    norms: np.ndarray  # float64 [n], or empty


class Decided(NamedTuple):
    """The result of the pass over the items, by query."""

    least: np.ndarray  # float32 [b], that so many items reach as the list has entries
    undecided: np.ndarray  # bool [b], whether all items must be looked at


class Candidates(NamedTuple):
    """The candidates of b queries in a part of the items."""

    lower: np.ndarray  # float32 [b, k], a heap of the greatest lower bounds, the least on top
    indices: np.ndarray  # int64 [b, c]
    upper: np.ndarray  # float32 [b, c]
    counts: np.ndarray  # int64 [b], of candidates; c + 1 if there are more

    @classmethod
    def none(cls, count: int, k: int, room: int) -> Candidates:
        """Return no candidates, and room for so many of each query."""
        lower, indices = np.full((count, k), -np.inf, np.float32), np.empty((count, room), np.int64)
        return cls(lower, indices, np.empty((count, room), np.float32), np.zeros(count, np.int64))


@numba.njit(**FAST)
def scan(first, last, queries, compressed, candidates):
    """Collect the items first .. last - 1 whose upper bounds reach the k-th greatest lower bound so far."""
    sums, upper = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.float32)
    for start in range(first, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        scales, errors = compressed.scales[start:stop], compressed.errors[start:stop]
        for query in range(len(queries.whole)):
            _multiply(queries.whole[query], compressed.rows[start:stop], sums)
            scale, length, greatest = queries.scales[query], queries.lengths[query], np.float32(-np.inf)
            for i in range(stop - start):
                upper[i] = np.float32(sums[i]) * scales[i] * scale + length * errors[i]
                greatest = max(greatest, upper[i])
            if greatest + queries.slacks[query] >= candidates.lower[query, 0]:
                _collect(query, start, upper[: stop - start], errors, queries, candidates)


@numba.njit(**FAST)
def scan_rows(first, last, queries, rows, candidates):
    """Do what `scan` does by products with the rows themselves in float32, whose error is the queries' slack."""
    count, dimensions = queries.exact.shape
    users = np.zeros((-(-count // _USERS) * _USERS, dimensions), np.float32)
    users[:count] = queries.exact
    tile, exactly = np.empty((len(users), _ROWS), np.float32), np.zeros(_ROWS, np.float32)
    for start in range(first, last, _ROWS):
        stop = min(start + _ROWS, last)
        _products(users, rows[start:stop], tile)
        for query in range(count):
            upper, greatest = tile[query, : stop - start], np.float32(-np.inf)
            for product in upper:  # vectorises; most blocks contain no candidate
                greatest = max(greatest, product)
            if greatest + queries.slacks[query] >= candidates.lower[query, 0]:
                _collect(query, start, upper, exactly, queries, candidates)


@numba.njit(**FAST)
def _products(users, rows, tile):
    """Set tile[q, i] = users[q] . rows[i], for a multiple of three users.

    Twelve sums at a time stay in the registers, so that a number is read once for three or four products. BLAS reaches
    the same rate with hundreds of users only, because it first copies the rows into an order of its own.
    """
    whole = len(rows) // 4 * 4
    for i in range(0, whole, 4):
        for q in range(0, len(users), _USERS):
            a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = d0 = d1 = d2 = np.float32(0)
            for k in range(users.shape[1]):
                u, v, w = users[q, k], users[q + 1, k], users[q + 2, k]
                a, b, c, d = rows[i, k], rows[i + 1, k], rows[i + 2, k], rows[i + 3, k]
                a0, a1, a2 = a0 + a * u, a1 + a * v, a2 + a * w
                b0, b1, b2 = b0 + b * u, b1 + b * v, b2 + b * w
                c0, c1, c2 = c0 + c * u, c1 + c * v, c2 + c * w
                d0, d1, d2 = d0 + d * u, d1 + d * v, d2 + d * w
            tile[q, i], tile[q + 1, i], tile[q + 2, i] = a0, a1, a2
            tile[q, i + 1], tile[q + 1, i + 1], tile[q + 2, i + 1] = b0, b1, b2
            tile[q, i + 2], tile[q + 1, i + 2], tile[q + 2, i + 2] = c0, c1, c2
            tile[q, i + 3], tile[q + 1, i + 3], tile[q + 2, i + 3] = d0, d1, d2
    for i in range(whole, len(rows)):
        for q in range(len(users)):
            total = np.float32(0)
            for k in range(users.shape[1]):
                total += users[q, k] * rows[i, k]
            tile[q, i] = total


@numba.njit(**FAST)
def _multiply(whole, rows, sums):
    """Set sums[i] = p . q_i, by instructions that multiply and add pairs of int16."""
    for i in range(len(rows)):
        total = np.int32(0)
        for c in range(len(whole)):
            total = np.int32(total + np.int32(whole[c] * np.int16(rows[i, c])))
        sums[i] = total


@numba.njit(**STRICT)
def _collect(query, start, upper, errors, queries, candidates):
    """Add the candidates of a block to those of a query."""
    lower, slack = candidates.lower[query], queries.slacks[query]
    length, room = queries.lengths[query], candidates.indices.shape[1]
    for i in range(len(upper)):
        if upper[i] + slack < lower[0] or candidates.counts[query] > room:
            continue
        if not _may_be(query, start + i, queries):
            continue
        _raise(upper[i] - np.float32(2) * (length * errors[i]) - slack, lower)
        if candidates.counts[query] == room:
            _drop(query, slack, candidates)
        count = candidates.counts[query]
        if count < room:
            candidates.indices[query, count], candidates.upper[query, count] = start + i, upper[i]
        candidates.counts[query] = count + 1


@numba.njit(**STRICT)
def _drop(query, slack, candidates):
    """Remove the candidates that are below the lower bounds by now."""
    kept = 0
    for place in range(candidates.counts[query]):
        if candidates.upper[query, place] + slack >= candidates.lower[query, 0]:
            candidates.indices[query, kept] = candidates.indices[query, place]
            candidates.upper[query, kept] = candidates.upper[query, place]
            kept += 1
    candidates.counts[query] = kept


@numba.njit(**STRICT)
def _may_be(query, index, queries):
    """Return whether an item is allowed and not left out of a query's list."""
    if len(queries.allowed) and not queries.allowed[index]:
        return False
    low, high = queries.starts[query], queries.starts[query + 1]
    end = high
    while low < high:
        middle = (low + high) // 2
        if queries.left_out[middle] < index:
            low = middle + 1
        else:
            high = middle
    return low == end or queries.left_out[low] != index


@numba.njit(**STRICT)
def _raise(value, heap):
    """Put a value into a heap of the greatest, whose least is on top, if it is greater than that."""
    parent, size = 0, len(heap)
    if value <= heap[0]:
        return
    while True:
        child = 2 * parent + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if child >= size or heap[child] >= value:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = value


@numba.njit(**STRICT)
def settle(first, last, queries, view, parts, decided, best):
    """Fill the lists of the queries first .. last - 1 by exact scores of the candidates of all parts."""
    for query in range(first, last):
        if decided.undecided[query]:
            _look_at_all(query, queries, view, best)
            continue
        if len(queries.addends.indices):
            _offer_with_addends(query, queries, view, best)
        for candidates in parts:
            _offer_candidates(query, queries, view, candidates, decided.least[query], best)
        sort(best.scores[query], best.indices[query])


@numba.njit(**STRICT)
def _offer_candidates(query, queries, view, candidates, least, best):
    """Offer the exact scores of a part's candidates to the heap of a query."""
    scores, indices = best.scores[query], best.indices[query]
    user, error, slack = queries.exact[query], queries.errors[query], queries.slacks[query]
    starts = queries.addends.starts[query]
    with_addends = np.sort(queries.addends.indices[starts[0] : starts[-1]])
    for place in range(candidates.counts[query]):
        if candidates.upper[query, place] + slack < least:
            continue
        index = candidates.indices[query, place]
        if _rough_score(user, index, view) + error < scores[0] or _is_in(index, with_addends):
            continue
        offer(_exact_score(user, index, view, 0.0), index, scores, indices)


@numba.njit(**STRICT)
def _offer_with_addends(query, queries, view, best):
    """Offer the items to which the neighbourhood adds something, which `_offer_candidates` then passes over."""
    scores, indices, addends = best.scores[query], best.indices[query], queries.addends
    user, error = queries.exact[query], queries.errors[query]
    for entry in range(addends.starts[query, 0], addends.starts[query, -1]):
        index = np.int64(addends.indices[entry])
        near = _rough_score(user, index, view) + addends.values[entry] + error >= scores[0]
        if near and _may_be(query, index, queries):
            offer(_exact_score(user, index, view, addends.values[entry]), index, scores, indices)


@numba.njit(**STRICT)
def _look_at_all(query, queries, view, best):
    """Fill a query's list from all items: too many scores are too close together."""
    scores, indices, addends = best.scores[query], best.indices[query], queries.addends
    user, error, added = queries.exact[query], queries.errors[query], np.zeros(len(view.rows))
    for entry in range(addends.starts[query, 0], addends.starts[query, -1]):
        added[addends.indices[entry]] = addends.values[entry]
    for index in range(len(view.rows)):
        rough = _rough_score(user, index, view) + added[index] + error
        if is_worse(np.float64(scores[0]), indices[0], rough, index) and _may_be(query, index, queries):
            offer(_exact_score(user, index, view, added[index]), index, scores, indices)
    sort(scores, indices)


@numba.njit(**STRICT)
def _is_in(index, ascending):
    place = np.searchsorted(ascending, index)
    return place < len(ascending) and ascending[place] == index


@numba.njit(**STRICT)
def _exact_score(user, index, view, addend):
    """Return u . v in float64, summed in order, and the addend, rounded to float32, as `ranking.topk` does."""
    total, norm = 0.0, view.norms[index] if len(view.norms) else 1.0
    for d in range(len(user)):
        value = np.float32(np.float64(view.rows[index, d]) / norm)
        total += np.float64(user[d]) * np.float64(value)
    return np.float32(total + addend)


@numba.njit(**FAST)
def _rough_score(user, index, view):
    total = np.float32(0)
    for d in range(len(user)):
        total += user[d] * view.rows[index, d]
    return np.float64(total) / view.norms[index] if len(view.norms) else np.float64(total)
