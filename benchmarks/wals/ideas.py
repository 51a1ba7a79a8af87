"""Ideas on hold-outs of Gowalla's train, next to the model without them.

    python -m benchmarks.wals.ideas [--k 64] [--hold_out random] [--only NAME ...] [--write]
    python -m benchmarks.wals.ideas --test NAME

At k = 64 the settings are those of `benchmarks.wals.quality`; at k = 1024 they are those of the constant ridge of
`benchmarks.wals.gowalla`, with its 4 passes. At k = 64 the best of six passes is kept. The measures are recall@20 and
NDCG@20 of what is held out of each sixth user. Held out is a random fifth, or a fifth whose share differs by item
(`items differ`, of `benchmarks.wals.gowalla`). Test is read by --test alone.

- SVD start: both tables start with the factors of the truncated SVD of the matrix, each entry divided by the square
  root of its user's and its item's number of entries, in place of random numbers.
- equal rows: each entry's rating is divided by the square root of its user's number of entries, scaled to mean 1.
- filter C: the item factors V become V + C G V after training. G = N'N, where N has each entry divided by the square
  root of its user's and its item's number of entries: a step over the graph of items. C < 0 sharpens, C > 0 smooths.
- propagated: the 30 items that a step from the user's items over G reaches most, of those that the user does not have,
  are entries too. Their weight is 0.2 of an entry's, their rating half of that of own items.
- unobserved B: a cell without an entry weighs w0 (visitors of the item)^B, scaled to mean 1, in place of w0.

The rule for test: of the ideas that are better in both figures on the random fifth at k = 64, and on both hold-outs at
k = 1024, the one with the greatest sum of both on the random fifth at k = 1024 is added to the constant ridge at
k = 2048 with the term, whose weight is the one that was chosen there without the idea, and read on test once. It was
stated before any idea but the filter was measured at k = 1024, and before test was read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from artifacts.sparse_rows import SparseRows
from benchmarks.support import data, machine
from benchmarks.wals import gowalla
from benchmarks.wals.quality import SETTINGS
from benchmarks.wals.search import Point, hold_out, measure
from trainer.als.loop import Factorization
from trainer.als.weights import by_frequency

POINTS: dict[int, tuple[Point, range]] = {  # settings, and the passes to measure after
    64: (SETTINGS[64][0], range(1, 7)),
    1024: (gowalla.POINTS[gowalla.CONSTANT][1024][0], range(4, 5)),
}
STEP, REACHED, PLAIN = 6, 30, "as it is"
GAMMA = 0.077  # of the term, as chosen for the constant ridge at k = 2048 (gowalla.json)
HOLD_OUTS = {"random": 0.0, "items differ": gowalla.CORRELATION}

Change = Callable[[np.ndarray], np.ndarray]  # of the item factors, before they are ranked by


@dataclass
class Idea:
    """A training: its entries, more arguments of the model and of `fit`, and the changes of V to measure, by name."""

    values: sp.csr_matrix
    changes: dict[str, Change]
    model: dict = field(default_factory=dict)
    fit: dict = field(default_factory=dict)


def counts(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of entries of users and items, at least 1."""
    items = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.maximum(np.diff(matrix.indptr), 1), np.maximum(items, 1)


def normalised(matrix: sp.csr_matrix, items: bool) -> sp.csr_matrix:
    """Return the entries divided by the square roots of their users' and, if `items`, their items' numbers."""
    by_user, by_item = (sp.diags_array(number**-0.5) for number in counts(matrix))
    return sp.csr_matrix(by_user @ matrix @ by_item if items else by_user @ matrix, dtype=np.float32)


def identity(table: np.ndarray) -> np.ndarray:
    """Return V."""
    return table


def svd_start(matrix: sp.csr_matrix, point: Point) -> Idea:
    """Start with a truncated SVD."""
    left, values, right = svds(normalised(matrix, True), point.k, random_state=0)
    roots = np.sqrt(values)
    start = {"row_init": (left * roots).astype(np.float32), "col_init": (right.T * roots).astype(np.float32)}
    return Idea(matrix, {"SVD start": identity}, model=start)


def equal_rows(matrix: sp.csr_matrix, point: Point) -> Idea:
    """Scale all rows to the same sum of squares."""
    rows = normalised(matrix, False)
    rows.data /= rows.data.mean()
    rows.sort_indices()
    return Idea(rows, {"equal rows": identity})


def plain(matrix: sp.csr_matrix, point: Point) -> Idea:
    """Train as it is, and filter what comes out."""
    graph = normalised(matrix, True)

    def by(strength: float) -> Change:
        return lambda table: table + np.float32(strength) * (graph.T @ (graph @ table))

    filters = {f"filter {strength:g}": by(strength) for strength in (-0.3, -0.15, 0.2)}
    return Idea(matrix, {PLAIN: identity} | filters)


def propagated(matrix: sp.csr_matrix, point: Point) -> Idea:
    """Add the items that a step over the graph reaches."""
    normal = normalised(matrix, True)
    graph, parts = sp.csr_matrix(normal.T @ normal), []
    for first in range(0, matrix.shape[0], 500):
        block = matrix[first : first + 500]
        sums, (rows, items) = (block @ graph).toarray(), block.nonzero()
        own = np.bincount(rows, sums[rows, items], len(sums)) / np.maximum(np.diff(block.indptr), 1)
        sums[rows, items] = 0
        near = np.argpartition(-sums, REACHED, axis=1)[:, :REACHED]
        ratings = np.take_along_axis(sums, near, 1) / np.maximum(own, 1e-9)[:, None] / 2
        starts = np.arange(len(sums) + 1) * REACHED
        new = (np.clip(ratings, 1e-6, 1).ravel(), near.ravel(), starts)
        parts.append(sp.csr_matrix(new, block.shape))
    reached = sp.csr_matrix(sp.vstack(parts), dtype=np.float32)
    values, weights = sp.csr_matrix(matrix + reached), sp.csr_matrix(matrix + reached)
    ones = sp.csr_matrix(2 * matrix + (reached > 0).astype(np.float32))  # 2 where there was an entry
    for one in (values, weights, ones):
        one.sort_indices()
    weights.data = np.where(ones.data > 1.5, 1, 0.2).astype(np.float32)
    return Idea(values, {"propagated": identity}, fit={"entry_weights": weights})


