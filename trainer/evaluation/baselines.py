"""The systems that are compared: a model's factors, and the baselines. Each returns the best K of a block of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from artifacts import factor_tables
from artifacts.items_table import ItemsTable
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from ranking import popularity
from ranking.topk import top_k
from trainer.evaluation.item_knn import ItemKnn
from trainer.inputs.dataset_rows import DatasetInfo, RowFiles

WALS, POPULAR, RECENT, KNN = "WALS", "popularity", "time-decayed popularity", "item kNN"


class System(Protocol):
    """A system that recommends."""

    def prepare(self, keys: np.ndarray) -> None:
        """Read what the users int64 [n] of one file need."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        """Return itemIds int64 [b, k] for users int64 [b], best first, without those in `seen`; -1 after the last."""


class Factors:
    """A model. One shard of the users' factors is in memory at a time."""

    def __init__(self, model: Model, info: DatasetInfo):
        """Read the items' factors.

        Raises:
            UserError: the factors are missing, damaged, or not of this dataset.
        """
        self._model, self._info, self._shard = model, info, -1
        self.items = factor_tables.read_table(model.item_factors, rows=info.items)
        self._shards = factor_tables.count_shards(model.user_factors)

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
        return top_k(self.rows(keys), self.items, seen, k).indices


class Popular:
    """The same items for everybody, without what each user has."""

    def __init__(self, values: np.ndarray):
        """Order the items by values float [m], the greatest first."""
        self._values = values.astype(np.float32)
        self._order = popularity.order(self._values)

    def prepare(self, keys: np.ndarray) -> None:
        """Do nothing: no user's data is needed."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        return popularity.first_k(self._order, self._values, seen, k).indices


def baselines(info: DatasetInfo, items: ItemsTable, names: Sequence[str], neighbours: int) -> dict[str, System]:
    """Return the baselines of these names; time-decayed popularity only if the dataset has times."""
    systems: dict[str, System] = {}
    if POPULAR in names:
        systems[POPULAR] = Popular(items.visitors)
    if RECENT in names and items.recent_popularity is not None:
        systems[RECENT] = Popular(items.recent_popularity)
    if KNN in names:
        files = RowFiles(info.shards(Dataset(info.root).items_for_user), info.users, info.items)
        rows = SparseRows.stacked(files.load(), info.users)
        systems[KNN] = ItemKnn.of(rows, info.items, min(neighbours, info.items))
    return systems
