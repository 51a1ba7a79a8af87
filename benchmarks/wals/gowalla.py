"""Gowalla at several numbers of factors, plain and with the item-item term, by rules that were fixed beforehand.

    python -m benchmarks.wals.gowalla [--k 64 256 512 1024 2048] [--only NAME] [--plain]
    python -m benchmarks.wals.gowalla --hold_outs

The rules, which this file stated before it read test for the first time:

- `chosen`: settings and passes are those of `benchmarks.wals.quality`, which a search on a random fifth of train found;
  k = 512 has the settings of k = 1024, the nearest that were searched with a w0 as small. The weight of the term is the
  one that `neighbourhood.gamma: auto` chooses: the smallest with half of the greatest gain in NDCG@20 on a random fifth
  of train, with the defaults of the matrix, and the same for all users (`benchmarks.wals.few_items`). Each k is read on
  test once, plain and with this weight.
- `constant ridge`: nu = 0, lambda 4.5, w0 0.03, b 0.4, a 0.25, 4 passes, k = 1024 and 2048. These settings were noticed
  on test, in a comparison of ridges, so no rule chose them: hold-outs of train prefer the others.

--plain leaves the term out, whose weight takes most of the time at great k. --hold_outs reads counts of test's items,
no pair: it compares ridges at k = 256 on a random fifth of train, and on one in which items differ in the share that is
held out. `dispersion` is the mean over items of (held out - expected)^2 / variance, 1 at random.

Recall@20 and NDCG@20 have 95 % intervals by a bootstrap over users; the difference of the term is paired by user. Each
row is added to the file as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import data, machine
from benchmarks.wals.neighbourhood import K, interval
from benchmarks.wals.quality import SETTINGS
from benchmarks.wals.search import Point, try_out
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
NAME, ITEMS = "gowalla", 40_981
COUNTS = "The counts of test's items, for its dispersion; no pair."
SHARE, CORRELATION = 0.2, 0.025  # the correlation at which items of up to 200 visitors are dispersed as in test


Train = Callable[[Point, int, sp.csr_matrix], tuple[np.ndarray, np.ndarray]]


def matrix_of(rows: SparseRows, items: int) -> sp.csr_matrix:
    """Return rows as a matrix float32 [users, items]."""
    return sp.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), items))


def factors(point: Point, passes: int, matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of users and items of a training."""
    model = point.model(matrix).fit(matrix, passes=passes)
    return model.get_row_factors(), model.get_col_factors()


def measure(
    name: str,
    k: int,
    rows: SparseRows,
    test: SparseRows,
    *,
    gamma: float | None = None,
    train: Train = factors,
    sides: tuple[str, ...] = ("plain", "term"),
) -> dict:
    """Return the row of one number of factors: the weight of the term first, then test.

    Args:
        gamma: the weight, 0 for no term; None chooses it.
        train: returns the factors of a training with these settings and passes on a matrix.
        sides: to measure, of a model with the term.
    """
    (point, passes), settings, items = POINTS[name][k], NeighbourhoodSettings(gamma="auto", few_items=False), ITEMS
    whole, trials = matrix_of(rows, items), []
    if gamma is None:
        parts = validation_split.split(rows, ValidationSettings(share=0.2, users=5000))
        trials = neighbourhood.compare(settings, *train(point, passes, matrix_of(parts.train, items)), parts)
        gamma = neighbourhood.best(trials).gamma
    started = time.process_time()
    users, table = train(point, passes, whole)
    training = time.process_time() - started
    term = Neighbourhood(neighbourhood.matrix(settings, rows, items), gamma) if gamma else None
    systems = {"plain": None, "term": term} if term else {"plain": None}
    each = {
        side: metrics.Columns.of(metrics.of_each_user(users, table, test, rows, K, one))
        for side, one in systems.items()
        if side in sides or not term
    }
    row = {"name": name, "k": k, "passes": passes, "gamma": gamma if gamma or trials else None}
    row |= {"training_cpu_s": training, "settings": vars(point), "lambda": point.regularization(whole)}
    row["looks_at_test"] = LOOKS[name]
    row["trials"] = [trial.model_dump() for trial in trials]
    for metric in ("recall", "ndcg"):
        values = {side: getattr(columns, metric) for side, columns in each.items()}
        row[metric] = {side: interval(numbers) for side, numbers in values.items()}
        if len(values) > 1:
            row[metric]["difference"] = interval(values["term"] - values["plain"])
    return row


