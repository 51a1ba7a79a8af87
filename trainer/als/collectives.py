"""What the processes of a training run do together. Alone, nothing needs doing; several: `workers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ranking.sparse_rows import SparseRows

if TYPE_CHECKING:
    from trainer.als.wals import Basis


class Cluster(Protocol):
    """The processes that share a factorisation. Process `rank` of `size` owns the indices i with i % size == rank,
    as row i // size of its tables. Every method is called by all processes in the same order."""

    rank: int
    size: int

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over all processes, float64."""

    def same(self, basis: Basis) -> Basis:
        """The first process's basis: eigenvectors are only unique up to sign, and must be the same everywhere."""

    def batch_entries(self, k: int) -> int | None:
        """The most entries that `gather` takes at once, for k factors; None for no limit."""

    def together(self, blocks: Iterable[SparseRows]) -> Iterable[SparseRows]:
        """The blocks, with empty ones at the end, so that all processes go through equally many."""

    def gather(
        self, block: SparseRows, table: np.ndarray, weights: np.ndarray
    ) -> tuple[SparseRows, np.ndarray, np.ndarray]:
        """The block with its columns renumbered, and the rows and weights of the columns it needs, in that order."""

    def whole(self, own: np.ndarray, size: int) -> np.ndarray:
        """All rows of a side, [size, ...], of which each process gives its own."""

    def agree(self, action: Callable[[], Any]) -> Any:
        """What the action gives, once it is done in all processes; where it fails in one, it fails in all."""


class Alone:
    """A single process, which owns everything."""

    rank = 0
    size = 1

    def sum(self, array: np.ndarray) -> np.ndarray:
        return array

    def same(self, basis: Basis) -> Basis:
        return basis

    def batch_entries(self, k: int) -> int | None:
        return None

    def together(self, blocks: Iterable[SparseRows]) -> Iterable[SparseRows]:
        return blocks

    def gather(
        self, block: SparseRows, table: np.ndarray, weights: np.ndarray
    ) -> tuple[SparseRows, np.ndarray, np.ndarray]:
        return block, table, weights

    def whole(self, own: np.ndarray, size: int) -> np.ndarray:
        return own

    def agree(self, action: Callable[[], Any]) -> Any:
        return action()
