"""The loop of a fit: alternate between the sides, report, stop.

`Factorization` is the state of a fit, and `fit` runs it. Logs, checkpoints and summaries are written by the caller's
callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from artifacts.manifests import SweepRecord
from artifacts.sparse_rows import SparseRows
from configs.nouns import counted
from trainer.als import wals
from trainer.als.basis import rotate
from trainer.als.batches import Batches
from trainer.als.collectives import Cluster
from trainer.als.solver import Solver


@dataclass
class Factorization:
    """The state of a fit: both sides' tables, and the rotation that brings them back to their first coordinates."""

    rows: wals.Side
    cols: wals.Side
    row_blocks: Iterable[SparseRows]  # the two sides' sparse rows; see `Batches`
    col_blocks: Iterable[SparseRows]
    objective: wals.Objective
    solver: Solver
    cluster: Cluster = field(default_factory=Cluster)
    history: list[SweepRecord] = field(default_factory=list)  # the sweeps done
    rotation: np.ndarray = field(init=False)  # float64 [k, k]; `table @ rotation.T` is in the start's coordinates

    def __post_init__(self) -> None:
        self.rotation = np.eye(self.k)
        sides = (self.row_blocks, self.col_blocks)
        self._batches = [Batches(blocks, self.k, self.solver, self.cluster) for blocks in sides]

    @property
    def k(self) -> int:
        """Factors of a row."""
        return self.rows.table.shape[1]

    def sweep(self) -> SweepRecord:
        """Solve the side whose turn it is, rows first."""
        started, turn = time.perf_counter(), len(self.history) % 2
        side, fixed = (self.cols, self.rows) if turn else (self.rows, self.cols)
        loss, vectors = wals.sweep(self._batches[turn], side, fixed, self.objective)
        self.rotation = self.rotation @ vectors
        done = SweepRecord(
            sweep=len(self.history) + 1, loss=loss.total, rwse=loss.rwse, seconds=time.perf_counter() - started
        )
        self.history.append(done)
        return done

    def turn_back(self) -> None:
        """Rotate both tables back to the coordinates of the start."""
        for side in (self.rows, self.cols):
            rotate(side.table, self.rotation.T)
        self.rotation = np.eye(len(self.rotation))


def random_table(size: int, k: int, seed: int, number: int, stddev: float | None, cluster: Cluster) -> np.ndarray:
    """Return float32 [own rows, k] of N(0, stddev), by default 1/sqrt(k), the same for any number of processes.

    number: 0 for the rows, 1 for the columns. TensorFlow 1 drew N(0, 1) without a seed: u . v grows with k, and starts
    far from the ratings.
    """
    rng = np.random.default_rng([seed, number])
    scale = np.float32(1 / np.sqrt(k) if stddev is None else stddev)
    table = np.empty((len(range(cluster.rank, size, cluster.size)), k), np.float32)
    for start in range(0, size, 65536):
        block = rng.standard_normal((min(65536, size - start), k), np.float32)
        first = (cluster.rank - start) % cluster.size
        own = block[first :: cluster.size]
        at = (start + first) // cluster.size
        table[at : at + len(own)] = own * scale
    return table


def fit(
    state: Factorization,
    max_sweeps: int,
    tolerance: float = 0.0,
    after_sweep: Callable[[SweepRecord], None] = lambda sweep: None,
    after_pass: Callable[[Factorization], str | None] = lambda state: None,
) -> str:
    """Sweep until a stop rule applies, and return it in words; the state may have a history already.

    Args:
        max_sweeps: in total, with those of the history.
        tolerance: stop if a pass lowers the loss by less than this share of it; 0 never stops.
        after_sweep, after_pass: called in this order; `after_pass` returns a reason to stop, or None.
    """
    while len(state.history) < max_sweeps:
        if reason := converged(state.history, tolerance):
            return reason
        after_sweep(state.sweep())
        ends = len(state.history) % 2 == 0 or len(state.history) == max_sweeps
        if ends and (reason := after_pass(state)):
            return reason
    return f"{counted(max_sweeps, 'sweep')} done"


def converged(history: list[SweepRecord], tolerance: float) -> str | None:
    """Return the reason to stop a fit with this history, or None."""
    if tolerance <= 0 or len(history) < 4 or len(history) % 2:
        return None
    before, now = history[-3].loss, history[-1].loss
    if before - now < tolerance * abs(before):
        return f"the last pass lowered the loss by less than {tolerance:g} of it"
    return None
