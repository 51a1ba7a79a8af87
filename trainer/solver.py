"""Which solver a row gets, and running it on all cores."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from trainer.sparse import SparseRows

Method = Literal["auto", "cholesky", "cg", "block"]

# The largest system that `auto` factorises: beyond it, conjugate gradient from the last pass's solution is as good for
# the loss and many times cheaper.
LARGEST_EXACT = 512
# Pieces of work a sweep is cut into: enough for balance, few enough to be cheap, and the same on any machine, since
# the loss is summed piece by piece.
_PIECES = 64


@dataclass(frozen=True)
class Solver:
    """How rows are solved.

    Attributes:
        method: `cholesky` exact; `cg` conjugate gradient and `block` block descent, both from the last solution;
            `auto` exact up to systems of size LARGEST_EXACT, conjugate gradient beyond.
        steps: of conjugate gradient. block: dimensions of a block.
        threads: None for one a core.
    """

    method: Method = "auto"
    steps: int = 4
    block: int = 64
    threads: int | None = None

    def starts_warm(self, k: int) -> bool:
        """Whether any row's solution may depend on what the table holds."""
        return self.method in ("cg", "block") or (self.method == "auto" and k > LARGEST_EXACT)

    def exact(self) -> Solver:
        """For rows that have no last solution to start from: fold-in."""
        return replace(self, method="cholesky")

    def describe(self, k: int) -> str:
        """The solver in a line, for people."""
        if self.method == "cg" or self.method == "block":
            detail = f"{self.steps} steps" if self.method == "cg" else f"blocks of {self.block}"
            return {"cg": "conjugate gradient", "block": "block descent"}[self.method] + f", {detail}"
        if self.method == "auto" and k > LARGEST_EXACT:
            return (
                f"exact for rows of up to {LARGEST_EXACT} entries, conjugate gradient ({self.steps} steps) for longer"
                f" ones (auto, k = {k})"
            )
        return "exact" + (f" (auto, k = {k})" if self.method == "auto" else "")

    def solve(
        self,
        rows: SparseRows,
        side: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        shared: tuple[np.ndarray, np.ndarray],
        w0: float,
        out: np.ndarray,
    ) -> np.ndarray:
        """Solves a block of rows into `out`; see `row_solvers` for the arguments and the result."""
        # Compiling the kernels takes seconds: who only serves a model need not wait for that.
        from trainer import row_solvers

        data = (rows.keys, rows.indptr, rows.indices, rows.values, rows.weights)
        settings = (np.float32(w0), self.steps, self.block)
        exact, iterative = plan(rows, out.shape[1], self._limit(out.shape[1]))
        kernel = row_solvers.solve_block_descent if self.method == "block" else row_solvers.solve_conjugate_gradient
        jobs = [(row_solvers.solve_exact, piece) for piece in exact] + [(kernel, piece) for piece in iterative]

        def run(job) -> np.ndarray:
            return job[0](data, side, shared, settings, job[1], out)

        threads = self.threads or available_cores()
        alone = threads == 1 or len(jobs) == 1
        results = list(map(run, jobs) if alone else _pool(threads).map(run, jobs))
        return np.sum(results, axis=0) if results else np.zeros(3)

    def _limit(self, k: int) -> int:
        if self.method == "cholesky":
            return k
        return LARGEST_EXACT if self.method == "auto" else 0


def plan(rows: SparseRows, k: int, limit: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pieces of about equal work, longest rows first: those to solve exactly, and those to iterate on.

    A row goes to the second where its system, of size min(entries, k), is larger than `limit`. Kept with the rows:
    a sweep over the same rows does not plan again.
    """
    plans = rows.__dict__.setdefault("_plans", {})
    if (k, limit) not in plans:
        order = np.argsort(-rows.lengths, kind="stable").astype(np.int32)
        order = order[: np.count_nonzero(rows.lengths)]
        lengths = rows.lengths[order].astype(np.float64)
        size = np.minimum(lengths, k)
        exact = size <= limit
        plans[k, limit] = (
            _cut(order[exact], (lengths * size * k / 2 + size**3 / 6)[exact]),
            _cut(order[~exact], (lengths * k)[~exact]),
        )
    return plans[k, limit]


def _cut(order: np.ndarray, work: np.ndarray) -> list[np.ndarray]:
    if not len(order):
        return []
    ends = np.cumsum(work + 20_000.0)  # what a row costs beside its arithmetic
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], min(_PIECES, len(order)) + 1)[1:-1])
    return [piece for piece in np.split(order, cuts) if len(piece)]


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="wals")
