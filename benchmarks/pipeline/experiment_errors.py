"""Errors of experiments, over simulated ones whose truth is known: A/A tests, mismatched splits, true effects.

    python -m benchmarks.pipeline.experiment_errors [--seeds 200] [--splits 10] [--tests 1000] [--visitors 1000]

An A/A test has two variants that attract alike. The visitors of `--seeds` of them are split by `--splits` salts, each
read once at the end: a share of 200 tests has a standard error of 1.5 %, so one salt alone tells 5 % from 8 % hardly.
`--tests` seeds are read with one salt, and the first `--seeds` of them at the end of each day, too. A mismatch is made
by losing the tracking of a share of one variant's visitors. All intervals are of 95 %.
"""

from __future__ import annotations

import argparse
import math

from benchmarks.support import machine
from ranking.experiments import statistics
from tests.support.experiment_trials import DAYS, rejects, trial

LIFT, LOST = 0.3, 0.25


def main() -> None:
    """Run all seeds and write benchmarks/results/experiment_errors.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--visitors", type=int, default=1000)
    args = parser.parse_args()
    seeds, given = range(args.seeds), {"visitors": args.visitors, "planned": args.visitors}
    tests = [trial(seed, **given) for seed in range(args.tests)]
    looks = [[trial(seed, days=day, **given) for day in range(1, DAYS)] + [tests[seed]] for seed in seeds]
    again = [trial(seed, salt=salt, **given) for seed in seeds for salt in range(1, args.splits)]
    lifted = [trial(seed, lift=LIFT, **given) for seed in seeds]
    broken = [trial(seed, lost=LOST, **given) for seed in seeds]
    rows = []
    for metric in looks[0][-1].variants["b"].differences:
        found = {
            "read once, all splits": [rejects(one, metric) for one in (*(days[-1] for days in looks), *again)],
            "read once, one split": [rejects(days[-1], metric) for days in looks],
            "read once, all tests": [rejects(one, metric) for one in tests],
            "looked at daily": [any(rejects(day, metric) for day in days) for days in looks],
            "looked at daily, always valid": [any(rejects(day, metric, always=True) for day in days) for days in looks],
            f"with a lift of {LIFT:.0%}": [rejects(one, metric) for one in lifted],
            f"with a lift of {LIFT:.0%}, always valid": [rejects(one, metric, always=True) for one in lifted],
        }
        rows.append({"metric": metric} | {name: sum(each) / len(each) for name, each in found.items()})
    mismatches = {
        name: sum(min(one.mismatch.values()) < statistics.MISMATCH for one in each) / args.seeds
        for name, each in (("as asked", [days[-1] for days in looks]), (f"{LOST:.0%} of one variant lost", broken))
    }
    for row in rows:
        print(row)
    print("split called mismatched:", mismatches)
    error = math.sqrt(0.05 * 0.95 / args.seeds)
    about = {"seeds": args.seeds, "splits": args.splits, "tests": args.tests, "visitors": args.visitors, "looks": DAYS}
    about["error"] = error
    machine.save("experiment_errors", about | {"rows": rows, "mismatches": mismatches})


if __name__ == "__main__":
    main()