def write(row: dict) -> None:
    """Put a row in place of the one of its name and number of factors in the file."""
    print(row["name"], row["k"], row["gamma"], row["recall"], row["ndcg"], flush=True)
    path = machine.RESULTS / f"{NAME}.json"
    written = json.loads(path.read_text())["rows"] if path.exists() else []  # another run may have added rows
    others = [other for other in written if (other["name"], other["k"]) != (row["name"], row["k"])]
    machine.save(NAME, {"seed": 0, "rows": [*others, row]})


def hold_out(matrix: sp.csr_matrix, correlation: float) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Split a matrix: the part to train on, and a fifth of the entries.

    correlation: of two entries of an item; the share of each item that is held out has a beta distribution with it.
    """
    rng, size = np.random.default_rng(0), matrix.shape[1]
    shares = np.full(size, SHARE)
    if correlation:
        shares = rng.beta(SHARE * (1 / correlation - 1), (1 - SHARE) * (1 / correlation - 1), size)
    held = rng.random(matrix.nnz) < shares[matrix.indices]
    owner = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    parts = [sp.csr_matrix((matrix.data[c], (owner[c], matrix.indices[c])), matrix.shape) for c in (~held, held)]
    for part in parts:
        part.sort_indices()
    return parts[0], parts[1]


def dispersion(train: sp.csr_matrix, held: sp.csr_matrix) -> float:
    """Return the mean over items of (held out - expected)^2 / variance, given each user's own share."""
    sizes = [np.diff(part.indptr) for part in (train, held)]
    share = sizes[1] / np.maximum(sizes[0] + sizes[1], 1)
    both = train + held
    expected, variance = both.T @ share, both.T @ (share * (1 - share))
    return float(((np.asarray(held.sum(0)).ravel() - expected) ** 2 / np.maximum(variance, 1e-9))[variance > 0].mean())


def compare_hold_outs() -> dict:
    """Return recall@20 and NDCG@20 of each ridge at k = 256, by kind of hold-out, for a third of the users."""
    train, test = data.gowalla("train"), data.gowalla("test")
    rows, spread = [], {"test": dispersion(train, test)}
    ridges = {"nu 0.898, w0 0.0919": SETTINGS[256][0], "nu 1, w0 0.03": replace(SETTINGS[1024][0], k=256)}
    ridges |= {f"nu 0, lambda {ridge}": Point(256, 0.03, ridge, 0.0, 0.4, 0.25) for ridge in (4.5, 3.0, 2.0)}
    for kind, correlation in (("random", 0.0), ("items differ", CORRELATION)):
        own, held = hold_out(train, correlation)
        spread[kind] = dispersion(own, held)
        third = sp.csr_matrix(sp.diags_array((np.arange(held.shape[0]) % 3 == 0).astype(np.float32)) @ held)
        third.eliminate_zeros()
        for name, point in ridges.items():
            best = try_out(point, own, third, passes=6)
            rows.append({"kind": kind, "ridge": name, "recall": best["recall"], "ndcg": best["ndcg"]})
            print(rows[-1], flush=True)
    return {"dispersion": spread, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="*", default=sorted(POINTS[CHOSEN]), choices=sorted(POINTS[CHOSEN]))
    parser.add_argument("--only", choices=sorted(POINTS), help="one kind of settings")
    parser.add_argument("--plain", action="store_true", help="leave the term out")
    parser.add_argument(
        "--hold_outs", action="store_true", help="compare ridges on hold-outs of train, and nothing else"
    )
    arguments = parser.parse_args()
    if arguments.hold_outs:
        machine.save(f"{NAME}_hold_outs", {"seed": 0, "k": 256, "looks_at_test": COUNTS} | compare_hold_outs())
        return
    rows, test = (SparseRows.from_matrix(data.gowalla(part)) for part in ("train", "test"))
    for name in [arguments.only] if arguments.only else POINTS:
        for k in sorted(set(POINTS[name]) & set(arguments.k)):
            write(measure(name, k, rows, test, gamma=0.0 if arguments.plain else None))


if __name__ == "__main__":
    main()
