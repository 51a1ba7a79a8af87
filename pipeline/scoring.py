"""Scores and top K: u . v for a block of visitors against all contents, without a table of all scores.

A tile of scores is one matrix product; a compiled pass over it keeps the K best of each visitor in a heap.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
import numpy as np
import threadpoolctl

_VISITORS, _CONTENTS = 256, 2048  # of a tile: 2 MB of scores, which stay in a core's cache


def top_k(
    users: np.ndarray, items: np.ndarray, offsets: np.ndarray, seen: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The K best items of each user, ties by the lower place.

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

    def some(start: int) -> None:
        rows = slice(start, start + _VISITORS)
        _tile_rows(users[rows], items, offsets[start : start + _VISITORS + 1], seen, places[rows], scores[rows])

    with threadpoolctl.threadpool_limits(1, "blas"):  # the threads are ours: one a band of visitors
        list(_pool().map(some, range(0, len(users), _VISITORS)))
    order = np.lexsort((np.where(places < 0, len(items), places), -scores), axis=1)
    return np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1)


def _tile_rows(
    users: np.ndarray,
    items: np.ndarray,
    offsets: np.ndarray,
    seen: np.ndarray,
    places: np.ndarray,
    scores: np.ndarray,
) -> None:
    for first in range(0, len(items), _CONTENTS):
        tile = users @ items[first : first + _CONTENTS].T
        _keep_best(tile, first, offsets, seen, places, scores)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _keep_best(tile, first, offsets, seen, places, scores):
    """Merges a tile float32[b, t] of scores of the items `first`... into each row's heap, the worst on top."""
    rows, width = tile.shape
    for row in range(rows):
        line = tile[row]
        for entry in range(offsets[row], offsets[row + 1]):
            column = seen[entry] - first
            if 0 <= column < width:
                line[column] = -np.inf
        heap_scores, heap_places = scores[row], places[row]
        worst = heap_scores[0]
        for start in range(0, width, 64):
            end = min(start + 64, width)
            best = line[start]
            for column in range(start, end):  # vectorises; most stretches hold nothing of interest
                best = max(best, line[column])
            if best > worst:
                for column in range(start, end):
                    if line[column] > worst:
                        _replace_worst(heap_scores, heap_places, line[column], first + column)
                        worst = heap_scores[0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _replace_worst(scores, places, score, place):
    """Puts an entry in the place of a heap's top; worse is a lower score, or a higher place among equals."""
    size, parent = len(scores), 0
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
