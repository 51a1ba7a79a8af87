"""Measure what diversity costs: lists by MMR for several lambdas, on three data sets, by each visitor's last item.

    python -m benchmarks.wals.diversity [--data "last.fm" ...] [--write]

The datasets and models are those of benchmarks.wals.segments: a source, an input, a split and the defaults. Nothing is
chosen by these figures; lambda is unset by default.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.support import machine
from benchmarks.wals import segments
from trainer.evaluation.baselines import WALS

NAMES = ("last.fm", "sample, articles", "Google's GA4 shop")
LAMBDAS = (0.9, 0.8, 0.7, 0.5, 0.3)
METRICS = ("recall", "ndcg", "ils", "coverage", "novelty")


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return a row per lambda, unset first."""
    found = segments.evaluation(name, "--set", f"evaluation.mmr_lambda={json.dumps(LAMBDAS)}")
    lists = {"unset": found["systems"][WALS], **found["diversity"]}
    return [
        {"data": name, "visitors": found["users"], "lambda": weight}
        | {metric: cells[f"{metric}@20"] for metric in METRICS}
        for weight, cells in lists.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/diversity.json")
    arguments = parser.parse_args()
    rows = [row for name in arguments.data for row in rows_of(name)]
    for row in rows:
        print(row["data"], row["lambda"], *(f"{metric} {row[metric]['value']:.4f}" for metric in METRICS), sep=", ")
    if arguments.write:
        machine.save("diversity", {"seed": 42, "candidates": 100, "rows": rows})


if __name__ == "__main__":
    main()
