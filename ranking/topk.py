"""Scores and top K: u . v for a block of visitors against all items, without a table of all scores.

A tile of scores is one matrix product in float32; a compiled pass over it keeps the best of each visitor in a heap.
How BLAS rounds a score depends on the processor and on where the score stands in a tile, so that equal items
would not tie, and another size of block would give other answers. Therefore the tiles only choose candidates, a few
more than asked for. Their scores are computed again in float64, in one order, and it is checked that none of
the others can belong among the best. So the answer depends on nothing but the factors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
import numpy as np
import threadpoolctl

from ranking.machine import cores

_VISITORS, _ITEMS = 256, 2048  # of a tile: 2 MB of scores, which stay in a core's cache
_SPARE = 6  # candidates beyond k + k / 8; the fewer, the more visitors need a second look

_ENTRIES = 1 << 20  # of longer lists that are held at once

# One block at a time: it uses all cores by itself, Beam's threads would only share them, and BLAS's number of threads
# belongs to the process. Memory so stays the same however many bundles run in a worker.
_ONE_BLOCK = threading.Lock()

# nnan: with NaN (there is none) out of the way, the search for a stretch's greatest score becomes vector instructions.
_FAST = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"nnan", "nsz", "reassoc", "contract"}}
_STRICT = {"nogil": True, "cache": True, "error_model": "numpy"}


def top_k(
    users: np.ndarray, items: np.ndarray, offsets: np.ndarray, seen: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of each user, ties by the lower place.

    A score is the float64 dot product, rounded to float32; two that are equal as float32 tie.

    Args:
        users: float32[b, d].
        items: float32[n, d].
        offsets: int64[b + 1]; the places among `items` that user r must not get are
            seen[offsets[r]:offsets[r + 1]].
        seen: int64[offsets[b]].
        k: how many.

    Returns:
        places int64[b, k] and scores float32[b, k], best first; -1 and -inf where a user has fewer left.
    """
    places = np.full((len(users), k), -1, np.int64)
    scores = np.full((len(users), k), -np.inf, np.float32)
    longest = _longest(items)

    def band(start: int) -> None:
        rows = slice(start, start + _VISITORS)
        bounds = offsets[start : start + _VISITORS + 1]
        chosen = _candidates(users[rows], items, bounds, seen, k)
        _settle(users[rows], items, bounds, seen, *chosen, longest, places[rows], scores[rows])

    on_all_cores(band, range(0, len(users), _VISITORS))
    return places, scores


