"""Looks for settings that rank well on Gowalla, from its train pairs alone.

    python -m benchmarks.wals.search [--k 512] [--trials 40] [--users 10000]

A fifth of each user's train pairs is held out (seed 0); the rest is trained on; recall@20 + NDCG@20 of the held-out
pairs decide, on a sample of the users. Test is never read. A trial stops when two passes bring nothing better, and
goes on from the best of its passes. Optuna's TPE, seeded; the first trials are known points. Needs the extra `tuning`.

The ridge is searched as that of a row with the mean number of entries: lambda (entries + w0 m)^nu, so that w0, nu and
lambda do not move each other.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse as sp

from benchmarks.support import data, machine

HELD_OUT = 0.2
PASSES = 10


@dataclass(frozen=True)
class Point:
    """Settings: `ridge` is lambda_i of a mean row, `popularity` b in C_j ~ entries_j^-b, `activity` the same for R."""

    k: int
    w0: float
    ridge: float
    nu: float
    popularity: float = 0.0
    activity: float = 0.0
    solver: str = "cg"
    steps: int = 4
    seed: int = 0

    def regularization(self, matrix: sp.csr_matrix) -> float:
        """lambda."""
        return self.ridge / (matrix.nnz / matrix.shape[0] + self.w0 * matrix.shape[1]) ** self.nu

    def model(self, matrix: sp.csr_matrix, **more):
        """Return a WALSMatrixFactorization with these settings, and `more` of its arguments, which win."""
        from trainer import WALSMatrixFactorization
        from trainer.als.solver import Solver
        from trainer.als.weights import by_frequency

        arguments = {
            "embedding_dimension": self.k,
            "unobserved_weight": self.w0,
            "regularization_coeff": self.regularization(matrix),
            "frequency_exponent": self.nu,
            "row_weights": by_frequency(np.diff(matrix.indptr), self.activity),
            "col_weights": by_frequency(np.bincount(matrix.indices, minlength=matrix.shape[1]), self.popularity),
            "solver": Solver(self.solver, steps=self.steps),
            "seed": self.seed,
        }
        return WALSMatrixFactorization(**arguments | more)


def hold_out(matrix: sp.csr_matrix, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Split a matrix: the training part, and a fifth of each row's entries, rounded down, drawn at random."""
    rng, lengths = np.random.default_rng(seed), np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), lengths)
    order = np.lexsort((rng.random(matrix.nnz), rows))
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], lengths)
    held = np.zeros(matrix.nnz, bool)
    held[order] = place < np.floor(lengths * HELD_OUT)[rows]
    parts = []
    for chosen in (~held, held):
        part = sp.csr_matrix((matrix.data[chosen], (rows[chosen], matrix.indices[chosen])), matrix.shape)
        part.sort_indices()
        parts.append(part)
    return parts[0], parts[1]


def measure(users: np.ndarray, items: np.ndarray, truth: sp.csr_matrix, seen: sp.csr_matrix):
    """Recall@20 and NDCG@20 over all items, those of `seen` left out."""
    from artifacts.sparse_rows import SparseRows
    from trainer.evaluation import metrics

    return metrics.of_factors(users, items, SparseRows.from_matrix(truth), SparseRows.from_matrix(seen))


def try_out(point: Point, train: sp.csr_matrix, truth: sp.csr_matrix, passes: int = PASSES) -> dict:
    """Return the best of a training's passes: recall, ndcg, pass, seconds, and each pass's sum."""
    found: list = []
    best: dict = {"sum": 0.0}
    model, started = point.model(train), time.perf_counter()

    class Watch:
        """Looks after each pass, as `trainer.job.early_stopping` does for rows that training does not see."""

        def after_pass(self, state) -> str | None:
            nonlocal best
            ranking = measure(state.rows.table, state.cols.table, truth, train)
            found.append(ranking.recall + ranking.ndcg)
            if found[-1] > best["sum"]:
                best = {"sum": found[-1], "recall": ranking.recall, "ndcg": ranking.ndcg, "passes": len(found)}
            return "no better" if len(found) - best["passes"] >= 2 else None

    model.fit(train, passes=passes, held_out=Watch())
    return best | {"seconds": time.perf_counter() - started, "sums": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=512)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--users", type=int, default=10_000, help="scored, spread over all")
    parser.add_argument("--seed", type=int, default=1, help="of the search")
    arguments = parser.parse_args()
    import optuna

    train, held = hold_out(data.gowalla("train"))
    step = max(1, held.shape[0] // arguments.users)
    chosen = sp.diags_array((np.arange(held.shape[0]) % step == 0).astype(np.float32))
    truth = sp.csr_matrix(chosen @ held)
    truth.eliminate_zeros()
    truth.sort_indices()
    print(f"Gowalla train, held out {held.nnz} of {train.nnz + held.nnz} pairs; k {arguments.k}; {machine.describe()}")
    trials = []

    def objective(trial: optuna.Trial) -> float:
        point = Point(
            k=arguments.k,
            w0=trial.suggest_float("w0", 0.005, 0.1, log=True),
            ridge=trial.suggest_float("ridge", 0.7, 7.0, log=True),
            nu=trial.suggest_float("nu", 0.5, 1.4),
            popularity=trial.suggest_float("popularity", -0.1, 0.7),
            activity=trial.suggest_float("activity", -0.3, 0.5),
            steps=trial.suggest_int("steps", 2, 6),
        )
        found = try_out(point, train, truth)
        trials.append(asdict(point) | found)
        print(
            f"{trial.number:3d}  {found['recall']:.4f}/{found['ndcg']:.4f} after {found['passes']} passes"
            f"  w0 {point.w0:.4f}  ridge {point.ridge:.2f} (lambda {point.regularization(train):.6f})"
            f"  nu {point.nu:.2f}  popularity {point.popularity:.2f}"
            f"  activity {point.activity:.2f}  steps {point.steps}",
            flush=True,
        )
        return found["sum"]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=arguments.seed, n_startup_trials=8)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    known = {"ridge": 2.5, "nu": 1.0, "activity": 0.0, "steps": 4}
    for w0, popularity in ((0.0132, 0.0), (0.0132, 0.3), (0.03, 0.4)):
        study.enqueue_trial(known | {"w0": w0, "popularity": popularity})
    study.optimize(objective, n_trials=arguments.trials)
    best = max(trials, key=lambda trial: trial["sum"])
    print(json.dumps(best))
    machine.save(f"wals_search_{arguments.k}", {"best": best, "trials": trials})


if __name__ == "__main__":
    main()
