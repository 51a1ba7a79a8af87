"""Visitors without views of real data: the tables of `wals evaluate` with evaluation.new_visitors, kept for the docs.

    python -m benchmarks.wals.hidden_visitors NAME=EVALUATION_JSON ...

Each file is what `wals evaluate --output_json` wrote of a dataset with user_features.fields: auto.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.support import machine

K = 20


def row(name: str, path: str) -> dict:
    """Return the figures of one evaluation at K."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    new, names = found["new_visitors"], [f"{metric}@{K}" for metric in ("recall", "ndcg")]

    def at_k(systems: dict) -> dict:
        return {system: {metric: cells[metric] for metric in names} for system, cells in systems.items()}

    return {
        "data": name,
        "share": new["share"],
        "seed": found["settings"]["seed"],
        "visitors": new["visitors"],
        "pairs": new["pairs"],
        "systems": at_k(new["systems"]),
        "over_popularity": at_k(new["over_popularity"]),
        "after_one_view": at_k(new["after_one_view"]),
        "gain_after_one_view": {metric: new["gain_after_one_view"].get(metric) for metric in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="+", metavar="NAME=EVALUATION_JSON")
    pairs = [pair.partition("=") for pair in parser.parse_args().evaluations]
    machine.save("hidden_visitors", {"k": K, "rows": [row(name, path) for name, _, path in pairs]})


if __name__ == "__main__":
    main()