def top_k_capped(
    users: np.ndarray,
    items: np.ndarray,
    offsets: np.ndarray,
    seen: np.ndarray,
    k: int,
    categories: np.ndarray,
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """As `top_k`, going down each user's order and passing over what would be more than `most` of its category.

    The order is gone down as far as it takes, in longer and longer lists for fewer and fewer users.

    Args:
        categories: int32[n]; of -1 there may be any number.
    """
    places = np.full((len(users), k), -1, np.int64)
    scores = np.full((len(users), k), -np.inf, np.float32)
    left, length = np.arange(len(users)), min(len(items), 2 * k + most)
    while len(left):
        rows, unfilled = max(1, _ENTRIES // length), []
        for start in range(0, len(left), rows):
            some = left[start : start + rows]
            bounds, without = rows_of(offsets, seen, some)
            longer = top_k(users[some], items, bounds, without, length)
            filled = np.empty(len(some), np.bool_)
            part = places[some], scores[some]
            _within_caps(*longer, categories, most, *part, filled)
            places[some], scores[some] = part
            unfilled.append(some[~filled & (longer[0][:, -1] >= 0)])
        left = np.concatenate(unfilled) if length < len(items) else left[:0]
        length = min(len(items), 4 * length)
    return places, scores


def first_k(
    order: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    seen: np.ndarray,
    k: int,
    categories: np.ndarray | None,
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The first k of one order for each of b rows, without what they have: for rows of whom nothing else is known.

    Args:
        order: int64[n], places, best first; values: float32[n], their scores, by place.
        offsets, seen: as in `top_k`. categories, most: as in `top_k_capped`; None for no cap.
    """
    places = np.full((len(offsets) - 1, k), -1, np.int64)
    scores = np.full((len(offsets) - 1, k), -np.inf, np.float32)
    kinds = np.full(len(values), -1, np.int32) if categories is None else categories
    _walk(order, values, offsets, seen, kinds, most, places, scores)
    return places, scores


def rows_of(offsets: np.ndarray, values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of lists in compact form: their offsets int64[r + 1], and their values."""
    counts = offsets[rows + 1] - offsets[rows]
    bounds = np.concatenate([[0], np.cumsum(counts)])
    return bounds, values[np.repeat(offsets[rows] - bounds[:-1], counts) + np.arange(bounds[-1])]


def on_all_cores(work: Callable[[int], None], pieces: Iterable[int]) -> None:
    """Does pieces of a block's work on all cores, one block at a time, with one BLAS thread each."""
    with _ONE_BLOCK, threadpoolctl.threadpool_limits(1, "blas"):  # the threads are ours
        list(_pool().map(work, pieces))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores())


def _candidates(
    users: np.ndarray, items: np.ndarray, offsets: np.ndarray, seen: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Heaps of the best by BLAS's scores: places int64[b, c] and scores float32[b, c], the worst on top."""
    count = min(len(items), k + _SPARE + k // 8)
    places = np.full((len(users), count), -1, np.int64)
    scores = np.full((len(users), count), -np.inf, np.float32)
    space = np.empty(len(users) * _ITEMS, np.float32)
    for first in range(0, len(items), _ITEMS):
        some = items[first : first + _ITEMS]
        tile = space[: len(users) * len(some)].reshape(len(users), len(some))
        np.matmul(users, some.T, out=tile)
        _keep_best(tile, first, offsets, seen, places, scores)
    return places, scores


@numba.njit(**_FAST)
def _keep_best(tile, first, offsets, seen, places, scores):
    """Merges a tile float32[b, t] of scores of the items `first`... into each row's heap, the worst on top."""
    rows, width = tile.shape
    for row in range(rows):
        for entry in range(offsets[row], offsets[row + 1]):
            column = seen[entry] - first
            if 0 <= column < width:
                tile[row, column] = -np.inf
        worst = scores[row, 0]
        for start in range(0, width, 64):
            end = min(start + 64, width)
            best = tile[row, start]
            for column in range(start, end):  # vectorises; most stretches hold nothing of interest
                best = max(best, tile[row, column])
            if best > worst:
                for column in range(start, end):
                    if tile[row, column] > worst:
                        _sift(scores[row], places[row], scores.shape[1], tile[row, column], first + column)
                        worst = scores[row, 0]


@numba.njit(**_STRICT)
def _settle(users, items, offsets, seen, chosen, rough, longest, places, scores):
    """Fills places and scores [b, k] from the candidates [b, c] and their rough scores."""
    rows, k = places.shape
    for row in range(rows):
        for number in range(chosen.shape[1]):
            if chosen[row, number] >= 0:
                _offer(users[row], items, chosen[row, number], scores[row], places[row])
        error = _error(users[row], longest)
        # What was not chosen has at most the worst candidate's score, give or take the error.
        left_out = chosen.shape[1] < len(items) and rough[row, 0] > -np.inf
        if left_out and error > 0 and scores[row, 0] <= rough[row, 0] + error:
            _look_again(users[row], items, seen[offsets[row] : offsets[row + 1]], error, scores[row], places[row])
        for size in range(k - 1, 0, -1):  # heap sort: the worst goes to the end
            score, place = scores[row, size], places[row, size]
            scores[row, size], places[row, size] = scores[row, 0], places[row, 0]
            _sift(scores[row], places[row], size, score, place)


@numba.njit(**_STRICT)
def _look_again(user, items, seen, error, scores, places):
    """Goes through all items for one user; for where too many scores lie too close together."""
    skip = np.zeros(len(items), np.bool_)
    for place in seen:
        skip[place] = True
    scores[:] = -np.inf
    places[:] = -1
    for place in range(len(items)):
        if not skip[place] and _rough_score(user, items, place) + error >= scores[0]:
            _offer(user, items, place, scores, places)


@numba.njit(**_STRICT)
def _within_caps(chosen, given, categories, most, places, scores, filled):
    """The first k of each row's list that its categories' caps leave; `filled`: whether there were k."""
    for row in range(len(chosen)):
        size = 0
        for number in range(chosen.shape[1]):
            place = chosen[row, number]
            if place < 0 or size == places.shape[1]:
                break
            if _fits(places[row], size, categories, place, most):
                places[row, size], scores[row, size] = place, given[row, number]
                size += 1
        filled[row] = size == places.shape[1]


@numba.njit(**_STRICT)
def _fits(places, size, categories, place, most):
    if categories[place] < 0:
        return True
    same = 0
    for number in range(size):
        same += categories[places[number]] == categories[place]
    return same < most


@numba.njit(**_STRICT)
def _walk(order, values, offsets, seen, categories, most, places, scores):
    skip = np.zeros(len(values), np.bool_)
    for row in range(len(places)):
        own = seen[offsets[row] : offsets[row + 1]]
        for place in own:
            skip[place] = True
        size = 0
        for place in order:
            if size == places.shape[1]:
                break
            if not skip[place] and _fits(places[row], size, categories, place, most):
                places[row, size], scores[row, size] = place, values[place]
                size += 1
        for place in own:
            skip[place] = False


@numba.njit(**_STRICT)
def _offer(user, items, place, scores, places):
    """Puts an item into the heap if it belongs there, by its score in float64, summed in order."""
    total = 0.0
    for d in range(items.shape[1]):
        total += np.float64(user[d]) * np.float64(items[place, d])  # exact: 24 + 24 bits
    score = np.float32(total)
    if score > scores[0] or (score == scores[0] and place < places[0]):
        _sift(scores, places, len(scores), score, place)


@numba.njit(**_FAST)
def _rough_score(user, items, place):
    total = np.float32(0)
    for d in range(items.shape[1]):
        total += user[d] * items[place, d]
    return total


@numba.njit(**_STRICT)
def _error(user, longest):
    """How far a rough score may lie from the one in float64, rounded.

    In whatever order, d products summed in float32 err by at most about d 2^-24 |u| |v| (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.5); the rounding adds one part, numbers next to 0 the last term.
    """
    dimensions, square = len(user), 0.0
    for d in range(dimensions):
        square += np.float64(user[d]) ** 2
    if square == 0 or longest == 0:
        return 0.0
    return 1.01 * (dimensions + 2) * (2.0**-24 * np.sqrt(square) * longest + 2.0**-126)


@numba.njit(**_STRICT)
def _longest(items):
    """The greatest norm of a row, float64."""
    greatest = 0.0
    for place in range(items.shape[0]):
        square = 0.0
        for d in range(items.shape[1]):
            square += np.float64(items[place, d]) ** 2
        greatest = max(greatest, square)
    return np.sqrt(greatest)


@numba.njit(**_STRICT)
def _sift(scores, places, size, score, place):
    """Puts an entry in the place of a heap's top; worse is a lower score, or a higher place among equals."""
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            scores[other] < scores[child] or (scores[other] == scores[child] and places[other] > places[child])
        ):
            child = other
        if scores[child] < score or (scores[child] == score and places[child] > place):
            scores[parent], places[parent] = scores[child], places[child]
            parent = child
        else:
            break
    scores[parent], places[parent] = score, place
