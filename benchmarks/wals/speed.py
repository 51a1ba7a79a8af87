"""Seconds a pass and a whole fit on Gowalla, against implicit, in one run.

    python -m benchmarks.wals.speed --peer PYTHON_WITH_IMPLICIT [--k 64 128] [--exact 256] [--large 1024]

Objective, start and workers: `benchmarks/wals/sides.py`. The sides take turns. Seconds a pass are the median over all
rounds of the passes after a run's first; a whole fit starts with nothing compiled. The loss of both is computed by one
function, in float64.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile

from benchmarks.support import data, machine
from benchmarks.wals.sides import CONFIDENCE, LAMBDA, START, Job

COLUMNS = "   k  side        s a pass   whole fit      CPU s   loss          solver"


def compare(peer: str, rounds: int, k: int, passes: int, solver: str, peer_solver: str, steps: int = 3) -> dict:
    """Both sides in turn, `rounds` times: each side's medians, and the ratios ours / implicit."""
    path = str(machine.output() / "gowalla-train.npz")
    jobs = {
        "ours": Job("ours", path, k, passes, solver, steps),
        "implicit": Job("implicit", path, k, passes, peer_solver),
    }
    runs: dict[str, list[dict]] = {side: [] for side in jobs}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            runs["ours"].append(jobs["ours"].run(sys.executable, fresh_cache=cache))
        runs["implicit"].append(jobs["implicit"].run(peer))
    found = {"k": k, "passes": passes, "rounds": rounds}
    for side, done in runs.items():
        found[side] = {
            "pass_s": statistics.median(second for run in done for second in run["passes"][1:]),
            "whole_s": statistics.median(run["whole"] for run in done),
            "cpu_s": statistics.median(run["cpu"] for run in done),
            "loss": statistics.median(run["loss"] for run in done),
            "solver": done[0]["solver"],
        }
        print(
            "{k:4d}  {side:9s} {pass_s:10.3f} {whole_s:11.2f} {cpu_s:10.1f}   {loss:<12.7g}  {solver}".format(
                k=k, side=side, **found[side]
            )
        )
    ours, other = found["ours"], found["implicit"]
    found["ratio"] = {name: ours[name] / other[name] for name in ("pass_s", "whole_s", "cpu_s", "loss")}
    print(
        "      ratio     {pass_s:10.3f} {whole_s:11.2f} {cpu_s:10.2f}   {loss:<12.6f}".format(**found["ratio"]),
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has implicit")
    parser.add_argument("--k", type=int, nargs="*", default=[64, 128], help="15 passes, against implicit's default CG")
    parser.add_argument("--exact", type=int, nargs="*", default=[256], help="3 passes, against use_cg=False")
    parser.add_argument("--large", type=int, nargs="*", default=[1024], help="block descent, 3 passes, against CG")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large_rounds", type=int, default=1, help="of the exact and the large ones, which take long")
    parser.add_argument("--steps", type=int, default=3, help="of our conjugate gradient")
    arguments = parser.parse_args()
    data.gowalla("train")
    print(f"Gowalla, seed 1, confidence {CONFIDENCE}, lambda {LAMBDA}, start {START}/sqrt(k)")
    print(f"{machine.describe()}\n{COLUMNS}")
    peer, few = arguments.peer, arguments.large_rounds
    rows = [compare(peer, arguments.rounds, k, 15, "auto", "cg", arguments.steps) for k in arguments.k]
    rows += [compare(peer, few, k, 3, "cholesky", "exact") for k in arguments.exact]
    rows += [compare(peer, few, k, 3, solver, "cg") for k in arguments.large for solver in ("block", "auto")]
    machine.save("wals_speed", {"rows": rows})


if __name__ == "__main__":
    main()
