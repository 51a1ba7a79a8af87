"""Lists of answers: the best of known and new items or of visitors, and their ids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.served.ids import NONE, IdTable
from artifacts.sparse_rows import SparseRows
from ranking import cold_start, similarity, topk
from ranking.attributes import one_list
from ranking.attributes.new_items import NewItems
from ranking.attributes.segments import Segments
from ranking.compressed import search
from ranking.compressed.search import Table
from ranking.heap import Best
from serving.errors import Refusal
from serving.models.signatures import Arrays


class Counts(NamedTuple):
    """The numbers of entries that b rows ask for."""

    most: int
    each: np.ndarray  # int64 [b]

    @classmethod
    def of(cls, k: np.ndarray, rows: int) -> Counts:
        """Return them of k, one for all rows or one per row; raise Refusal for other shapes, or a k below 1."""
        flat = k.reshape(-1).astype(np.int64)
        if (flat < 1).any():
            raise Refusal(400, "k must be at least 1")
        if len(flat) not in (1, rows):
            raise Refusal(400, "give one k, or one a row")
        return cls(int(flat.max(initial=1)), np.broadcast_to(flat, rows))


class NewRows:
    """n new items, whose indices follow those of m known ones."""

    def __init__(self, new: NewItems, known: int):
        self.factors, self.known, self._ids = new.factors, known, np.array([*new.all_ids, b""], object)
        self._indices = {name: known + index for index, name in enumerate(new.all_ids)}
        self.newest = known + len(self.factors) + np.arange(len(new.newest))  # those without factors

    def __len__(self) -> int:
        return len(self.factors) + len(self.newest)

    def with_factors(self, names: np.ndarray) -> np.ndarray:
        """Return the indices int64 [...] of ids of items with factors; -1 for others."""
        indices = self.indices(names)
        return np.where(indices < self.known + len(self.factors), indices, NONE)

    def indices(self, names: np.ndarray) -> np.ndarray:
        """Return the indices int64 [...] of ids object [...]; -1 for an id that is not of a new item."""
        flat = (self._indices.get(name, NONE) for name in names.ravel().tolist())
        return np.fromiter(flat, np.int64, names.size).reshape(names.shape)

    def ids(self, indices: np.ndarray) -> np.ndarray:
        """Return the ids object [...] of indices; empty for one that is not of a new item."""
        return self._ids[np.where(indices >= self.known, indices - self.known, len(self))]

    def rows(self, indices: np.ndarray, by_cosine: bool = False) -> np.ndarray:
        """Return factors float32 [b, d] of indices of new items, at length 1 if they are compared by cosine."""
        factors = self.factors[indices - self.known]
        return similarity.directions(factors) if by_cosine else factors

    def best(self, queries: np.ndarray, left_out: np.ndarray, k: int, by_cosine: bool = False) -> Best:
        """Return the best k of the new items, with their indices; left_out: int64 [b, n], of new items, else -1."""
        if not len(self.factors):
            return Best.empty(len(queries), 0)
        table = similarity.directions(self.factors) if by_cosine else self.factors
        own = left_out - self.known
        own = np.sort(np.where((own >= 0) & (own < len(self.factors)), own, NONE), axis=1)
        is_one = own >= 0
        indptr = np.append(0, np.cumsum(is_one.sum(1)))
        values = np.ones(indptr[-1], np.float32)
        rows = SparseRows(np.arange(len(own)), indptr, own[is_one].astype(np.int32), values)
        best = topk.top_k(queries, table, rows, min(k, len(self.factors)))
        return Best(np.where(best.indices >= 0, best.indices + self.known, NONE), best.scores)


def recommended(known: Best, queries: np.ndarray, new: NewRows, seen: np.ndarray, most_new: np.ndarray, k: int) -> Best:
    """Return the best k of known and new items; most_new: int64 [b], the most new ones; seen: int64 [b, n], indices."""
    best = new.best(queries, seen, max(int(most_new.max(initial=1)), 1))
    best.scores[np.arange(best.scores.shape[1]) >= most_new[:, None]] = -np.inf
    return _merged(known, best, k)


def alike(asked: np.ndarray, table: Table, new: NewRows | None, by_cosine: bool, k: int) -> Best:
    """Return the rows like each row of a table int64 [b], itself left out; those of new items are among them.

    table: as it is compared. asked: -1 for an id that is not there, whose answer is of another row.
    """
    size = len(table.rows)
    is_new, itself = asked >= size, np.where(asked < size, asked, NONE)
    queries = table.row(np.where(is_new, 0, np.maximum(asked, 0)))
    if new and is_new.any():
        queries[is_new] = new.rows(asked[is_new], by_cosine)
    left_out = SparseRows.single(np.maximum(itself, 0)) if not is_new.any() else _single(itself)
    best = search.top_k(queries, table, left_out, min(k, size))
    return _merged(best, new.best(queries, asked[:, None], k, by_cosine), k) if new else best


def _single(indices: np.ndarray) -> SparseRows:
    """Return rows of one entry each; an empty row for -1."""
    is_one = indices >= 0
    indptr = np.append(0, np.cumsum(is_one))
    return SparseRows(np.arange(len(indices)), indptr, indices[is_one].astype(np.int32), np.ones(indptr[-1], "f"))


def _merged(known: Best, new: Best, k: int) -> Best:
    best = one_list.merged(known, new, min(k, known.scores.shape[1] + new.scores.shape[1]))
    return Best(np.where(best.scores > -np.inf, best.indices, NONE), best.scores)


def answer(name: str, ids: IdTable, best: Best, each: np.ndarray, new: NewRows | None = None) -> Arrays:
    """Return ids and scores [b, k], and the number of entries in each row; an empty id and 0 after the last entry."""
    count = np.minimum((best.indices >= 0).sum(1), each).astype(np.int32)
    given = np.arange(best.indices.shape[1]) < count[:, None]
    indices = np.where(given, best.indices, NONE)
    names = ids.ids(np.where(indices < len(ids), indices, NONE))
    if new:
        names = np.where(indices >= len(ids), new.ids(indices), names)
    return {name: names, "scores": np.where(given, best.scores, np.float32(0)), "count": count}


def in_segments(answers: Arrays, segments: np.ndarray, lists: Segments, ids: IdTable, each: np.ndarray) -> Arrays:
    """Return answers with the popularity in the segment int64 [b], where one is known, in place of that of all."""
    by_popularity = (answers["rule"] == cold_start.POPULARITY.encode()) & (answers["known"] == 0)
    rows, width = np.flatnonzero((segments >= 0) & by_popularity), answers["contentIds"].shape[1]
    best, size = Best.empty(len(rows), width), min(width, lists.items.shape[1])
    best.indices[:, :size] = lists.items[segments[rows], :size]
    best.scores[:, :size] = lists.scores[segments[rows], :size]
    for name, part in answer("contentIds", ids, best, each[rows]).items():
        answers[name][rows] = part
    answers["rule"][rows] = cold_start.SEGMENT.encode()
    return answers
