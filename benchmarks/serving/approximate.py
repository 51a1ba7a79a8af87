"""The exact search next to an approximate index over millions of items: recall against milliseconds.

    python -m benchmarks.serving.approximate [--items 10000000] [--k 64] [--picture PICTURE.svg]

The peer is faiss's IVF index with int8 codes, by the inner product, 1 to 1,024 of its lists probed; the exact search is
the server's. Both have one query at a time, on two threads, in turns. The factors are made (seed 0): a thousand groups
of items with lengths as in a trained model, a few long ones and many short, and users near one of the groups.
Needs faiss (pip install faiss-cpu), which the project does not; --picture needs matplotlib, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from ranking.compressed import search
from ranking.compressed.table import Compressed

SEED, K, GROUPS, QUERIES = 0, 10, 1000, 100
PROBES = (1, 4, 16, 64, 256, 1024)
_PART = 1 << 18  # rows that are made at once


def factors(items: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of items and of the queries."""
    random = np.random.default_rng(SEED)
    groups = random.standard_normal((GROUPS, dimensions), np.float32)
    rows = np.empty((items, dimensions), np.float32)
    for start in range(0, items, _PART):
        size = min(_PART, items - start)
        near = groups[random.integers(0, GROUPS, size)] + random.standard_normal((size, dimensions), np.float32)
        rows[start : start + size] = near * random.lognormal(-2, 0.5, (size, 1)).astype(np.float32)
    near = groups[random.integers(0, GROUPS, QUERIES)]
    return rows, near + random.standard_normal((QUERIES, dimensions), np.float32)


def timed(function: Callable[[np.ndarray], np.ndarray], queries: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the answers to queries, one after the other, and the median of their milliseconds."""
    answers, times = [], []
    for query in queries:
        started = time.perf_counter()
        answers.append(function(query[None])[0])
        times.append(1000 * (time.perf_counter() - started))
    return np.array(answers), statistics.median(times)


def measure(items: int, dimensions: int) -> dict:
    """Return the figures of both sides."""
    import faiss

    rows, queries = factors(items, dimensions)
    started = time.perf_counter()
    table = search.Table.of(rows, Compressed.of(rows), np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)))
    compressed_s, nothing = time.perf_counter() - started, SparseRows.empty(1)

    def exact(query: np.ndarray) -> np.ndarray:
        return search.top_k(query, table, nothing, K).indices

    exact(queries[:1])
    truth, exact_ms = timed(exact, queries)
    faiss.omp_set_num_threads(2)
    lists = 2 ** round(np.log2(4 * np.sqrt(items)))
    started = time.perf_counter()
    coarse = faiss.IndexFlatIP(dimensions)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, dimensions, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.train(rows[np.random.default_rng(SEED).choice(items, min(items, 40 * lists), replace=False)])
    for start in range(0, items, _PART):
        index.add(rows[start : start + _PART])
    build_s, points = time.perf_counter() - started, []
    for probes in PROBES:
        index.nprobe = probes
        answers, ms = timed(lambda query: index.search(query, K)[1], queries)
        recall = statistics.mean(len({*row} & {*best}) / K for row, best in zip(answers, truth, strict=True))
        points.append({"probes": probes, "ms": ms, "recall": recall})
        print(f"{probes} of {lists} lists: {ms:.2f} ms, recall {recall:.4f}")
    print(f"exact: {exact_ms:.2f} ms; compressed in {compressed_s:.1f} s; the index took {build_s:.1f} s")
    return {"items": items, "dimensions": dimensions, "k": K, "queries": QUERIES, "exact_ms": exact_ms,
            "compressed_s": compressed_s, "build_s": build_s, "lists": lists, "faiss": faiss.__version__,
            "points": points}  # fmt: skip


def draw(figures: dict, path: Path) -> None:
    """Draw recall against milliseconds."""
    import matplotlib.pyplot as plt

    from benchmarks.support import picture

    plt.rcParams.update(picture.STYLE)
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    points = figures["points"]
    axes.plot([p["ms"] for p in points], [p["recall"] for p in points], "x--", label="faiss, IVF with int8 codes")
    axes.plot([figures["exact_ms"]], [1.0], "o", label="exact, compressed table")
    axes.set(xscale="log", xlabel="ms for one query on two threads", ylabel=f"recall@{figures['k']}")
    axes.set_title(
        f"{figures['items']:,} made items, {figures['dimensions']} dimensions; {machine.describe()}", fontsize=9
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    picture.save(figure, path)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--picture", type=Path, help="SVG to draw")
    args = parser.parse_args()
    print(machine.describe())
    figures = measure(args.items, args.k)
    machine.save("serve_approximate", {"seed": SEED} | figures)
    if args.picture:
        draw(figures, args.picture)
        print(json.dumps({"plot": str(args.picture)}))


if __name__ == "__main__":
    sys.exit(main())
