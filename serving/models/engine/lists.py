"""Lists of answers: their lengths, the new items among them, and their ids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from artifacts.served.ids import NONE, IdTable
from artifacts.sparse_rows import SparseRows
from ranking import similarity, topk
from ranking.attributes.new_items import NewItems
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


def answer(name: str, ids: IdTable, best: Best, each: np.ndarray, new: NewRows | None = None) -> Arrays:
    """Return ids and scores [b, k], and the number of entries in each row; an empty id and 0 after the last entry."""
    count = np.minimum((best.indices >= 0).sum(1), each).astype(np.int32)
    given = np.arange(best.indices.shape[1]) < count[:, None]
    indices = np.where(given, best.indices, NONE)
    names = ids.ids(np.where(indices < len(ids), indices, NONE))
    if new:
        names = np.where(indices >= len(ids), new.ids(indices), names)
    return {name: names, "scores": np.where(given, best.scores, np.float32(0)), "count": count}
