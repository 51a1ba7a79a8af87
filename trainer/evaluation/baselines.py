"""What is compared: a model's factors, and the baselines. Each gives the best K of a block of users."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from artifacts import tf_storage
from artifacts.names import RECENT_POPULARITY, VISITORS
from artifacts.paths import Dataset, Model, shard_name
from configs.errors import UserError
from ranking.sparse_rows import SparseRows
from trainer.als import parallel
from trainer.evaluation import ranking
from trainer.inputs.dataset_rows import DatasetInfo, RowFiles

WALS, POPULAR, RECENT, KNN = "WALS", "popularity", "time-decayed popularity", "item kNN"
_ITEMS_AT_ONCE = 512


class System(Protocol):
    """Something that recommends."""

    def prepare(self, keys: np.ndarray) -> None:
        """Reads what the users int64 [n] of one file need."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        """int32 [b, k] for the users int64 [b], of whom `seen` holds what they have; -1 where there are fewer."""


class Factors:
    """A model. Of the users' factors one shard is in memory at a time."""

    def __init__(self, model: Model, info: DatasetInfo):
        """Raises: UserError: the factors are missing, damaged, or not of this dataset."""
        self._model, self._info, self._shard = model, info, -1
        self.items = tf_storage.read_table(model.item_factors)
        paths = sorted(tf.io.gfile.glob(f"{model.user_factors}-?????-of-?????.npy"))
        if len(self.items) != info.items or not paths:
            raise UserError(f"{model.root} does not hold the factors of {info.items} items and {info.users} users")
        self._shards = len(paths)

    def prepare(self, keys: np.ndarray) -> None:
        self._keys, self._rows = keys, np.empty((len(keys), self.items.shape[1]), np.float32)
        for shard in np.unique(keys % self._shards):
            own = keys % self._shards == shard
            self._rows[own] = self._read(int(shard))[keys[own] // self._shards]

    def _read(self, shard: int) -> np.ndarray:
        if shard != self._shard:
            self._table = tf_storage.read_array(shard_name(self._model.user_factors, shard, self._shards, ".npy"))
            wanted = len(range(shard, self._info.users, self._shards)), self.items.shape[1]
            if self._table.shape != wanted:
                raise UserError(f"{self._model.root}: shard {shard} of the users' factors has not {wanted[0]} rows")
            self._shard = shard
        return self._table

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """float32 [b, k], the factors of users that were prepared."""
        return self._rows[np.searchsorted(self._keys, keys)]

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        scores, top = self.rows(keys) @ self.items.T, np.empty((len(keys), k), np.int32)
        ranking.of_scores(scores, seen.indptr, seen.indices, top)
        return top


@dataclass(frozen=True)
class Popular:
    """The same items to everybody, without what each has. order: itemIds int32 [m], best first."""

    order: np.ndarray

    @classmethod
    def by(cls, weights: np.ndarray) -> Popular:
        return cls(np.argsort(-weights, kind="stable").astype(np.int32))

    def prepare(self, keys: np.ndarray) -> None:
        """Nothing of a user is read ahead."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        top = np.empty((len(keys), k), np.int32)
        ranking.of_order(self.order, seen.indptr, seen.indices, top)
        return top


@dataclass(frozen=True)
class ItemKnn:
    """Items near to those that a user has: the summed cosines of who has them, from each one's nearest.

    near int32 [m, c], shares float32 [m, c]. Ratings play no part (Sarwar et al. 2001, with presence).
    """

    near: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, rows: SparseRows, items: int, count: int) -> ItemKnn:
        """The `count` nearest of each item; rows: all users, keyed 0 .. n - 1 in order."""
        turned = rows.transpose(items)
        near, shares = np.empty((items, count), np.int32), np.empty((items, count), np.float32)

        def some(first: int) -> None:
            last = min(first + _ITEMS_AT_ONCE, items)
            ranking.neighbours(
                first,
                last,
                turned.indptr,
                turned.indices,
                rows.indptr,
                rows.indices,
                near[first:last],
                shares[first:last],
            )

        parallel.each(some, range(0, items, _ITEMS_AT_ONCE))
        return cls(near, shares)

    def prepare(self, keys: np.ndarray) -> None:
        """Nothing of a user is read ahead."""

    def top(self, keys: np.ndarray, seen: SparseRows, k: int) -> np.ndarray:
        top = np.empty((len(keys), k), np.int32)
        ranking.of_neighbours(self.near, self.shares, seen.indptr, seen.indices, top)
        return top


@dataclass(frozen=True)
class ItemCounts:
    """visitors int64 [m] of each item in train; recent float64 [m]: decayed by age, None where there are no times."""

    visitors: np.ndarray
    recent: np.ndarray | None

    @classmethod
    def read(cls, info: DatasetInfo) -> ItemCounts:
        """Reads items.parquet.

        Raises:
            UserError: it is missing, or has not a row an item.
        """
        path = Dataset(info.root).items
        if not tf_storage.exists(path):
            raise UserError(f"{path} does not exist; make the dataset again")
        table = pq.read_table(io.BytesIO(tf_storage.read_bytes(path)))
        if table.num_rows != info.items:
            raise UserError(f"{path} has {table.num_rows} rows where the dataset has {info.items}; make it again")
        if RECENT_POPULARITY not in table.column_names:
            raise UserError(f"{path} has no {RECENT_POPULARITY}: an earlier version made it; make the dataset again")
        recent = table[RECENT_POPULARITY]
        return cls(table[VISITORS].to_numpy(), None if recent.null_count else recent.to_numpy())


def baselines(info: DatasetInfo, counts: ItemCounts, names: Sequence[str], neighbours: int) -> dict[str, System]:
    """The baselines of these names; the time-decayed one only where the dataset has times."""
    found: dict[str, System] = {}
    if POPULAR in names:
        found[POPULAR] = Popular.by(counts.visitors)
    if RECENT in names and counts.recent is not None:
        found[RECENT] = Popular.by(counts.recent)
    if KNN in names:
        from trainer.tuning.trial import stacked

        files = RowFiles(info.shards(Dataset(info.root).items_for_user), info.users, info.items)
        found[KNN] = ItemKnn.of(stacked(files.load(), info.users), info.items, min(neighbours, info.items))
    return found
