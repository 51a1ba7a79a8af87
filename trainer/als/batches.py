"""The rows of a side as batches with their plans: how they are cut, which solver a row gets, which columns it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from artifacts.sparse_rows import SparseRows
from trainer.als.collectives import Cluster
from trainer.als.solver import Plan, Solver


class Batch(NamedTuple):
    """Rows that are solved together."""

    plan: Plan  # the rows, and how they are solved; their column numbers index `columns`
    columns: np.ndarray | None = None  # int64, ascending, the fixed side's rows that these need; None for all


class Batches:
    """The batches of a side. Iterated over once per sweep, by all processes together.

    Rows in memory are planned once, when this is made. Rows that are read from files are planned again in each sweep,
    while they are in memory.

    Args:
        blocks: the side's rows: a sequence, or an iterable that reads them again each time.
        k: factors of a row.
        cluster: the processes that share the rows; by default a single one.
    """

    def __init__(self, blocks: Iterable[SparseRows], k: int, solver: Solver, cluster: Cluster | None = None):
        self.solver, self.cluster = solver, cluster or Cluster()
        self._blocks, self._k = blocks, k
        self._planned = list(self._plan()) if isinstance(blocks, Sequence) else None

    def __iter__(self) -> Iterator[Batch]:
        batches = self._plan() if self._planned is None else self._planned
        yield from self.cluster.together(batches, self._batch(SparseRows.concatenated([])))

    def _plan(self) -> Iterator[Batch]:
        entries = self.cluster.batch_entries(self._k)
        for block in self._blocks:
            for rows in [block] if entries is None else block.pieces(entries):
                yield self._batch(rows)

    def _batch(self, rows: SparseRows) -> Batch:
        if self.cluster.size == 1:
            return Batch(self.solver.plan(rows, self._k))
        columns, places = np.unique(rows.indices, return_inverse=True)
        rows = replace(rows, indices=places.astype(np.int32))
        return Batch(self.solver.plan(rows, self._k), columns.astype(np.int64))
