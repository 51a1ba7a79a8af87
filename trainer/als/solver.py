"""Which solver a row gets, and running it on all cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ranking.sparse_rows import SparseRows
from trainer.als import parallel

Method = Literal["auto", "cholesky", "cg", "block"]

# What `auto` does by k, as measured on sparse data of 10 to 100 entries a row. Up to the first, and from the second on,
# the exact solution costs no more than conjugate gradient (which also has to turn its start into the new basis).
EXACT_UP_TO, EXACT_FROM = 32, 256
# The largest system that `auto` factorises: beyond it, conjugate gradient from the last pass's solution is as good for
# the loss and many times cheaper.
LARGEST_EXACT = 128
# Pieces of work a sweep is cut into: enough for balance, few enough to be cheap, and the same on any machine, since
# the loss is summed piece by piece.
_PIECES = 64


@dataclass(frozen=True)
class Solver:
    """How rows are solved.

    Attributes:
        method: `cholesky` exact; `cg` conjugate gradient and `block` block descent, both from the last solution (block:
            for rows with more entries than a block has dimensions; the system of a shorter one is smaller than a block,
            and solved exactly); `auto` exact for small and for large k, with conjugate gradient for rows whose system
            is too large, and conjugate gradient for the k between.
        steps: of conjugate gradient. block: dimensions of a block.
        threads: None for one a core.
        devices: names as TensorFlow has them, e.g. GPU:0: rows are solved there, by `tensor_solver`; () for the CPU, by
            `row_solvers`.
        table_dtype: bfloat16 keeps the tables in half the memory; solving stays float32.
    """

    method: Method = "auto"
    steps: int = 3
    block: int = 64
    threads: int | None = None
    devices: tuple[str, ...] = ()
    table_dtype: Literal["float32", "bfloat16"] = "float32"

    def starts_warm(self, counts: np.ndarray, k: int) -> np.ndarray:
        """bool [n]: the rows, by their entries, whose solution may depend on what the table holds."""
        return np.minimum(counts, k) > self._limit(k)

    def _limit(self, k: int) -> int:
        """The largest system, of size min(entries, k), that is solved exactly."""
        if self.method == "cholesky" or (self.method == "auto" and k <= EXACT_UP_TO):
            return k
        if self.method == "block":
            return min(self.block, k)
        return LARGEST_EXACT if self.method == "auto" and k >= EXACT_FROM else 0

    def exact(self) -> Solver:
        """For rows that have no last solution to start from: fold-in."""
        return replace(self, method="cholesky")

    def describe(self, k: int) -> str:
        """The solver in a line, for people."""
        limit, why = self._limit(k), f" (auto, k = {k})" if self.method == "auto" else ""
        iterative = f"conjugate gradient, {self.steps} steps"
        if self.method == "block":
            iterative = f"block descent, blocks of {self.block}"
        if limit >= k:
            return f"exact{why}"
        if limit:
            return f"exact for rows of up to {limit} entries, {iterative} for longer ones{why}"
        return iterative + why

    def solve(
        self,
        rows: SparseRows,
        side: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        shared: tuple[np.ndarray, np.ndarray],
        w0: float,
        out: np.ndarray,
    ) -> np.ndarray:
        """Solves a block of rows into `out`; see `row_solvers` for the arguments and the result."""
        if self.devices:
            return self._solve_on_devices(rows, side, shared, w0, out)
        # Compiling the kernels takes seconds: who only serves a model need not wait for that.
        from trainer.als import kernels

        data = (rows.keys, rows.indptr, rows.indices, rows.values, rows.weights)
        settings = (np.float32(w0), self.steps, self.block)
        exact, iterative = plan(rows, out.shape[1], self._limit(out.shape[1]))
        kernel = kernels.solve_block_descent if self.method == "block" else kernels.solve_conjugate_gradient
        jobs = [(kernels.solve_exact, piece) for piece in exact] + [(kernel, piece) for piece in iterative]

        def run(job: tuple[Callable[..., np.ndarray], np.ndarray]) -> np.ndarray:
            return job[0](data, side, shared, settings, job[1], out)

        results = parallel.each(run, jobs, self.threads)
        return np.sum(results, axis=0) if results else np.zeros(3)

    def _solve_on_devices(self, rows: SparseRows, side: Any, shared: Any, w0: float, out: np.ndarray) -> np.ndarray:
        from trainer.als import tensor_solver

        sums, limit = np.zeros(3), self._limit(out.shape[1])
        exact = np.minimum(rows.lengths, out.shape[1]) <= limit
        iterative = "block" if self.method == "block" else "cg"
        for name, which in (("cholesky", exact), (iterative, ~exact)):
            positions = np.flatnonzero(which & (rows.lengths > 0)).astype(np.int32)
            method = tensor_solver.Method(name, out.shape[1], self.steps, min(self.block, out.shape[1]))
            sums += tensor_solver.solve(rows, positions, side, shared, w0, out, method, self.devices, self.table_dtype)
        return sums


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
