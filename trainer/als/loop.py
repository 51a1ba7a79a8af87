"""Alternate, report, stop.

`Factorization` is the state of a fit; `fit` runs it. What happens after a sweep beside the mathematics (log,
checkpoint, summaries) is the caller's, by callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.als import wals
from trainer.als.collectives import Alone, Cluster
from trainer.als.solver import Solver


@dataclass(frozen=True)
class Sweep:
    """One sweep's outcome. `sweep` counts from 1; rows are the odd ones."""

    sweep: int
    loss: float
    rwse: float
    seconds: float

    @property
    def pass_number(self) -> int:
        """The pass it belongs to, from 1."""
        return (self.sweep + 1) // 2


@dataclass
class Factorization:
    """The state of a fit: both sides' tables, and the rotation that brings them back to their first coordinates.

    Attributes:
        row_blocks, col_blocks: the two sides' sparse rows; iterated over once a sweep.
        rotation: float64 [k, k]; `table @ rotation.T` is in the coordinates of the start.
        history: the sweeps done.
    """

    rows: wals.Side
    cols: wals.Side
    row_blocks: Iterable[SparseRows]
    col_blocks: Iterable[SparseRows]
    objective: wals.Objective
    solver: Solver
    cluster: Cluster = field(default_factory=Alone)
    rotation: np.ndarray = None  # type: ignore[assignment]  # the identity, once the size is known
    history: list[Sweep] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rotation is None:
            self.rotation = np.eye(self.rows.table.shape[1])

    def sweep(self) -> Sweep:
        """Solves the side whose turn it is, rows first."""
        started = time.perf_counter()
        rows_turn = len(self.history) % 2 == 0
        blocks, side, fixed = (
            (self.row_blocks, self.rows, self.cols) if rows_turn else (self.col_blocks, self.cols, self.rows)
        )
        loss, vectors = wals.sweep(blocks, side, fixed, self.objective, self.solver, self.cluster)
        self.rotation = self.rotation @ vectors
        done = Sweep(len(self.history) + 1, loss.total, loss.rwse, time.perf_counter() - started)
        self.history.append(done)
        return done

    def turn_back(self) -> None:
        """Brings both tables back to the coordinates that the fit started in."""
        wals.rotate(self.rows.table, self.rotation.T)
        wals.rotate(self.cols.table, self.rotation.T)
        self.rotation = np.eye(len(self.rotation))


def random_table(size: int, k: int, seed: int, side: int, stddev: float | None, cluster: Cluster) -> np.ndarray:
    """float32 [own rows, k] of N(0, stddev), by default 1/sqrt(k); the same however many processes share it.

    TensorFlow 1 drew N(0, 1), unseeded, which grows with k: u . v then starts far from the ratings.
    """
    rng = np.random.default_rng([seed, side])
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
    after_sweep: Callable[[Sweep], None] = lambda sweep: None,
    after_pass: Callable[[Factorization], str | None] = lambda state: None,
) -> str:
    """Sweeps until a stop rule holds; the state may have sweeps behind it already.

    Args:
        max_sweeps: in all, with those of the history.
        tolerance: stop when a pass lowers the loss by less than this share of it; 0 never stops.
        after_sweep, after_pass: called in this order; `after_pass` returns why to stop, or None.

    Returns:
        Why it stopped, in words.
    """
    while len(state.history) < max_sweeps:
        if reason := converged(state.history, tolerance):
            return reason
        after_sweep(state.sweep())
        ends = len(state.history) % 2 == 0 or len(state.history) == max_sweeps
        if ends and (reason := after_pass(state)):
            return reason
    return f"{max_sweeps} sweeps done"


def converged(history: list[Sweep], tolerance: float) -> str | None:
    """Why a fit with this history may stop, or None."""
    if tolerance <= 0 or len(history) < 4 or len(history) % 2:
        return None
    before, now = history[-3].loss, history[-1].loss
    if before - now < tolerance * abs(before):
        return f"the last pass lowered the loss by less than {tolerance:g} of it"
    return None
