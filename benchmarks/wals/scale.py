"""Growth with the data, memory, and the machine's limits: 1, 3 and 10 million made interactions, next to implicit.

    python -m benchmarks.wals.scale --peer PYTHON_WITH_IMPLICIT [--millions 1 3 10] [--k 64]

Data: the sample generator's table, 50,000 visitors and 5,000 items a million, seed 42, all ratings 1. Prints for
each size seconds a pass of both sides, the loss of both, and the memory beyond what the imported libraries take, in
shares of the sparse data (both sides) and the factors. Then the exponent e of seconds ~ interactions^e, and what share
of the machine's measured limits the largest pass reached.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.support import data, machine
from benchmarks.wals.sides import CONFIDENCE, LAMBDA, START, Job

COLUMNS = "interactions  side        s a pass   whole fit   CPU s   loss          memory, of data and factors"


def measure(peer: str, path: Path, k: int, passes: int, rounds: int, steps: int) -> dict:
    """Both sides in turn: medians, and ours / implicit."""
    jobs = {
        "ours": (sys.executable, Job("ours", str(path), k, passes, "auto", steps)),
        "implicit": (peer, Job("implicit", str(path), k, passes, "cg")),
    }
    runs: dict[str, list[dict]] = {side: [] for side in jobs}
    for _ in range(rounds):
        for side, (python, job) in jobs.items():
            runs[side].append(job.run(python))
    matrix = data.load(path)
    found = {"interactions": matrix.nnz, "users": matrix.shape[0], "items": matrix.shape[1], "k": k, "passes": passes}
    for side, done in runs.items():
        memory = done[0]["memory"]
        found[side] = {
            "pass_s": statistics.median(second for run in done for second in run["passes"][1:]),
            "whole_s": statistics.median(run["whole"] for run in done),
            "cpu_s": statistics.median(run["cpu"] for run in done),
            "loss": statistics.median(run["loss"] for run in done),
            "memory": memory,
            "memory_share": (max(run["memory"]["peak"] for run in done) - memory["before"])
            / (memory["sparse"] + memory["factors"]),
        }
        print(
            f"{matrix.nnz:12,d}  {side:9s}"
            + " {pass_s:10.3f} {whole_s:11.2f} {cpu_s:7.1f}   {loss:<12.7g}  {memory_share:.2f}".format(**found[side])
        )
    found["ratio"] = {name: found["ours"][name] / found["implicit"][name] for name in ("pass_s", "whole_s", "loss")}
    print("{:12s}  ratio     {pass_s:10.3f} {whole_s:11.2f}           {loss:<12.6f}".format("", **found["ratio"]))
    return found


def work(found: dict, steps: int) -> tuple[float, float]:
    """Return operations and bytes read and written of one of our passes with conjugate gradient.

    A sweep: the Gramian of one table, the turn of both, and for each entry its gathered factors read once, steps + 1
    products with them both ways. Both sweeps of a pass gather every entry once.
    """
    rows, k, entries = found["users"] + found["items"], found["k"], found["interactions"]
    flops = 2 * rows * k**2 + 2 * 2 * rows * 2 * k**2 + 2 * entries * k * 4 * (steps + 1)
    moved = 4 * k * (2 * entries + rows * (1 + 2 * 2 * 2 + 2)) + 2 * entries * 8
    return float(flops), float(moved)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has implicit")
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of our conjugate gradient")
    arguments = parser.parse_args()
    paths = [data.made(millions) for millions in arguments.millions]
    print(
        f"made data, seed {data.SEED}, k {arguments.k}, confidence {CONFIDENCE}, lambda {LAMBDA}, "
        f"start {START}/sqrt(k), {arguments.passes} passes, {arguments.rounds} rounds; {machine.describe()}\n{COLUMNS}"
    )
    rows = [
        measure(arguments.peer, path, arguments.k, arguments.passes, arguments.rounds, arguments.steps)
        for path in paths
    ]
    seconds = [row["ours"]["pass_s"] for row in rows]
    exponent = None
    if len(rows) > 1:
        exponent = float(np.polyfit(np.log([row["interactions"] for row in rows]), np.log(seconds), 1)[0])
        print(f"seconds a pass ~ interactions ^ {exponent:.3f}")
    flops, moved = work(rows[-1], arguments.steps)
    gemm, bandwidth = machine.limits()
    shares = {"gemm": flops / seconds[-1] / gemm, "bandwidth": moved / seconds[-1] / bandwidth}
    print(
        f"limits measured: GEMM {gemm / 1e9:.0f} Gflop/s, memory {bandwidth / 1e9:.1f} GB/s; the largest pass takes "
        f"{flops / 1e9:.1f} Gflop and moves {moved / 1e9:.1f} GB: "
        f"{shares['gemm']:.1%} and {shares['bandwidth']:.1%} of them"
    )
    machine.save(
        "wals_scale",
        {"rows": rows, "exponent": exponent, "gemm": gemm, "bandwidth": bandwidth, "shares": shares},
    )


if __name__ == "__main__":
    main()
