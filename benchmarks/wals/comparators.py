"""RetailRocket's held-out purchases, next to other systems, and by the protocol of published multi-behaviour systems.

    python -m benchmarks.wals.comparators [--write]

The data, the ways to use the signals and their settings are those of signal_strength.json (`benchmarks.wals.strength`),
which were chosen on train. Next to them are item kNN and popularity, of all signals and of purchases alone. None
recommends what the visitor bought in train; equal scores go to the item with more visitors.

- all: recall and NDCG at 10, 20 and 40 over the whole catalogue, the cuts of SSLRec's evaluation of this split.
- sampled: hits and NDCG among the first 10 of the purchase and 99 items that the visitor has no purchase of, drawn at
  random (seed 0, the same for all systems), the protocol of CML.

Intervals are of 95 %, by a bootstrap over visitors. Each row is read on test once here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.sparse as sp

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from benchmarks.wals.strength import WAYS, Settings, coded, interval, pairs, retailrocket, trained
from trainer.neighbourhood import related

CUTS, DRAWN, NEIGHBOURS = (10, 20, 40), 99, 100
LOOKS = "Once per row here. The ways to use the signals were read on it before (docs/evaluation.md has how often)."


def matrix_of(rows: SparseRows, items: int) -> sp.csr_matrix:
    """Return rows as a matrix [visitors, items]."""
    return sp.csr_matrix((rows.values, rows.indices, rows.indptr), (len(rows), items))


def knn_scores(rows: SparseRows, items: int) -> np.ndarray:
    """Return the summed cosines of each visitor's items to the nearest of each, float32 [visitors, items]."""
    near = related.nearest(rows, items, NEIGHBOURS)
    starts = np.arange(items + 1) * NEIGHBOURS
    cosines = sp.csr_matrix((np.maximum(near.scores, 0).ravel(), np.maximum(near.indices, 0).ravel(), starts))
    cosines.resize(items, items)
    return (matrix_of(rows, items) @ cosines).toarray()


def systems(events: pd.DataFrame, shape: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Return the scores of each system, float32 [visitors, items], one after the other."""
    written = json.loads((machine.RESULTS / "signal_strength.json").read_text())["RetailRocket"]["rows"]
    settings = {row["way"]: Settings(**row["settings"]) for row in written}
    for way in WAYS:
        users, items = trained(events, way, settings[way], shape)
        yield f"WALS, {way}", users @ items.T
    for name, used in (("all signals", events), ("purchases alone", events[events.kind == "buy"])):
        rows = pairs(used, shape)
        yield f"item kNN, {name}", knn_scores(rows, shape[1])
        counts = np.bincount(rows.indices, minlength=shape[1]).astype(np.float32)
        yield f"popularity, {name}", np.broadcast_to(counts, shape)


def draw(bought: sp.csr_matrix, truth: pd.DataFrame) -> np.ndarray:
    """Return items that each visitor of the truth did not buy, then or later, int64 [n, DRAWN]."""
    rng, drawn = np.random.default_rng(0), np.empty((len(truth), DRAWN), np.int64)
    for row, (visitor, item) in enumerate(zip(truth.visitor, truth.item, strict=True)):
        free = np.setdiff1d(np.arange(bought.shape[1]), [*bought[[visitor]].indices, item])
        drawn[row] = rng.choice(free, DRAWN, replace=False)
    return drawn


def ranks(scores: np.ndarray, truth: pd.DataFrame, bought: sp.csr_matrix, order: np.ndarray, among=None) -> np.ndarray:
    """Return the position from 0 of each held-out purchase among all items that may be recommended, or among `among`.

    order: int64 [items], the place of each item among equal scores.
    """
    found = np.empty(len(truth), np.int64)
    for row, (visitor, item) in enumerate(zip(truth.visitor, truth.item, strict=True)):
        own, places = np.array(scores[visitor]), order
        score, place = own[item], order[item]
        own[bought[[visitor]].indices] = -np.inf
        if among is not None:
            own, places = own[among[row]], order[among[row]]
        found[row] = ((own > score) | ((own == score) & (places < place))).sum()
    return found


def gains(positions: np.ndarray, cut: int) -> dict[str, np.ndarray]:
    """Return recall and NDCG of lists of `cut` with one right item at these positions."""
    hits = positions < cut
    return {"recall": hits.astype(float), "ndcg": np.where(hits, 1 / np.log2(positions + 2), 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/comparators.json")
    arguments = parser.parse_args()
    events, test = retailrocket()
    shape = coded([events, test])
    bought = matrix_of(pairs(events[events.kind == "buy"], shape), shape[1])
    visitors = np.bincount(pairs(events, shape).indices, minlength=shape[1])
    order = np.argsort(np.argsort(-visitors, kind="stable"))
    drawn, rows = draw(bought, test), []
    for name, scores in systems(events, shape):
        row: dict = {"system": name}
        for protocol, among, cuts in (("all", None, CUTS), ("sampled", drawn, (10,))):
            positions = ranks(scores, test, bought, order, among)
            row[protocol] = {
                f"{metric}@{cut}": interval(values) for cut in cuts for metric, values in gains(positions, cut).items()
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
    if arguments.write:
        about = {"visitors": len(test), "items": shape[1], "drawn": DRAWN, "seed": 0, "looks_at_test": LOOKS}
        machine.save("comparators", about | {"rows": rows})


if __name__ == "__main__":
    main()
