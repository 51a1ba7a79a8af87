"""New items of real and of made data: the tables of `wals evaluate` with `evaluation.new_items`, kept for the docs.

    python -m benchmarks.wals.hidden_items [--data "Google's GA4 shop" ...] [--write]

Every data set becomes a dataset with `item_features.fields: auto` and a model by the commands, with the default
settings otherwise. Then a tenth of its items is hidden, and a fifth of what visitors have of the others is held out,
before a second training. Of CiteULike the published train is read, and neither vali nor test.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.support import machine
from benchmarks.wals.defaults import DATA
from benchmarks.wals.segments import run

SHARE, SHOWN = 0.1, ("recall@5", "recall@20", "ndcg@20")
CASES = {"the sample magazine": "sample, articles", "Google's GA4 shop": "Google's GA4 shop", "CiteULike": "CiteULike"}


def attributes_of(data: str, folder: Path) -> list[str]:
    """Return the flags that bring what an export does not have."""
    flags = ["--set", "item_features.fields=auto"]
    if data == "sample, articles":
        return [*flags, f"--catalogue={folder}/export/catalogue.csv"]
    if data != "CiteULike":
        return flags
    tags = pd.read_csv(machine.shared_data() / "citeulike" / "tags.csv.gz", dtype=str)
    tags["tags"] = tags["tags"].fillna("").str.split("|")
    tags.to_json(folder / "tags.jsonl", orient="records", lines=True)
    return [*flags, f"--catalogue={folder}/tags.jsonl"]


def prepared(data: str) -> Path:
    """Make `dataset` and `model` in a folder of a data set, unless they are there; return the folder."""
    folder = machine.output() / "hidden_items" / "".join(letter if letter.isalnum() else "_" for letter in data)
    folder.mkdir(parents=True, exist_ok=True)
    config, dataset, model = folder / "config.yaml", folder / "dataset", folder / "model"
    config.write_text("source: {kind: ga4, item_parameter: content_id}\n")
    if not dataset.exists():
        flags = [flag.replace("rating_column", "duration_column") for flag in DATA[data](folder)]
        more = [*flags, *attributes_of(data, folder)]
        run("pipeline.preprocess", f"--config={config}", f"--dataset_dir={dataset}", *more)
    if not model.exists():
        run("trainer.task", f"--config={config}", f"--dataset_dir={dataset}", f"--model_dir={model}")
    return folder


def evaluation(data: str) -> dict[str, Any]:
    """Return the evaluation of a data set."""
    folder, shown = prepared(data), f"evaluation.new_items={SHARE}"
    paths = [f"--config={folder}/config.yaml", f"--dataset_dir={folder}/dataset", f"--model_dir={folder}/model"]
    run("trainer.evaluate", *paths, f"--output_json={folder}/evaluation.json", "--set", shown)
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))


def row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one evaluation."""
    new = found["new_items"]

    def shown(systems: dict) -> dict:
        return {system: {metric: cells[metric] for metric in SHOWN} for system, cells in systems.items()}

    return {
        "data": name,
        "share": new["share"],
        "seed": found["settings"]["seed"],
        "items": new["items"],
        "pairs": new["pairs"],
        "reach": new["reach"],
        "among": shown(new["among_new"]),
        "one_list": {group: shown(systems) for group, systems in new["one_list"].items()},
        "known_alone": shown(new["known_alone"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/hidden_items.json")
    arguments, rows = parser.parse_args(), []
    for name in arguments.data:
        rows.append(row(name, evaluation(CASES[name])))
        print(json.dumps(rows[-1], indent=1), flush=True)
    if arguments.write:
        path = machine.RESULTS / "hidden_items.json"
        others = [some for some in json.loads(path.read_text())["rows"] if some["data"] not in arguments.data]
        names = list(CASES)
        machine.save("hidden_items", {"rows": sorted(rows + others, key=lambda some: names.index(some["data"]))})


if __name__ == "__main__":
    main()
