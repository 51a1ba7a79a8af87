"""The choice of a solver for each row, and the CPU's solvers run on all cores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from artifacts.sparse_rows import SparseRows
from ranking import threads
from trainer.als.kernels import solvers
from trainer.als.kernels.rows import Entries, RowSystems

if TYPE_CHECKING:
    from trainer.als.tensor_solver import DevicePlan

Method = Literal["auto", "cholesky", "cg", "block"]
Plan: TypeAlias = "CpuPlan | DevicePlan"

# Pieces of work per sweep: enough for balance, few enough to be cheap, and the same on any machine, since the loss is
# summed piece by piece.
_PIECES = 64


@dataclass(frozen=True)
class Solver:
    """The choice of a solver and its options.

    The defaults of `auto` were measured on sparse data of 10 to 100 entries per row. For k up to `exact_up_to`, and
    from `exact_from` on, the exact solution costs no more than conjugate gradient, which also has to rotate its start
    into the new basis. Beyond `largest_exact`, conjugate gradient from the last pass's solution is as good for the loss
    and many times cheaper.

    Attributes:
        method: `cholesky` is exact. `cg` (conjugate gradient) and `block` (block descent) start from the last solution;
            `block` solves a row exactly if it has no more entries than a block has dimensions, since its system is then
            smaller than a block. `auto` is exact for small and for large k, except for rows whose system is too large,
            and conjugate gradient for the k between.
        steps: of conjugate gradient. block: dimensions of a block.
        threads: None for one per core.
        devices: TensorFlow's names, e.g. GPU:0, of the devices that solve rows (`tensor_solver`); () for the CPU's own
            solvers (`kernels`).
        table_dtype: bfloat16 keeps the tables in half the memory; the solvers still compute in float32.
        exact_up_to, exact_from: `auto` is exact for k outside this range.
        largest_exact: the largest system that `auto` factorises where k is at least `exact_from`.
        slots: of a device's tile (`tiles`); None for as many as its memory limit permits.
    """

    method: Method = "auto"
    steps: int = 3
    block: int = 64
    threads: int | None = None
    devices: tuple[str, ...] = ()
    table_dtype: Literal["float32", "bfloat16"] = "float32"
    exact_up_to: int = 32
    exact_from: int = 256
    largest_exact: int = 128
    slots: int | None = None

    def starts_warm(self, counts: np.ndarray, k: int) -> np.ndarray:
        """Return the rows, bool [n], whose solution may depend on the table's values; counts: their entries."""
        return np.minimum(counts, k) > self._limit(k)

    def _limit(self, k: int) -> int:
        """Return the largest system, of size min(entries, k), that is solved exactly."""
        if self.method == "cholesky" or (self.method == "auto" and k <= self.exact_up_to):
            return k
        if self.method == "block":
            return min(self.block, k)
        return self.largest_exact if self.method == "auto" and k >= self.exact_from else 0

    def exact(self) -> Solver:
        """Return the solver for rows that have no last solution to start from, as in fold-in."""
        return replace(self, method="cholesky")

    def describe(self, k: int) -> str:
        """Return a description of one line."""
        limit, auto = self._limit(k), f" (auto, k = {k})" if self.method == "auto" else ""
        iterative = f"conjugate gradient, {self.steps} steps"
        if self.method == "block":
            iterative = f"block descent, blocks of {self.block}"
        if limit >= k:
            return f"exact{auto}"
        if limit:
            return f"exact for rows of up to {limit} entries, {iterative} for longer ones{auto}"
        return iterative + auto

    def plan(self, rows: SparseRows, k: int) -> Plan:
        """Return the plan of a block of rows, for k factors."""
        exact = np.minimum(rows.lengths, k) <= self._limit(k)
        if self.devices:
            from trainer.als.tensor_solver import DevicePlan  # imports TensorFlow

            return DevicePlan.of(rows, k, exact, self)
        return CpuPlan.of(rows, k, exact, self)


@dataclass(frozen=True)
class CpuPlan:
    """Rows in pieces of about equal work, longest rows first."""

    rows: SparseRows
    solver: Solver
    exact: list[np.ndarray]  # int32 positions in `rows`: the pieces that are solved exactly
    iterative: list[np.ndarray]  # and those that are iterated on

    @classmethod
    def of(cls, rows: SparseRows, k: int, exact: np.ndarray, solver: Solver) -> CpuPlan:
        """Return the plan for k factors; exact: bool [r]."""
        order = np.argsort(-rows.lengths, kind="stable").astype(np.int32)
        order = order[: np.count_nonzero(rows.lengths)]
        lengths, exact = rows.lengths[order].astype(np.float64), exact[order]
        size = np.minimum(lengths, k)
        work = np.where(exact, lengths * size * k / 2 + size**3 / 6, lengths * k)
        return cls(rows, solver, _cut(order[exact], work[exact]), _cut(order[~exact], work[~exact]))

    def solve(self, systems: RowSystems, out: np.ndarray) -> np.ndarray:
        """Solve the rows into out[keys], float32 [n, k] in the basis; return the sums that `wals.solve` returns."""
        rows, solver = self.rows, self.solver
        entries = Entries(rows.keys, rows.indptr, rows.indices, rows.values, rows.weights)

        def run(job: tuple[bool, np.ndarray]) -> np.ndarray:
            solve_exactly, positions = job
            if solve_exactly:
                return solvers.exact(entries, systems, positions, out)
            if solver.method == "block":
                return solvers.block_descent(entries, systems, solver.block, positions, out)
            return solvers.conjugate_gradient(entries, systems, solver.steps, positions, out)

        jobs = [(True, piece) for piece in self.exact] + [(False, piece) for piece in self.iterative]
        return np.sum([np.zeros(3), *threads.each(run, jobs, solver.threads)], axis=0)


def _cut(order: np.ndarray, work: np.ndarray) -> list[np.ndarray]:
    """Return the positions in at most _PIECES pieces of about equal work."""
    if not len(order):
        return []
    ends = np.cumsum(work + 20_000.0)  # what a row costs besides its arithmetic
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], min(_PIECES, len(order)) + 1)[1:-1])
    return [piece for piece in np.split(order, cuts) if len(piece)]
