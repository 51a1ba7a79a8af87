"""Measure the cost of factors from attributes in a training: processor time next to that of the passes, and memory.

    python -m benchmarks.wals.attributes_cost [--write]

Made data (seed 0): visitors draw popular items more often; an item has features by a law of popularity too. `ratio` is
the training with attributes over the training without; the first case has 50 features per item, the second a million
items with 20 features each of a million distinct ones. Each runs in a process of its own, with two threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from benchmarks.wals.new_items import FEW_VIEWS, reach_of
from ranking.attributes import one_list
from trainer import WALSMatrixFactorization
from trainer.attributes import reach, ridge
from trainer.job import attributes


class Case(NamedTuple):
    """A made site."""

    name: str
    users: int
    items: int
    pairs: int
    features: int
    per_item: int
    k: int
    passes: int


CASES = (
    Case("50 features per item", 50_000, 20_000, 1_000_000, 20_000, 50, 64, 10),
    Case("a million items", 200_000, 1_000_000, 4_000_000, 1_000_000, 20, 32, 2),
)


def drawn(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Return `count` numbers below `size`, low ones more often."""
    chances = np.cumsum(1 / np.arange(10, size + 10))
    return np.searchsorted(chances, rng.random(count) * chances[-1]).astype(np.int32)


def rows_of(owners: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return rows of ones, each entry once."""
    matrix = sp.csr_matrix((np.ones(len(owners), np.float32), (owners, columns)), shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def measure(case: Case) -> dict[str, float]:
    """Return processor seconds by part, their ratio, and the peak of the process's memory in GB."""
    rng = np.random.default_rng(0)
    owners = np.arange(case.pairs, dtype=np.int32) % case.users
    pairs = rows_of(owners, drawn(rng, case.items, case.pairs), (case.users, case.items))
    of_items = np.repeat(np.arange(case.items, dtype=np.int32), case.per_item)
    features = rows_of(of_items, drawn(rng, case.features, len(of_items)), (case.items, case.features))
    lengths = np.sqrt(np.diff(features.indptr)).astype(np.float32)
    features = sp.csr_matrix(sp.diags(1 / lengths) @ features, dtype=np.float32)
    small = WALSMatrixFactorization(embedding_dimension=case.k)
    small.fit(pairs[:500], passes=1)  # compiles, as what follows
    learn(small, features, SparseRows.from_matrix(sp.csr_matrix(pairs[:500].T)))
    by_item = SparseRows.from_matrix(sp.csr_matrix(pairs.T))  # which a training has anyway
    model, started = WALSMatrixFactorization(embedding_dimension=case.k), time.process_time()
    model.fit(pairs, passes=case.passes)
    training, before = time.process_time() - started, peak()
    regression, known_items = learn(model, features, by_item)
    seconds = {"training": training, "regression": regression, "known items": known_items}
    ratio = (training + regression + known_items) / training
    return {**seconds, "ratio": ratio, "peak_gb_of_training": before, "peak_gb": peak()}


def learn(model: WALSMatrixFactorization, features: sp.csr_matrix, by_item: SparseRows) -> tuple[float, float]:
    """Learn from attributes as a training does after its passes; return processor seconds of the two parts."""
    started, state = time.process_time(), model._state
    prior = ridge.fit(features, model.get_col_factors())
    learned = time.process_time()
    predicted = prior.factors(features)
    tables = reach.Tables(model.get_row_factors(), model.get_col_factors(), one_list.metric(model.get_row_factors()))
    one_list.scale(tables.items, predicted, 0.5)
    views = by_item.lengths
    trial = reach_of(state, tables, predicted, by_item, views > 0)
    changed = np.flatnonzero(trial.reach.nearness(views, FEW_VIEWS) > 0)
    for first in range(0, len(changed), 100_000):
        part = changed[first : first + 100_000]
        near = trial.reach.nearness(views[part], FEW_VIEWS)
        share = one_list.lengthening(views[part], FEW_VIEWS, 0.5)
        folded = attributes.folded(state, predicted[part], by_item.take(part))
        one_list.of_known(tables.items[part], folded, near, share, tables.metric)
    return learned - started, time.process_time() - learned


def peak() -> float:
    """Return the greatest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/attributes_cost.json")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measure(CASES[arguments.case])))
        return
    rows = []
    for number, case in enumerate(CASES):
        command = [sys.executable, "-m", "benchmarks.wals.attributes_cost", "--case", str(number)]
        last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        rows.append(case._asdict() | json.loads(last))
        print(rows[-1], flush=True)
    if arguments.write:
        machine.save("attributes_cost", {"seed": 0, "rows": rows})


if __name__ == "__main__":
    main()
