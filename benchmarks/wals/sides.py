"""One training run of ours or of implicit, in a process of its own: `python benchmarks/wals/sides.py JSON`.

All ratings are 1. implicit's objective is then ours with w0 = 1, R = confidence - 1, nu = 0 and the same lambda.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse as sp

from benchmarks.support import data, machine

CONFIDENCE, LAMBDA = 10.0, 0.1
# Ours starts at a tenth of its default N(0, 1/sqrt(k)), nearer to implicit's own small start: both fits then descend
# alike, and ours ends lower.
START = 0.1


@dataclass(frozen=True)
class Job:
    """side: `ours` or `implicit`. solver: ours' method, or implicit's `cg` or `exact`; steps: of conjugate gradient."""

    side: str
    data: str
    k: int
    passes: int
    solver: str
    steps: int = 3
    seed: int = 1
    want_loss: bool = True

    def run(self, python: str, fresh_cache: str | None = None) -> dict:
        """Run in a separate process; see `train`."""
        return machine.worker(python, __file__, json.dumps(asdict(self)), fresh_cache=fresh_cache)


def loss(matrix: sp.csr_matrix, users: np.ndarray, items: np.ndarray) -> float:
    """Return implicit's objective over all cells, float64, for any factors float32 [n, k] and [m, k]."""
    users, items = users.astype(float), items.astype(float)
    rows, fit = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), 0.0
    for s in range(0, matrix.nnz, 100_000):
        p = np.einsum("ij,ij->i", users[rows[s : s + 100_000]], items[matrix.indices[s : s + 100_000]])
        fit += float((CONFIDENCE * (1 - p) ** 2 - p**2).sum())
    fit += float(((users.T @ users) * (items.T @ items)).sum())
    return fit + LAMBDA * float((users**2).sum() + (items**2).sum())


def _ours(job: Job, matrix: sp.csr_matrix, seconds: list[float]):
    from trainer import WALSMatrixFactorization
    from trainer.als.solver import Solver

    model = WALSMatrixFactorization(
        embedding_dimension=job.k,
        unobserved_weight=1.0,
        regularization_coeff=LAMBDA,
        row_weights=CONFIDENCE - 1,
        solver=Solver(job.solver, steps=job.steps),
        init_stddev=START / job.k**0.5,
        seed=job.seed,
    )

    def fit() -> tuple[np.ndarray, np.ndarray]:
        def after_pass(number: int, loss: float, rwse: float, spent: float) -> None:
            seconds.append(spent)

        model.fit(matrix, passes=job.passes, callback=after_pass)
        return model.get_row_factors(), model.get_col_factors()

    return fit, lambda: model.solver


def _implicit(job: Job, matrix: sp.csr_matrix, seconds: list[float]):
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        job.k,
        LAMBDA,
        alpha=CONFIDENCE,
        use_cg=job.solver == "cg",
        iterations=job.passes,
        num_threads=2,
        random_state=job.seed,
    )

    def fit() -> tuple[np.ndarray, np.ndarray]:
        def after_pass(number: int, spent: float, *rest: object) -> None:
            seconds.append(spent)

        model.fit(matrix, show_progress=False, callback=after_pass)
        return model.user_factors, model.item_factors

    return fit, lambda: "implicit, " + (f"{model.cg_steps} steps of CG" if job.solver == "cg" else "Cholesky")


def train(job: Job) -> dict:
    """Return seconds of each pass and of the fit, the loss, and bytes of memory before the data and at the peak."""
    seconds: list[float] = []
    if job.side == "ours":
        # Imported lazily elsewhere: the libraries' memory counts as there before the data.
        from trainer import WALSMatrixFactorization  # noqa: F401
        from trainer.als.kernels import solvers  # noqa: F401
    else:
        import implicit.cpu.als  # noqa: F401
    before = machine.resident()
    matrix = data.load(job.data)
    fit, describe = {"ours": _ours, "implicit": _implicit}[job.side](job, matrix, seconds)
    started = time.perf_counter()
    users, items = fit()
    whole, peak = time.perf_counter() - started, machine.resident("VmHWM")
    side = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return {
        "passes": seconds,
        "whole": whole,
        "loss": loss(matrix, users, items) if job.want_loss else None,
        "solver": describe(),
        "memory": {"before": before, "peak": peak, "sparse": 2 * side, "factors": users.nbytes + items.nbytes},
    }


if __name__ == "__main__":
    print(json.dumps(train(Job(**json.loads(sys.argv[1])))))
