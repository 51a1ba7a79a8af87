"""New items of real and of sample data: the tables of `trainer.evaluate` with evaluation.new_items, kept for the docs.

    python -m benchmarks.wals.hidden_items NAME=EVALUATION_JSON ...

Each file is what `trainer.evaluate --output_json` wrote of a dataset with item_features.fields: auto.
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
    new, names = found["new_items"], [f"{metric}@{K}" for metric in ("recall", "ndcg")]
    among = {system: {metric: cells[metric] for metric in names} for system, cells in new["among_new"].items()}
    one_list = {
        group: {system: {metric: cells[metric] for metric in names} for system, cells in systems.items()}
        for group, systems in new["one_list"].items()
    }
    alone = {group: {metric: cells[metric] for metric in names} for group, cells in new["known_alone"].items()}
    settings = {"share": new["share"], "seed": found["settings"]["seed"]}
    return {
        "data": name,
        **settings,
        "items": new["items"],
        "pairs": new["pairs"],
        "among": among,
        "one_list": one_list,
        "known_alone": alone,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="+", metavar="NAME=EVALUATION_JSON")
    pairs = [pair.partition("=") for pair in parser.parse_args().evaluations]
    machine.save("hidden_items", {"k": K, "rows": [row(name, path) for name, _, path in pairs]})


if __name__ == "__main__":
    main()
