"""Share of the intervals of an outcome that contain the truth, over simulated days whose truth is known.

    python -m benchmarks.pipeline.outcome_coverage [--seeds 200] [--visitors 450]

Each seed draws visitors with tastes of their own, whose lists are shown with a bias for the first positions, and in
which rule and rank go together; seeds take GA4 and GA360 in turn. The truth follows from their habits; that of the hit
rates is of 150,000 visitors.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict

from benchmarks.support import machine
from tests.support.outcome_coverage import DAYS, HABITS, LENGTHS, trial


def main() -> None:
    """Run all seeds and write benchmarks/results/outcome_coverage.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--visitors", type=int, default=450)
    args = parser.parse_args()
    covered, sums, truths = Counter[str](), defaultdict[str, float](float), dict[str, float]()
    for seed in range(args.seeds):
        for name, figure in trial(seed, args.visitors, kind=("ga4", "ga360")[seed % 2]).items():
            covered[name] += figure.covers
            sums[name] += figure.estimate.value or 0.0
            truths[name] = float(figure.truth)
    rows = [
        {"figure": name, "truth": truth, "mean": sums[name] / args.seeds, "covered": covered[name] / args.seeds}
        for name, truth in truths.items()
    ]
    whole = sum(covered.values()) / args.seeds / len(truths)
    error = math.sqrt(0.95 * 0.05 / args.seeds)
    for row in rows:
        print(f"{row['figure']:36} truth {row['truth']:.4f} mean {row['mean']:.4f} covered {row['covered']:.3f}")
    print(f"all: {whole:.4f} of the 95 % intervals contain the truth; one figure's share is known to {2 * error:.3f}")
    habits = {"days": DAYS, "attraction": HABITS.attraction, "examination": HABITS.examination, "lengths": LENGTHS}
    size = {"seeds": args.seeds, "visitors": args.visitors, "confidence": 0.95}
    machine.save("outcome_coverage", {**size, "habits": habits, "covered": whole, "rows": rows})


if __name__ == "__main__":
    main()
