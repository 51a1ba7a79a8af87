"""One request over a million items next to one read of the items' table, and requests per second in batches.

    python -m benchmarks.serving.million [--items 1000000] [--k 128] [--users 30000] [--model_dir DIR] [--graph]

The model is a made one (seed 0), as in benchmarks.serving.load; --model_dir takes one that was made before. The engine
answers in this process by the version's tables. In turns with each request, both cores read the table float32 once,
which is the limit, and the compressed one. --graph asks the SavedModel's graph, too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.serving import load
from benchmarks.support import machine
from serving.models.engine.engine import Engine

SEED, K, TURNS, SIZES, BATCHES = 0, 10, 31, (8, 16, 32, 64), 6


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def reader(pool: ThreadPoolExecutor, array: np.ndarray) -> Callable[[], object]:
    """Return what reads an array once, half of it by each of two threads."""
    halves = np.array_split(array.reshape(-1).view(np.float32), 2)
    return lambda: list(pool.map(np.max, halves))


def in_batches(size: int, request: Callable[[], object], flops: int) -> dict:
    """Return the requests/s of a batch, and the share of the rate of a product of two matrices, by turns with it.

    flops: of a request's products in float32, each with one item's row.
    """
    request()
    runs = [(seconds(request), machine.gemm(1)) for _ in range(BATCHES)]
    rate = size / statistics.median(seconds for seconds, _ in runs)
    share = statistics.median(size * flops / seconds / gemm for seconds, gemm in runs)
    return {"batch": size, "batched_per_second": rate, "batched_share_of_gemm": share,
            "most_per_second": statistics.median(gemm for _, gemm in runs) / flops}  # fmt: skip


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, help="of a model that was made before")
    parser.add_argument("--graph", action="store_true", help="ask the SavedModel's graph, too")
    for name, size in (("users", 30_000), ("items", 1_000_000), ("k", 128)):
        parser.add_argument(f"--{name}", type=int, default=size)
    args = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        model = args.model_dir or load.make(Path(folder), args.users, args.items, args.k)
        figures = measure(str(model / "saved_model"), args.graph)
    rates = (f"{name} {1000 * figures[name]:.1f} ms" for name in figures if name.endswith("_s"))
    print(", ".join(rates))
    for run in figures["batches"]:
        print(
            f"batches of {run['batch']}: {run['batched_per_second']:.0f} requests/s, "
            f"{run['batched_share_of_gemm']:.0%} of what a product of matrices allows ({run['most_per_second']:.0f})"
        )
    machine.save(f"serve_items_{figures['items']}", {"seed": SEED} | figures)


def measure(saved_model: str, graph: bool) -> dict:
    """Return the figures: medians of turns, in seconds."""
    opened = seconds(lambda: Engine(saved_model))
    engine = Engine(saved_model)
    content = engine._content
    names = content.visitor_ids.ids(np.random.default_rng(SEED).integers(0, len(content.users.rows), TURNS + SIZES[-1]))

    def ask(part: np.ndarray) -> Callable[[], object]:
        return lambda: engine.run("recommend", {"visitorId": part, "k": np.array(K, np.int32)})

    with ThreadPoolExecutor(2) as pool:
        turns = {"table_read_s": lambda turn: reader(pool, content.items.rows)}
        turns["compressed_read_s"] = lambda turn: reader(pool, content.items.compressed.rows)
        turns["request_s"] = lambda turn: ask(names[turn : turn + 1])
        if graph:
            import tensorflow as tf

            signature = tf.saved_model.load(saved_model).signatures["recommend"]
            turns["graph_s"] = lambda turn: (
                lambda: signature(visitorId=tf.constant(names[turn : turn + 1]), k=tf.constant(K, tf.int32))
            )
        for function in turns.values():
            function(0)()
        times: dict[str, list[float]] = {name: [] for name in turns}
        for turn in range(TURNS):
            for name, function in turns.items():
                times[name].append(seconds(function(turn)))
        before = time.process_time()
        for turn in range(TURNS):
            ask(names[turn : turn + 1])()
        processor = (time.process_time() - before) / TURNS
        flops = 2 * content.items.rows.size
        batched = [in_batches(size, ask(names[:size]), flops) for size in SIZES]
    medians = {name: statistics.median(values) for name, values in times.items()}
    gemm, bandwidth = machine.limits()
    size, dimensions = content.items.rows.shape
    return {
        "items": size,
        "dimensions": dimensions,
        "k": K,
        "open_s": opened,
        **medians,
        "request_processor_s": processor,
        "times_one_read": statistics.median(
            one / read for one, read in zip(times["request_s"], times["table_read_s"], strict=True)
        ),
        **batched[-1],
        "batches": batched,
        "gemm_flops": gemm,
        "bandwidth_bytes": bandwidth,
        "resident_mb": round(machine.resident() / 2**20),
    }


if __name__ == "__main__":
    sys.exit(main())