def unobserved(exponent: float) -> Callable[[sp.csr_matrix, Point], Idea]:
    """Weigh cells without an entry by the item's number of visitors."""

    def idea(matrix: sp.csr_matrix, point: Point) -> Idea:
        weights = counts(matrix)[1] ** exponent
        weights *= len(weights) / weights.sum()
        # w0 c (u.v)^2 + (w0 c + R C)(1 - u.v)^2 is plain WALS for sqrt(c) v, ratings sqrt(c), and C / c for C.
        roots, values = np.sqrt(weights), matrix.copy()
        values.data = roots[matrix.indices].astype(np.float32)
        changes = {f"unobserved {exponent:g}": lambda table: table / roots[:, None].astype(np.float32)}
        observed = by_frequency(np.bincount(matrix.indices, minlength=matrix.shape[1]), point.popularity)
        return Idea(values, changes, model={"col_weights": observed / weights})

    return idea


IDEAS: dict[str, Callable[[sp.csr_matrix, Point], Idea]] = {
    PLAIN: plain,
    "SVD start": svd_start,
    "equal rows": equal_rows,
    "propagated": propagated,
    "unobserved -0.25": unobserved(-0.25),
    "unobserved 0.25": unobserved(0.25),
}


def best_passes(train: sp.csr_matrix, truth: sp.csr_matrix, idea: Idea, k: int) -> list[dict]:
    """Return recall@20, NDCG@20 and the number of the best pass by their sum, of each change of V; and all passes."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in idea.changes}

    class Watch:
        passed = 0

        def after_pass(self, state: Factorization) -> None:
            self.passed += 1
            for name, change in idea.changes.items() if self.passed in passes else ():
                ranking = measure(state.rows.table, np.ascontiguousarray(change(state.cols.table)), truth, train)
                found[name].append((ranking.recall, ranking.ndcg))

    point, passes = POINTS[k]
    point.model(train, **idea.model).fit(idea.values, passes=passes[-1], held_out=Watch(), **idea.fit)
    rows = []
    for name, all_of in found.items():
        number = max(range(len(all_of)), key=lambda each: sum(all_of[each]))
        figures = {"recall": all_of[number][0], "ndcg": all_of[number][1]}
        rows.append({"idea": name, "k": k, "passes": passes[number]} | figures | {"all": all_of})
    return rows


def train_with(name: str) -> gowalla.Train:
    """Return how to train with an idea."""

    def train(point: Point, passes: int, matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        idea = IDEAS[PLAIN if name.startswith("filter") else name](matrix, point)
        model = point.model(matrix, **idea.model).fit(idea.values, passes=passes, **idea.fit)
        return model.get_row_factors(), np.ascontiguousarray(idea.changes[name](model.get_col_factors()))

    return train


def read_test(name: str) -> None:
    """Measure an idea with the constant ridge on test, and write the row to the file of `benchmarks.wals.gowalla`."""
    rows, test = (SparseRows.from_matrix(data.gowalla(part)) for part in ("train", "test"))
    row = gowalla.measure(gowalla.CONSTANT, 2048, rows, test, train=train_with(name), gamma=GAMMA, sides=("term",))
    looks = "Once, here; the idea was chosen on hold-outs (ideas.json), the ridge was noticed on test."
    gowalla.write(row | {"name": f"{gowalla.CONSTANT}, {name}", "looks_at_test": looks})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=64, choices=sorted(POINTS))
    parser.add_argument("--hold_out", default="random", choices=sorted(HOLD_OUTS))
    parser.add_argument("--only", nargs="*", default=list(IDEAS), choices=sorted(IDEAS))
    parser.add_argument("--write", action="store_true", help="put the figures in place of these in ideas.json")
    parser.add_argument("--test", metavar="IDEA", help="measure this idea on test, at k = 2048, and nothing else")
    arguments = parser.parse_args()
    if arguments.test:
        read_test(arguments.test)
        return
    matrix, correlation = data.gowalla("train"), HOLD_OUTS[arguments.hold_out]
    train, held = gowalla.hold_out(matrix, correlation) if correlation else hold_out(matrix)
    truth = sp.csr_matrix(sp.diags_array((np.arange(held.shape[0]) % STEP == 0).astype(np.float32)) @ held)
    truth.eliminate_zeros()
    truth.sort_indices()
    for name in arguments.only:
        rows = best_passes(train, truth, IDEAS[name](train, POINTS[arguments.k][0]), arguments.k)
        rows = [{"hold_out": arguments.hold_out} | row for row in rows]
        for row in rows:
            print({key: value for key, value in row.items() if key != "all"}, flush=True)
        if arguments.write:
            path, key = machine.RESULTS / "ideas.json", lambda row: (row["hold_out"], row["k"], row["idea"])
            written = json.loads(path.read_text())["rows"] if path.exists() else []
            others = [row for row in written if key(row) not in {key(own) for own in rows}]
            machine.save("ideas", {"seed": 0, "looks_at_test": "none", "rows": others + rows})


if __name__ == "__main__":
    main()
