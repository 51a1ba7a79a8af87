"""The systems that are compared: a model's factors, and the baselines. Each returns the best K of a block of users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numba
import numpy as np

from artifacts import factor_tables
from artifacts.items_table import ItemsTable
from artifacts.manifests.neighbourhood import NeighbourhoodAccount
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from ranking import popularity, threads
from ranking.heap import STRICT, Best, offer, sort
from ranking.neighbourhood import Neighbourhood, Term
from ranking.topk import top_k
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.neighbourhood import related

WALS, POPULAR, RECENT, KNN = "WALS", "popularity", "time-decayed popularity", "item kNN"
_AT_ONCE = 512  # users of a piece of work of item kNN


class System(ABC):
    """A system that recommends."""

    def prepare(self, keys: np.ndarray) -> None:  # noqa: B027 - most systems need nothing
        """Read what the users int64 [n] of one file need."""

    @abstractmethod
    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        """Return itemIds int64 [b, k] for users int64 [b], best first; -1 after the last.

        Args:
            seen: the items of each user, without those that may be recommended again among the answers.
        """


class Factors(System):
    """A model, with its item-item term if it has one. One shard of the users' factors is in memory at a time."""

    def __init__(self, model: Model, info: DatasetInfo, term: NeighbourhoodAccount | None = None):
        """Read the items' factors; term: what the model's manifest has on it, None for none.

        Raises:
            UserError: the factors are missing, damaged, or not of this dataset.
        """
        self._model, self._info, self._shard = model, info, -1
        self.items = factor_tables.read_table(model.item_factors, rows=info.items)
        self._shards = factor_tables.count_shards(model.user_factors)
        gamma, few_items = (term.gamma, term.few_items) if term else (0.0, False)
        self._neighbourhood = Neighbourhood.read(model, info.items, gamma, few_items)

    def prepare(self, keys: np.ndarray) -> None:
        self._keys, self._rows = keys, np.empty((len(keys), self.items.shape[1]), np.float32)
        for shard in np.unique(keys % self._shards):
            own = keys % self._shards == shard
            self._rows[own] = self._read(int(shard))[keys[own] // self._shards]

    def _read(self, shard: int) -> np.ndarray:
        if shard != self._shard:
            size = len(range(shard, self._info.users, self._shards))
            self._table = factor_tables.read_shard(self._model.user_factors, shard, self._shards, size)
            if self._table.shape[1] != self.items.shape[1]:
                raise UserError(f"{self._model.root}: users and items have different dimensions; train again")
            self._shard = shard
        return self._table

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """Return float32 [b, d], the factors of users that were prepared."""
        return self._rows[np.searchsorted(self._keys, keys)]

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        return self.best(keys, seen, k).indices

    def best(self, keys: np.ndarray, seen: SparseRows, k: int) -> Best:
        """Return the best k with their scores; see `top`."""
        term = Term(self._neighbourhood, seen) if self._neighbourhood else None
        return top_k(self.rows(keys), self.items, seen.left_out(), k, term=term)


class Popular(System):
    """The same items for everybody, without what each user has."""

    def __init__(self, values: np.ndarray):
        """Order the items by values float [m], the greatest first."""
        self._values = values.astype(np.float32)
        self._order = popularity.order(self._values)

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        return popularity.first_k(self._order, self._values, seen.left_out(), k).indices


class ItemKnn(System):
    """Items near to those that a user has, by the cosine of who has them.

    Ratings play no part (Sarwar et al. 2001, with presence).
    """

    def __init__(self, near: Best):
        """Keep the nearest items of each item: indices int64 [m, c] and scores float32 [m, c], the cosines."""
        self.near = near

    @classmethod
    def of(cls, rows: SparseRows, items: int, count: int) -> ItemKnn:
        """Return the `count` nearest of each item; rows: all users, keyed 0 .. n - 1 in order."""
        return cls(related.nearest(rows, items, count))

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        """Return the k items of the greatest summed cosines to what each user has, without what is left out."""
        best, left_out = Best.empty(len(seen), k), seen.left_out()

        def answer(first: int) -> None:
            part = slice(first, first + _AT_ONCE)
            starts = (rows.indptr[first : first + _AT_ONCE + 1] for rows in (seen, left_out))
            _sum_up(self.near, *starts, seen.indices, left_out.indices, best.rows(part))

        threads.each(answer, range(0, len(seen), _AT_ONCE))
        return best.indices


def baselines(info: DatasetInfo, items: ItemsTable, names: Sequence[str], neighbours: int) -> dict[str, System]:
    """Return the baselines of these names; time-decayed popularity only if the dataset has times."""
    systems: dict[str, System] = {}
    if POPULAR in names:
        systems[POPULAR] = Popular(items.visitors)
    if RECENT in names and items.recent_popularity is not None:
        systems[RECENT] = Popular(items.recent_popularity)
    if KNN in names:
        rows = SparseRows.stacked(info.row_files(Dataset(info.root).items_for_user).load(), info.users)
        systems[KNN] = ItemKnn.of(rows, info.items, min(neighbours, info.items))
    return systems


@numba.njit(**STRICT)
def _sum_up(near, starts, left_out_starts, seen, left_out, best):
    """Fill `best` by the summed cosines of what each user has to its neighbours, without what is left out."""
    size = len(near.indices)
    totals, reached, skip = np.zeros(size, np.float32), np.empty(size, np.int32), np.zeros(size, np.bool_)
    for row in range(len(best.indices)):
        own, count = left_out[left_out_starts[row] : left_out_starts[row + 1]], 0
        skip[own] = True
        for item in seen[starts[row] : starts[row + 1]]:
            for number in range(near.indices.shape[1]):
                other = near.indices[item, number]
                if other < 0:
                    break
                if totals[other] == 0:
                    reached[count] = other
                    count += 1
                totals[other] += near.scores[item, number]
        for other in reached[:count]:
            if not skip[other]:
                offer(totals[other], other, best.scores[row], best.indices[row])
            totals[other] = 0
        skip[own] = False
        sort(best.scores[row], best.indices[row])
