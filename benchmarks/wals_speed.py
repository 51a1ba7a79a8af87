"""Seconds a pass and a whole fit on Gowalla, against implicit, in one run.

    python benchmarks/wals_speed.py --peer PYTHON_WITH_IMPLICIT [--k 64 128] [--exact 256] [--large 1024]

implicit's objective is ours with w0 = 1, R C = confidence - 1, the same lambda, nu = 0, all ratings 1. Each side runs
in a process of its own, alternating. Seconds a pass are the median over all rounds of the passes after a run's first; a
whole fit starts with nothing compiled. The loss of both is computed here, in float64, by one function.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time

import numpy as np
import scipy.sparse as sp

CONFIDENCE, LAMBDA, SEED = 10.0, 0.1, 1


def load(path: str) -> sp.csr_matrix:
    pairs = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int32)
    return sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), dtype=np.float32)


def loss(matrix: sp.csr_matrix, users: np.ndarray, items: np.ndarray) -> float:
    """The objective over all cells, float64."""
    users, items = users.astype(float), items.astype(float)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    p = np.concatenate(
        [
            np.einsum("ij,ij->i", users[rows[s : s + 100_000]], items[matrix.indices[s : s + 100_000]])
            for s in range(0, matrix.nnz, 100_000)
        ]
    )
    fit = CONFIDENCE * ((1 - p) ** 2).sum() - (p**2).sum() + ((users.T @ users) * (items.T @ items)).sum()
    return float(fit + LAMBDA * ((users**2).sum() + (items**2).sum()))


def run_ours(matrix: sp.csr_matrix, k: int, passes: int, solver: str) -> dict:
    from trainer import WALSMatrixFactorization

    seconds: list[float] = []
    model = WALSMatrixFactorization(
        embedding_dimension=k,
        unobserved_weight=1.0,
        regularization_coeff=LAMBDA,
        row_weights=CONFIDENCE - 1,
        solver=solver,
        seed=SEED,
    )
    started = time.perf_counter()
    model.fit(matrix, passes=passes, callback=lambda number, loss, rwse, spent: seconds.append(spent))
    whole = time.perf_counter() - started
    return {
        "passes": seconds,
        "whole": whole,
        "loss": loss(matrix, model.get_row_factors(), model.get_col_factors()),
        "solver": model.solver,
    }


def run_implicit(matrix: sp.csr_matrix, k: int, passes: int, use_cg: bool) -> dict:
    from implicit.cpu.als import AlternatingLeastSquares

    seconds: list[float] = []
    model = AlternatingLeastSquares(
        k, LAMBDA, alpha=CONFIDENCE, use_cg=use_cg, iterations=passes, num_threads=2, random_state=SEED
    )
    started = time.perf_counter()
    model.fit(matrix, show_progress=False, callback=lambda iteration, spent, *rest: seconds.append(spent))
    whole = time.perf_counter() - started
    return {
        "passes": seconds,
        "whole": whole,
        "loss": loss(matrix, model.user_factors, model.item_factors),
        "solver": "implicit, " + ("3 steps of CG" if use_cg else "Cholesky"),
    }


def compare(arguments: argparse.Namespace, data: str, k: int, solver: str, peer: str, passes: int) -> None:
    """Both sides in turn, `rounds` times, and their ratio."""
    from benchmarks import machine

    results: dict[str, list[dict]] = {"ours": [], "implicit": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            common = (data, str(k), str(passes))
            results["ours"].append(
                machine.worker(sys.executable, __file__, "--worker", "ours", *common, solver, fresh_cache=cache)
            )
            results["implicit"].append(machine.worker(arguments.peer, __file__, "--worker", "implicit", *common, peer))
    line = {}
    for name, runs in results.items():
        later = [seconds for run in runs for seconds in run["passes"][1:]]
        whole = statistics.median(run["whole"] for run in runs)
        line[name] = statistics.median(later), whole, runs[-1]["loss"]
        print(
            f"k = {k:4d}  {name:8s}  {line[name][0]:8.3f} s a pass  {whole:8.2f} s for {passes} passes  "
            f"loss {line[name][2]:.6g}  ({runs[-1]['solver']})"
        )
    ours, other = line["ours"], line["implicit"]
    print(
        f"          ratio     {ours[0] / other[0]:8.3f}            {ours[1] / other[1]:8.2f}"
        f"                    {ours[2] / other[2]:.6f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has implicit")
    parser.add_argument("--k", type=int, nargs="*", default=[64, 128], help="against implicit's default CG")
    parser.add_argument("--exact", type=int, nargs="*", default=[256], help="against implicit's use_cg=False")
    parser.add_argument("--large", type=int, nargs="*", default=[1024], help="the same as --k, with fewer passes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, path, k, passes, option = arguments.worker
        matrix = load(path)
        if kind == "ours":
            result = run_ours(matrix, int(k), int(passes), option)
        else:
            result = run_implicit(matrix, int(k), int(passes), option == "cg")
        print(json.dumps(result))
        return
    from benchmarks import machine

    data = str(machine.shared_data() / "gowalla" / "train.csv.gz")
    print(f"Gowalla, seed {SEED}, confidence {CONFIDENCE}, lambda {LAMBDA}; {machine.describe()}")
    for k in arguments.k:
        compare(arguments, data, k, "auto", "cg", 15)
    arguments.rounds = 1
    for k in arguments.exact:
        compare(arguments, data, k, "cholesky", "exact", 3)
    for k in arguments.large:
        compare(arguments, data, k, "auto", "cg", 6)


if __name__ == "__main__":
    main()
