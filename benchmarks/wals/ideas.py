"""Two ideas on a random fifth of Gowalla's train: a start from a truncated SVD, and rows of equal weight.

    python -m benchmarks.wals.ideas [--write]

The settings are those of `benchmarks.wals.quality` at k = 64. Each training has six passes and is measured after each
by recall@20 and NDCG@20 of what is held out of each sixth user; its best pass is kept. Test is never read.

- SVD start: both tables start with the factors of the truncated SVD of the matrix, each entry divided by the square
  root of its user's and its item's number of entries, in place of random numbers.
- equal rows: each entry's rating is divided by the square root of its user's number of entries, scaled to mean 1.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from benchmarks.support import data, machine
from benchmarks.wals.quality import SETTINGS
from benchmarks.wals.search import hold_out, measure
from trainer.als.loop import Factorization

K, PASSES, STEP = 64, 6, 6


def normalised(matrix: sp.csr_matrix, items: bool) -> sp.csr_matrix:
    """Return the entries divided by the square roots of their users' and, if `items`, their items' numbers."""
    users = sp.diags_array(np.maximum(np.diff(matrix.indptr), 1) ** -0.5)
    counts = np.maximum(np.bincount(matrix.indices, minlength=matrix.shape[1]), 1)
    return sp.csr_matrix(users @ matrix @ sp.diags_array(counts**-0.5) if items else users @ matrix, dtype=np.float32)


def svd(matrix: sp.csr_matrix) -> dict[str, np.ndarray]:
    """Return the start values of both sides."""
    left, values, right = svds(normalised(matrix, True), K, random_state=0)
    roots = np.sqrt(values)
    return {"row_init": (left * roots).astype(np.float32), "col_init": (right.T * roots).astype(np.float32)}


def best(train: sp.csr_matrix, truth: sp.csr_matrix, values: sp.csr_matrix, start: dict) -> dict:
    """Return recall@20, NDCG@20 and the number of the best pass, by their sum; and all passes."""
    found: list[tuple[float, float]] = []

    class Watch:
        def after_pass(self, state: Factorization) -> None:
            ranking = measure(state.rows.table, state.cols.table, truth, train)
            found.append((ranking.recall, ranking.ndcg))

    model = SETTINGS[K][0].model(train, **start)
    model.fit(values, passes=PASSES, held_out=Watch())
    number = max(range(len(found)), key=lambda each: sum(found[each]))
    return {"passes": number + 1, "recall": found[number][0], "ndcg": found[number][1], "all": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/ideas.json")
    arguments = parser.parse_args()
    train, held = hold_out(data.gowalla("train"))
    truth = sp.csr_matrix(sp.diags_array((np.arange(held.shape[0]) % STEP == 0).astype(np.float32)) @ held)
    truth.eliminate_zeros()
    truth.sort_indices()
    rows = normalised(train, False)
    rows.data /= rows.data.mean()
    rows.sort_indices()
    tries = {"as it is": (train, {}), "SVD start": (train, svd(train)), "equal rows": (rows, {})}
    results = []
    for name, (values, start) in tries.items():
        results.append({"idea": name} | best(train, truth, values, start))
        print(results[-1], flush=True)
    if arguments.write:
        machine.save("ideas", {"seed": 0, "k": K, "looks_at_test": "none", "rows": results})


if __name__ == "__main__":
    main()
