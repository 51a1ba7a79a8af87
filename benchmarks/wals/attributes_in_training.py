"""Attributes within the training, on CiteULike: new articles of vali, and known ones held out of train.

    python -m benchmarks.wals.attributes_in_training [--write]

With `cold_start.attributes_in_training`, each pass ends with items that start from their attributes. Both trainings
have the same first pass. Known articles are ranked by the factors of the training, without the changes for few views.
"""

from __future__ import annotations

import argparse
import copy
import time
from typing import Any

import numpy as np

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from benchmarks.wals import new_items
from benchmarks.wals.search import hold_out
from configs.settings import TrainingSettings
from trainer import WALSMatrixFactorization
from trainer.als.loop import Factorization, fit
from trainer.als.weights import by_frequency
from trainer.attributes import ridge
from trainer.evaluation import metrics
from trainer.job import attributes

K, PASSES = 64, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/attributes_in_training.json")
    arguments = parser.parse_args()
    split = new_items.read("vali")
    known, held_out = hold_out(split.train)
    warm, new = new_items.features(split)
    views = np.bincount(known.indices, minlength=known.shape[1])
    shown = np.flatnonzero((np.diff(warm.indptr) > 0) & (views > 0))
    by_item = known.T.tocsr()
    by_item.sort_indices()
    rows = SparseRows.from_matrix(by_item).take(shown)
    model = WALSMatrixFactorization(
        embedding_dimension=K,
        row_weights=by_frequency(np.diff(known.indptr), new_items.ACTIVITY),
        col_weights=by_frequency(views, TrainingSettings().col_weights_exponent),
    )
    model.fit(known, passes=1)
    found: list[dict[str, Any]] = []
    recall = []
    for within in (False, True):
        state, started = copy.deepcopy(model._state), time.process_time()

        def after_pass(state: Factorization, within: bool = within) -> None:
            if within:
                start = ridge.fit(warm[shown], state.cols.table[shown], new_items.MU).factors(warm[shown])
                state.cols.table[shown] = attributes.folded(state, start, rows)

        fit(state, 2 * PASSES, after_pass=after_pass)
        seconds, users, items = time.process_time() - started, state.rows.table, state.cols.table
        predicted = ridge.fit(warm[shown], items[shown], new_items.MU).factors(new)
        each = new_items.lists_of(users, items, held_out, known)
        recall.append(metrics.Columns.of(each).recall[:, 0])
        cells = {"new": new_items.measure(users, predicted, split.relevant), "known": new_items.means(each)}
        found.append({"within": within, "cpu_s": seconds, **cells})
    difference = new_items.interval(recall[1] - recall[0])
    print(found, difference)
    if arguments.write:
        figures = {
            "seed": 0,
            "k": K,
            "passes": PASSES,
            "rows": found,
            "known, recall@20 with minus without": difference,
        }
        machine.save("attributes_in_training", figures)


if __name__ == "__main__":
    main()
