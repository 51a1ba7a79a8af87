"""The item-item term on Gowalla: ranking with and without it, its costs, and the weight that a hold-out chooses.

    python -m benchmarks.wals.neighbourhood [--write] [--rates]

The settings of WALS are those of wals_quality.json, the matrix has its defaults, and all users have the same weight.
For each number of factors that weight is chosen as `neighbourhood.gamma: auto` chooses it, on a fifth of train. Then a
model is trained on all of train, and test is read: recall@20 and NDCG@20 without and with the term, paired, with 95 %
intervals by a bootstrap over users. `greatest` is the same for the weight of the greatest NDCG on the hold-out. Times
are processor seconds; those of recommending are medians of rounds in turns; --rates measures them alone, and reads no
test.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from artifacts.sparse_rows import SparseRows
from benchmarks.support import data, machine
from benchmarks.wals.search import Point
from configs.settings import NeighbourhoodSettings
from configs.settings.search import ValidationSettings
from ranking.neighbourhood import Neighbourhood, Term
from ranking.topk import top_k
from trainer.evaluation import metrics
from trainer.inputs import validation_split
from trainer.job import neighbourhood

# k, w0, lambda, nu, b, a, passes
POINTS = (
    (64, 0.1, 0.00067, 0.9, 0.43, 0.31, 3),
    (256, 0.0919, 0.00128, 0.898, 0.4345, 0.3137, 4),
)
LOOKS = (
    "At k = 64 and 256, the weight of the greatest NDCG on the hold-out with both exponents 1/2. At k = 256, "
    "fifteen weights of three matrices on a third of the users, where the exponents 3/4 and 1/4 were the best; "
    "hold-outs then showed them no worse, and the rule became the smallest weight with half of the gain. Last, this "
    "file, with the figures of both rules."
)
K, RESAMPLES, ROUNDS, STEP = 20, 2000, 9, 7  # the rate is that of each seventh user


def factors(point: tuple, rows: SparseRows, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of a training on these rows."""
    import scipy.sparse as sp

    k, w0, coefficient, nu, popularity, activity, passes = point
    matrix = sp.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), items))
    ridge = coefficient * (matrix.nnz / matrix.shape[0] + w0 * items) ** nu
    model = Point(k, w0, ridge, nu, popularity, activity).model(matrix)
    model.fit(matrix, passes=passes)
    return model.get_row_factors(), model.get_col_factors()


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of an action and its processor seconds."""
    started = time.process_time()
    return action(), time.process_time() - started


def measure(point: tuple, rows: SparseRows, test: SparseRows, items: int) -> dict:
    """Return the figures of one number of factors."""
    settings = NeighbourhoodSettings(gamma="auto", few_items=False)
    parts = validation_split.split(rows, ValidationSettings(share=0.2, users=5000))
    trials, choosing = timed(lambda: neighbourhood.compare(settings, *factors(point, parts.train, items), parts))
    gamma = neighbourhood.best(trials).gamma
    users, table = factors(point, rows, items)
    related, making = timed(lambda: neighbourhood.matrix(settings, rows, items))
    term = Neighbourhood(related, gamma)
    greatest = max(trials, key=lambda trial: trial.ndcg).gamma
    terms = None, term, Neighbourhood(related, greatest)
    each = [metrics.of_each_user(users, table, test, rows, K, one) for one in terms]
    figures = {"k": point[0], "gamma": gamma, "greatest": greatest, "trials": [trial.model_dump() for trial in trials]}
    figures |= {"choosing_cpu_s": choosing, "matrix_cpu_s": making, "matrix_mb": related.entries * 8 / 1e6}
    for name in ("recall", "ndcg"):
        plain, with_term, with_greatest = (getattr(metrics.Columns.of(values), name) for values in each)
        figures[name] = {
            "without": plain.mean(),
            "with": with_term.mean(),
            "difference": interval(with_term - plain),
            "greatest": interval(with_greatest - plain),
        }
    return figures | {"rate": rate(users, table, rows, term)}


def interval(differences: np.ndarray) -> list[float]:
    """Return the mean, and the ends of its 95 % interval by a bootstrap over users."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(differences, len(differences)).mean() for _ in range(RESAMPLES)]
    return [differences.mean(), *np.quantile(draws, (0.025, 0.975))]


def rate(users: np.ndarray, items: np.ndarray, rows: SparseRows, term: Neighbourhood) -> float:
    """Return the users per processor second with the term, as a share of those without."""
    chosen = np.arange(0, len(rows), STEP)
    asked, own = rows.take(chosen), np.ascontiguousarray(users[chosen])
    spent: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for with_term in spent:
            used = Term(term, asked) if with_term else None
            spent[with_term].append(timed(lambda used=used: top_k(own, items, asked, K, term=used))[1])
    return statistics.median(spent[False]) / statistics.median(spent[True])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/neighbourhood.json")
    parser.add_argument("--rates", action="store_true", help="measure the rates in that file again, and nothing else")
    arguments = parser.parse_args()
    rows, items = SparseRows.from_matrix(data.gowalla("train")), 40_981
    if arguments.rates:
        kept = json.loads((machine.RESULTS / "neighbourhood.json").read_text())
        for point, figures in zip(POINTS, kept["rows"], strict=True):
            term = Neighbourhood(neighbourhood.matrix(NeighbourhoodSettings(), rows, items), figures["gamma"])
            figures["rate"] = rate(*factors(point, rows, items), rows, term)
            print(point[0], figures["rate"], flush=True)
        kept["rates"] = {"command": "python -m benchmarks.wals.neighbourhood --rates", "machine": machine.describe()}
        (machine.RESULTS / "neighbourhood.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return
    test = SparseRows.from_matrix(data.gowalla("test"))
    found = [measure(point, rows, test, items) for point in POINTS]
    for figures in found:
        print(figures)
    if arguments.write:
        machine.save("neighbourhood", {"seed": 0, "looks_at_test": LOOKS, "rows": found})


if __name__ == "__main__":
    main()
