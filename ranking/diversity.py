"""Lists that are not all alike: caps on the items of one category, and maximal marginal relevance (MMR).

MMR (Carbonell & Goldstein 1998) chooses a list from candidates, each time the one of the greatest

    lambda * relevance - (1 - lambda) * greatest cosine with an item that is chosen already

where the relevance is the score as a part of the range of the candidates' scores, 1 for the first and 0 for the last,
and the cosine is of the items' factors. Candidates are bounded: of all items, those of the best scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from ranking.heap import STRICT, Best

_ENTRIES = 1 << 20  # of the longer lists that are in memory at once
_NUMBERS = 1 << 22  # of the candidates' factors that are in memory at once

Search = Callable[[np.ndarray, int], Best]  # the best entries of some rows int64 [r], as many as the number


class Cap(NamedTuple):
    """A limit on one category in an answer."""

    categories: np.ndarray  # int32 [n], of each item; -1 for an item without one, which has no limit
    most: int  # items of one category


def no_cap(items: int) -> Cap:
    """Return a cap that limits nothing."""
    return Cap(np.full(items, -1, np.int32), 0)


def capped_top_k(search: Search, rows: int, items: int, k: int, cap: Cap, entries: int = _ENTRIES) -> Best:
    """Return the k best of all items for each row that the cap allows, as a search over them returns them.

    The search goes down each row's order as far as needed, in longer and longer lists for fewer and fewer rows.
    """
    best, unfilled, length = Best.empty(rows, k), np.arange(rows), min(items, 2 * k + cap.most)
    while len(unfilled):
        size, still_unfilled = max(1, entries // length), []
        for start in range(0, len(unfilled), size):
            part = unfilled[start : start + size]
            longer = search(part, length)
            filled, shorter = np.empty(len(part), np.bool_), Best.empty(len(part), k)
            _within_cap(longer, cap, shorter, filled)
            best.indices[part], best.scores[part] = shorter
            still_unfilled.append(part[~filled & (longer.indices[:, -1] >= 0)])
        unfilled = np.concatenate(still_unfilled) if length < items else unfilled[:0]
        length = min(items, 4 * length)
    return best


def within_cap(longer: Best, cap: Cap, k: int) -> Best:
    """Return the first k entries of each list that the cap allows."""
    shorter = Best.empty(len(longer.indices), k)
    _within_cap(longer, cap, shorter, np.empty(len(longer.indices), np.bool_))
    return shorter


@numba.njit(**STRICT)
def _within_cap(longer, cap, best, filled):
    """Fill `best` with the first k of each longer list that the cap allows; filled bool [b]: whether there were k."""
    k = best.indices.shape[1]
    for row in range(len(longer.indices)):
        size = 0
        for number in range(longer.indices.shape[1]):
            index = longer.indices[row, number]
            if index < 0 or size == k:
                break
            if fits(best.indices[row, :size], cap, index):
                best.indices[row, size], best.scores[row, size] = index, longer.scores[row, number]
                size += 1
        filled[row] = size == k


@numba.njit(**STRICT)
def fits(given, cap, index):
    """Return whether the cap allows an item next to those that are given already."""
    category = cap.categories[index]
    if category < 0:
        return True
    same = 0
    for other in given:
        same += cap.categories[other] == category
    return same < cap.most


class Mmr(NamedTuple):
    """MMR: lambda, 1 for lists by score alone, and the number of candidates of a list, k if that is more."""

    weight: float
    candidates: int


def mmr(best: Best, factors: Callable[[np.ndarray], np.ndarray], weight: float, k: int) -> Best:
    """Return the first k entries that MMR chooses of each list of candidates, in the order of choice.

    Of equal values, the candidate that comes first in the list is chosen. Scores stay as they are.

    Args:
        best: candidates, best first. factors: returns those of items int64 [n], float32 [n, d].
        weight: lambda, 0 to 1.
    """
    chosen = Best.empty(len(best.indices), min(k, best.indices.shape[1]))
    width = max(1, best.indices.shape[1]) * factors(np.zeros(1, np.int64)).shape[1]
    rows = max(1, _NUMBERS // width)
    for start in range(0, len(best.indices), rows):
        part = slice(start, start + rows)
        indices = best.indices[part]
        vectors = factors(np.maximum(indices, 0).ravel()).reshape(*indices.shape, -1)
        _mmr(best.rows(part), vectors, float(weight), chosen.rows(part))
    return chosen


@numba.njit(**STRICT)
def _mmr(best, vectors, weight, chosen):
    """Fill `chosen` from candidates with their factors [b, c, d]; sums are in float64 and in order."""
    rows, width = best.indices.shape
    for row in range(rows):
        size = 0
        while size < width and best.indices[row, size] >= 0:
            size += 1
        relevance, nearest, lengths = np.ones(size), np.zeros(size), np.empty(size)
        for place in range(size):
            lengths[place] = np.sqrt(_product(vectors[row, place], vectors[row, place]))
            low, high = np.float64(best.scores[row, size - 1]), np.float64(best.scores[row, 0])
            if high > low:
                relevance[place] = (np.float64(best.scores[row, place]) - low) / (high - low)
        is_left = np.ones(size, np.bool_)
        for slot in range(min(size, chosen.indices.shape[1])):
            first, greatest = -1, -np.inf
            for place in range(size):
                value = weight * relevance[place] - (1 - weight) * nearest[place]
                if is_left[place] and value > greatest:
                    first, greatest = place, value
            is_left[first] = False
            chosen.indices[row, slot], chosen.scores[row, slot] = best.indices[row, first], best.scores[row, first]
            for place in range(size):
                both = lengths[place] * lengths[first]
                cosine = _product(vectors[row, place], vectors[row, first]) / both if both > 0 else 0.0
                nearest[place] = cosine if slot == 0 else max(nearest[place], cosine)


@numba.njit(**STRICT)
def _product(left, right):
    """Return the dot product in float64, summed in order."""
    total = 0.0
    for d in range(len(left)):
        total += np.float64(left[d]) * np.float64(right[d])
    return total


@numba.njit(**STRICT)
def intra_list_similarity(lists, ks, items, norms):
    """Return the mean cosine of the pairs among the first K items of each list, float64 [b, ks]; 0 without a pair.

    This is the intra-list similarity of Ziegler et al. 2005. With n unit vectors whose sum is s it is
    (|s|^2 - n) / (n (n - 1)), so a list of k takes k steps and not k^2. An item without factors has the cosine 0 with
    every other.

    Args:
        lists: int [b, k], -1 after the last item. ks: int64 [ks], ascending.
        items: float32 [m, d]. norms: float64 [m], the lengths of their rows, 1 for zeros (`ranking.similarity.norms`).
    """
    means, total = np.zeros((len(lists), len(ks))), np.empty(items.shape[1])
    for row in range(len(lists)):
        total[:] = 0
        size, squares, place = 0, 0.0, 0
        for column in range(len(ks)):
            while place < min(ks[column], lists.shape[1]) and lists[row, place] >= 0:
                item = lists[row, place]
                for d in range(len(total)):
                    unit = np.float64(items[item, d]) / norms[item]
                    total[d] += unit
                    squares += unit * unit
                size, place = size + 1, place + 1
            if size > 1:
                means[row, column] = ((total * total).sum() - squares) / (size * (size - 1))
    return means
