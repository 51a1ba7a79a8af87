"""Gowalla at several numbers of factors, plain and with the item-item term, by rules that were fixed beforehand.

    python -m benchmarks.wals.gowalla [--k 64 256 512 1024 2048] [--only NAME]

The rules, which this file stated before it read test for the first time:

- `chosen`: settings and passes are those of `benchmarks.wals.quality`, which a search on a random fifth of train found;
  k = 512 has the settings of k = 1024, the nearest that were searched with a w0 as small. The weight of the term is the
  one that `neighbourhood.gamma: auto` chooses: the smallest with half of the greatest gain in NDCG@20 on a random fifth
  of train, with the defaults of the matrix. Each k is read on test once, plain and with this weight.
- `constant ridge`: nu = 0, lambda 4.5, w0 0.03, b 0.4, a 0.25, 4 passes, k = 1024 and 2048. These settings were noticed
  on test, in a comparison of ridges, so no rule chose them: hold-outs of train prefer the others.

Recall@20 and NDCG@20 have 95 % intervals by a bootstrap over users; the difference of the term is paired by user. Each
row is added to the file as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import data, machine
from benchmarks.wals.neighbourhood import K, interval
from benchmarks.wals.quality import SETTINGS
from benchmarks.wals.search import Point
from configs.settings import NeighbourhoodSettings
from configs.settings.search import ValidationSettings
from ranking.neighbourhood import Neighbourhood
from trainer.evaluation import metrics
from trainer.inputs import validation_split
from trainer.job import neighbourhood

CHOSEN, CONSTANT = "chosen", "constant ridge"
POINTS: dict[str, dict[int, tuple[Point, int]]] = {
    CHOSEN: SETTINGS | {512: (replace(SETTINGS[1024][0], k=512), SETTINGS[1024][1])},
    CONSTANT: {k: (Point(k, 0.03, 4.5, 0.0, popularity=0.4, activity=0.25), 4) for k in (1024, 2048)},
}
LOOKS = {
    CHOSEN: "Once here. The settings for k 64, 256, 1024 and 2048 were read on test before (wals_quality.json), and so "
    "were the term's exponents (neighbourhood.json).",
    CONSTANT: "Noticed on test, in a comparison of ridges whose looks were not counted; once more here.",
}
NAME = "gowalla"


def matrix_of(rows: SparseRows, items: int) -> sp.csr_matrix:
    """Return rows as a matrix float32 [users, items]."""
    return sp.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), items))


def factors(point: Point, passes: int, matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of users and items of a training."""
    model = point.model(matrix).fit(matrix, passes=passes)
    return model.get_row_factors(), model.get_col_factors()


def measure(name: str, k: int, rows: SparseRows, test: SparseRows, items: int) -> dict:
    """Return the row of one number of factors: the weight of the term first, then test."""
    (point, passes), settings = POINTS[name][k], NeighbourhoodSettings(gamma="auto")
    parts = validation_split.split(rows, ValidationSettings(share=0.2, users=5000))
    whole = matrix_of(rows, items)
    trials = neighbourhood.compare(settings, *factors(point, passes, matrix_of(parts.train, items)), parts)
    gamma, started = neighbourhood.best(trials), time.process_time()
    users, table = factors(point, passes, whole)
    training = time.process_time() - started
    term = Neighbourhood(neighbourhood.matrix(settings, rows, items), gamma) if gamma else None
    each = [metrics.Columns.of(metrics.of_each_user(users, table, test, rows, K, one)) for one in (None, term)]
    row = {"name": name, "k": k, "passes": passes, "gamma": gamma, "training_cpu_s": training}
    row |= {"settings": vars(point), "lambda": point.regularization(whole), "looks_at_test": LOOKS[name]}
    row["trials"] = [trial.model_dump() for trial in trials]
    for metric in ("recall", "ndcg"):
        plain, with_term = (getattr(columns, metric) for columns in each)
        row[metric] = {"plain": interval(plain), "term": interval(with_term), "difference": interval(with_term - plain)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="*", default=sorted(POINTS[CHOSEN]), choices=sorted(POINTS[CHOSEN]))
    parser.add_argument("--only", choices=sorted(POINTS), help="one kind of settings")
    arguments = parser.parse_args()
    rows, test = (SparseRows.from_matrix(data.gowalla(part)) for part in ("train", "test"))
    path = machine.RESULTS / f"{NAME}.json"
    written = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in [arguments.only] if arguments.only else POINTS:
        for k in sorted(set(POINTS[name]) & set(arguments.k)):
            row = measure(name, k, rows, test, 40_981)
            print(name, k, row["gamma"], row["recall"], row["ndcg"], flush=True)
            written = [other for other in written if (other["name"], other["k"]) != (name, k)] + [row]
            machine.save(NAME, {"seed": 0, "rows": written})


if __name__ == "__main__":
    main()
