"""The operations that the processes of a training share; `tf_collectives.Workers` has them for several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


class Cluster:
    """The processes that share a factorisation; this class is a single process, which owns all rows.

    Process `rank` of `size` owns the indices i with i % size == rank, as row i // size of its tables. Every method is
    called by all processes in the same order.
    """

    rank = 0
    size = 1

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum over all processes, float64."""
        return array

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """Return the first process's array, float64."""
        return array

    def all_gather(self, own: np.ndarray, size: int) -> np.ndarray:
        """Return all rows of a side, [size, ...], from each process's own rows."""
        return own

    def batch_entries(self, k: int) -> int | None:
        """Return the most entries of a batch that `gather` accepts, for k factors; None for no limit."""
        return None

    def together(self, batches: Iterable[_T], empty: _T) -> Iterable[_T]:
        """Return the batches, then `empty` until the process with the most batches has finished."""
        return batches

    def gather(
        self, columns: np.ndarray | None, table: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the fixed side's rows and weights at the columns, int64 ascending; with None its whole tables."""
        return (table, weights) if columns is None else (table[columns], weights[columns])

    def agree(self, action: Callable[[], _T]) -> _T:
        """Return the action's result after it succeeded in all processes; if it fails in one, it fails in all."""
        return action()
