"""Recall@20 and NDCG@20 on Gowalla's test pairs against seconds of training, ours and implicit's.

    python -m benchmarks.wals.quality --peer PYTHON_WITH_IMPLICIT [--k 64 256 1024 2048] [--peer_k 64 256]

The settings are those that `benchmarks/wals/search.py` found on train alone, and so is the number of passes; test is
measured after each pass for the plot, and the table's line is the last pass. All users with test pairs, all items,
those of train left out. Seconds are of the whole fit (compiled kernels from Numba's cache, measuring left out).
implicit gets what it has of our settings: alpha = 1 / w0, regularization = ridge / w0, its own start and CG.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.support import data, machine
from benchmarks.wals.search import Point, measure

# By the rule of `benchmarks/wals/search.py`: 40 trials at k = 256, 14 at 1024 around the best of those, and a few by
# hand around the best of these at 64 and 2048. docs/benchmarks.md tells of later searches.
SETTINGS: dict[int, tuple[Point, int]] = {
    64: (Point(64, 0.1, 1.2, 0.9, popularity=0.43, activity=0.31), 3),
    256: (Point(256, 0.0919, 2.091, 0.898, popularity=0.4345, activity=0.3137), 4),
    1024: (Point(1024, 0.03, 4.5, 1.0, popularity=0.4, activity=0.25), 4),
    2048: (Point(2048, 0.03, 4.5, 1.0, popularity=0.4, activity=0.25), 4),
}
PEER_PASSES = 8
LOOKS = "Once per row; besides, other settings at k = 1024 and 2048 once each."


def ours(point: Point, passes: int) -> dict:
    """Return seconds, recall and NDCG after each pass, in this process."""
    train, test = data.gowalla("train"), data.gowalla("test")
    curve: list[tuple[float, float, float]] = []
    model, started = point.model(train), time.perf_counter()

    class Watch:
        """Measures, and keeps its own time out of the fit's."""

        spent = 0.0

        def after_pass(self, state) -> None:
            now = time.perf_counter()
            ranking = measure(state.rows.table, state.cols.table, test, train)
            curve.append((now - started - self.spent, ranking.recall, ranking.ndcg))
            self.spent += time.perf_counter() - now

    watch = Watch()
    model.fit(train, passes=passes, held_out=watch)
    whole = time.perf_counter() - started - watch.spent
    return {"curve": curve, "seconds": whole, "solver": model.solver, "lambda": point.regularization(train)}


def implicit(k: int, alpha: float, regularization: float, passes: int, folder: str) -> dict:
    """Return the seconds to each pass, whose factors are left in `folder`."""
    from implicit.cpu.als import AlternatingLeastSquares

    train, seconds, spent = data.gowalla("train"), [], 0.0
    model = AlternatingLeastSquares(k, regularization, alpha=alpha, iterations=passes, num_threads=2, random_state=0)
    started = time.perf_counter()

    def keep(number: int, *rest: object) -> None:
        nonlocal spent
        now = time.perf_counter()
        seconds.append(now - started - spent)
        np.savez(f"{folder}/{number}.npz", users=model.user_factors, items=model.item_factors)
        spent += time.perf_counter() - now

    model.fit(train, show_progress=False, callback=keep)
    return {"seconds": seconds}


def peer_curve(peer: str, k: int, point: Point) -> dict:
    train, test = data.gowalla("train"), data.gowalla("test")
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "k": k,
            "alpha": 1 / point.w0,
            "regularization": point.ridge / point.w0,
            "passes": PEER_PASSES,
            "folder": folder,
        }
        found = machine.worker(peer, __file__, "--worker", "implicit", json.dumps(job))
        curve = []
        for number, seconds in enumerate(found["seconds"]):
            with np.load(f"{folder}/{number}.npz") as kept:
                ranking = measure(kept["users"], kept["items"], test, train)
            curve.append((seconds, ranking.recall, ranking.ndcg))
    return {"curve": curve, "seconds": found["seconds"][-1], "solver": "implicit, 3 steps of CG"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has implicit")
    parser.add_argument("--k", type=int, nargs="*", default=sorted(SETTINGS), choices=sorted(SETTINGS))
    parser.add_argument("--peer_k", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        side, job = arguments.worker[0], json.loads(arguments.worker[1])
        if side == "ours":
            point, passes = SETTINGS[job["k"]]
            print(json.dumps(ours(point, passes)))
        else:
            print(json.dumps(implicit(**job)))
        return
    data.gowalla("train"), data.gowalla("test")
    print(f"Gowalla, train and test, seed 0; {machine.describe()}")
    print("side         k  passes   seconds   CPU s   Recall@20   NDCG@20   settings")
    rows = []
    for side, sizes in (("ours", arguments.k), ("implicit", arguments.peer_k)):
        for k in sizes:
            point, passes = SETTINGS[k]
            if side == "ours":
                row = machine.worker(sys.executable, __file__, "--worker", "ours", json.dumps({"k": k}))
                row |= {"settings": asdict(point)}
                about = (
                    f"w0 {point.w0}, lambda {row['lambda']:.6f}, nu {point.nu}, b {point.popularity}; {row['solver']}"
                )
            else:
                row = peer_curve(arguments.peer, k, point)
                about = f"alpha {1 / point.w0:.1f}, regularization {point.ridge / point.w0:.0f}; {row['solver']}"
            row |= {"side": side, "k": k, "passes": len(row["curve"])}
            recall, ndcg = row["curve"][-1][1:]
            spent = f"{row['cpu']:7.0f}" if "cpu" in row else "      -"
            print(
                f"{side:9s} {k:4d}  {row['passes']:6d}  {row['seconds']:8.1f} {spent}      {recall:.4f}    {ndcg:.4f}"
                f"   {about}",
                flush=True,
            )
            rows.append(row)
    machine.save("wals_quality", {"seed": 0, "looks_at_test": LOOKS, "rows": rows})
    if rows:
        figures, picture = machine.RESULTS / "wals_quality.json", machine.PICTURES / "recall_seconds.svg"
        machine.worker(arguments.peer, str(Path(__file__).with_name("plot.py")), *map(str, (figures, picture)))


if __name__ == "__main__":
    main()
