"""Factors from the attributes of visitors: a visitor with few items starts from them, one without is answered by them.

Only a model whose `cold_start.new_visitors` is attributes has the regression.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse

from artifacts import factor_tables, tfrecords
from artifacts.sparse_rows import SparseRows
from pipeline.prediction.plan import Plan
from ranking.attributes.prior import Prior
from ranking.attributes.segments import Segments


class Described(NamedTuple):
    """Factors of b visitors from their attributes, or their segments."""

    prior: np.ndarray  # float32 [b, d]; zeros where none is known
    is_known: np.ndarray  # bool [b]
    segments: np.ndarray  # int64 [b]; -1 where none is known


class Attributes:
    """The visitors' features of a shard of the answers."""

    def __init__(self, plan: Plan, shard: int, dimensions: int):
        self._plan, self._shard, self._dimensions = plan, shard, dimensions

    def of(self, users: np.ndarray) -> Described:
        """Return the factors of visitors of the dataset, by their userIds int64 [b]."""
        if self._plan.user_features:
            return self._described(self._features.take(np.searchsorted(self._features.keys, users)))
        nothing = np.zeros((len(users), self._dimensions), np.float32), np.zeros(len(users), bool)
        return Described(*nothing, np.full(len(users), -1))

    def of_new(self, size: int) -> Iterator[tuple[list[bytes], Described]]:
        """Yield the ids and the factors of visitors without items, `size` at a time; a file is of one shard."""
        for path in self._plan.new_user_features[self._shard :: self._plan.user_shards]:
            ids = dict(tfrecords.read_ids(path))
            for batch in tfrecords.read_row_batches(path):
                for start in range(0, len(batch), size):
                    rows = batch.between(start, min(start + size, len(batch)))
                    yield [ids[key] for key in rows.keys.tolist()], self._described(rows)

    @cached_property
    def _prior(self) -> Prior:
        return Prior(factor_tables.read_table(self._plan.model.user_attributes, 1))

    @cached_property
    def _features(self) -> SparseRows:
        """The features of the shard's visitors, by userId; their files may be more or fewer than the shards."""
        files, shards, blocks = self._plan.user_features, self._plan.user_shards, list[SparseRows]()
        for number in range(self._shard % math.gcd(len(files), shards), len(files), math.gcd(len(files), shards)):
            for batch in tfrecords.read_row_batches(files[number]):
                blocks.append(batch.take(np.flatnonzero(batch.keys % shards == self._shard)))
        rows = SparseRows.concatenated(blocks)
        return rows.take(np.argsort(rows.keys))

    @cached_property
    def _segments(self) -> Segments:
        return Segments.read(self._plan.model.segments)

    def _described(self, rows: SparseRows) -> Described:
        if self._plan.by_segment:
            segments = self._segments.of(rows.indptr, rows.indices)
            return Described(np.zeros((len(rows), self._dimensions), np.float32), segments >= 0, segments)
        shape = len(rows), len(self._prior.table) - 1
        matrix = scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr), shape)
        return Described(self._prior.of_described(matrix), rows.lengths > 0, np.full(len(rows), -1))
