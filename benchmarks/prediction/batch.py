"""Seconds to recommend to all users, in one process, against implicit's `recommend`, in one run.

    python benchmarks/prediction/batch.py --peer PYTHON_WITH_IMPLICIT [--data gowalla|made] [--k 128] [--top 20]

Gowalla's train pairs and factors of two passes over them; or made data (--users 30000 --items 40000): normal factors,
27 seen items a user on average, geometric. Both sides have the same data, two threads, and a process of their own; they
take turns, after a small part that does not count (compiling, first touch). `--blas default`
leaves OpenBLAS the kernels that it chooses for the processor; `fitting` names those that fit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, by the peer's Python

SEED = 0
MEAN_SEEN = 27  # as in Gowalla's train pairs


def make(users: int, items: int, k: int) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix]:
    """User factors float32[users, k], item factors float32[items, k], and what is seen."""
    rng = np.random.default_rng(SEED)
    tables = [(rng.standard_normal((n, k), np.float32) / np.sqrt(k)).astype(np.float32) for n in (users, items)]
    counts = np.minimum(rng.geometric(1 / MEAN_SEEN, users), items // 2)
    rows = np.repeat(np.arange(users), counts)
    columns = rng.integers(0, items, len(rows))
    seen = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(users, items))
    seen.sum_duplicates()
    return *tables, seen


def gowalla(k: int) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix]:
    """Return factors float32 [29858, k] and [40981, k] of two passes over Gowalla's train pairs, and the pairs."""
    from benchmarks.support import data, machine

    matrix, kept = data.gowalla(), machine.output() / f"gowalla-factors-{k}.npz"
    if not kept.exists():
        from trainer import WALSMatrixFactorization

        model = WALSMatrixFactorization(
            embedding_dimension=k, unobserved_weight=0.1, regularization_coeff=2.0, seed=SEED
        )
        model.fit(matrix, passes=2)
        np.savez(kept, users=model.get_row_factors(), items=model.get_col_factors())
    with np.load(kept) as found:
        return found["users"], found["items"], matrix


def ours(u: np.ndarray, v: np.ndarray, seen: sp.csr_matrix, top: int) -> np.ndarray:
    from artifacts.sparse_rows import SparseRows
    from ranking.topk import top_k

    size, rows = 4096, SparseRows.from_matrix(seen)
    starts = range(0, len(u), size)
    parts = [top_k(u[start : start + size], v, rows.between(start, min(start + size, len(u))), top) for start in starts]
    return np.concatenate([part.indices for part in parts])


def implicit(u: np.ndarray, v: np.ndarray, seen: sp.csr_matrix, top: int) -> np.ndarray:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=u.shape[1], num_threads=2)
    model.user_factors, model.item_factors = u, v
    return model.recommend(np.arange(len(u)), seen, N=top, filter_already_liked_items=True)[0]


def work(args: argparse.Namespace) -> None:
    """Run one round of one side, after one that does not count; print its result as JSON."""
    from benchmarks.support import machine

    u, v, seen = gowalla(args.k) if args.data == "gowalla" else make(args.users, args.items, args.k)
    side = {"ours": ours, "implicit": implicit}[args.side]
    small = min(512, len(u))
    side(u[:small], v, seen[:small], args.top)
    started = time.perf_counter()
    found = side(u, v, seen, args.top)
    seconds = time.perf_counter() - started
    lists = [hashlib.sha256(row.astype("<i8").tobytes()).hexdigest()[:16] for row in found]
    peak = machine.resident("VmHWM") / 2**20
    print(json.dumps({"seconds": seconds, "peak_mb": round(peak), "lists": lists}))


def turn(python: str, side: str, arguments: list[str], blas: str) -> dict:
    from benchmarks.support import machine

    environment = os.environ | {"PYTHONPATH": str(machine.ROOT)}
    # implicit asks for one BLAS thread next to its own; ours sets that itself.
    environment["OPENBLAS_NUM_THREADS"] = "1" if side == "implicit" else "2"
    environment |= machine.blas_environment() if blas == "fitting" else {}
    command = [python, __file__, "--side", side, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python with implicit (default: this one)")
    parser.add_argument("--blas", choices=["default", "fitting"], default="default")
    parser.add_argument("--data", choices=["gowalla", "made"], default="gowalla")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    sizes = {"users": 30_000, "items": 40_000, "k": 128, "top": 20}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    args = parser.parse_args()
    if args.side:
        work(args)
        return

    from benchmarks.support import machine

    print(machine.describe())
    if args.data == "gowalla":
        args.users, args.items = (len(table) for table in gowalla(args.k)[:2])
    arguments = ["--data", args.data] + [text for name in sizes for text in (f"--{name}", str(getattr(args, name)))]
    print(f"seed {SEED}, {' '.join(arguments)}, BLAS kernels: {args.blas}, {args.rounds} rounds")
    peer = subprocess.run([args.peer, "-c", "import implicit"], capture_output=True, check=False).returncode == 0
    pythons = {"ours": sys.executable} | ({"implicit": args.peer} if peer else {})
    results: dict[str, list[dict]] = {side: [] for side in pythons}
    for _ in range(args.rounds):
        for side, python in pythons.items():
            results[side].append(turn(python, side, arguments, args.blas))
    for side, runs in results.items():
        seconds = [run["seconds"] for run in runs]
        print(
            f"{side}: median {statistics.median(seconds):.2f} s ({', '.join(f'{s:.2f}' for s in seconds)}), "
            f"{args.users / statistics.median(seconds):,.0f} users/s, peak {max(r['peak_mb'] for r in runs)} MB"
        )
    if not peer:
        print(f"{args.peer} has no implicit: no ratio")
        return
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(results["ours"], results["implicit"], strict=True)]
    same = np.mean([a == b for a, b in zip(*(results[side][0]["lists"] for side in pythons), strict=True)])
    print(f"ratio ours / implicit: median {statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})")
    print(f"users with the very same list: {same:.2%}")
    figures = {"seed": SEED, "k": args.k, "top": args.top, "users_with_the_same_list": float(same)}
    figures["sides"] = {side: summary(runs) for side, runs in results.items()}
    figures["ratio"] = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    machine.save("predict_batch", figures)


def summary(runs: list[dict]) -> dict[str, float]:
    """Return the median, least and most seconds of some runs, and their peak memory."""
    seconds = [run["seconds"] for run in runs]
    limits = {"least": min(seconds), "most": max(seconds)}
    return {"seconds": statistics.median(seconds)} | limits | {"peak_mb": max(run["peak_mb"] for run in runs)}


if __name__ == "__main__":
    main()
