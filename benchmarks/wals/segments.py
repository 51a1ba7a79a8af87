"""Compare a model with the baselines, by groups of visitors, on several data sets, by default and with the term.

    python -m benchmarks.wals.segments [--data "last.fm" ...] [--write]

Each data set is preprocessed, trained and evaluated by the commands, with a source, an input and a split, and nothing
else; then again with `neighbourhood.gamma=auto`, which chooses on a part of train. The last item of each visitor is
held out; of RetailRocket, of its train; a random fifth of each user's items of CiteULike's train, which has no times.
A group counts if it has 100 visitors or more. It is behind if the 95 % interval of the paired difference in recall@20
or NDCG@20 is below zero.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.support import machine
from benchmarks.wals.defaults import DATA

WITH_HOME = "sample, pages with the home page"  # which the preset leaves out
NAMES = (
    "last.fm",
    "sample, articles",
    "sample, shop",
    "sample, pages",
    WITH_HOME,
    "RetailRocket",
    "Google's GA4 shop",
    "CiteULike",
)
BY_TIME = "last.fm, the last day"  # held out: the views of that day, in place of each visitor's last item
LOOKS = (
    "Once per row for its model, those with gamma auto once more since auto compares gamma / sqrt(n); the rows of the "
    "sample's pages twice, with the same figures. Before: by the former rule of equal times, the sample's shop once, "
    "its pages twice, Google's GA4 shop four times; with 128 factors, RetailRocket twice and CiteULike once."
)
WITH_TERM = ", gamma auto"
CHOICES = tuple(name + term for name in (*NAMES, BY_TIME) for term in ("", WITH_TERM))


def run(module: str, *flags: str) -> None:
    """Run a command, and end if it fails."""
    subprocess.run([sys.executable, "-m", module, *flags], check=True, stdout=subprocess.DEVNULL, cwd=machine.ROOT)


def flags_of(name: str, folder: Path) -> list[str]:
    """Return the flags of a data set; amounts of a table are what a dwell is, not ratings."""
    if name == BY_TIME:
        return [*DATA["last.fm"](folder)[:-1], "--split=time", "--set", "split.time=2024-01-07"]
    if name == WITH_HOME:
        return [*DATA["sample, pages"](folder), "--set", "source.page.exclude=[]"]
    return [flag.replace("rating_column", "duration_column") for flag in DATA[name](folder)]


def dataset_of(data: str) -> Path:
    """Return the directory of a data set with what it holds out, which is made if it is not there; its config is next
    to it."""
    folder = machine.output() / "segments" / "".join(letter if letter.isalnum() else "_" for letter in data)
    folder.mkdir(parents=True, exist_ok=True)
    config, dataset = folder / "config.yaml", folder / "dataset"
    config.write_text("source: {kind: ga4, item_parameter: content_id}\n")
    if not dataset.exists():
        paths = [f"--config={config}", f"--dataset_dir={dataset}"]
        run("pipeline.preprocess", *paths, *flags_of(data, folder), "--runner=FnApiRunner")
    return dataset


def evaluation(name: str, *flags: str) -> dict[str, Any]:
    """Return the evaluation of a data set; flags: more of them for wals evaluate."""
    data = name.removesuffix(WITH_TERM)
    dataset = dataset_of(data)
    folder = dataset.parent
    figures, model = folder / "evaluation.json", folder / "model"
    paths = [f"--config={folder / 'config.yaml'}", f"--dataset_dir={dataset}"]
    if name != data:
        model = folder / f"model{name.removeprefix(data).replace(' ', '_')}"
    if not model.exists():
        more = ["--set", "neighbourhood.gamma=auto"] if name.endswith(WITH_TERM) else []
        run("trainer.task", *paths, f"--model_dir={model}", *more)
    run("trainer.evaluate", *paths, f"--model_dir={model}", f"--output_json={figures}", *flags)
    return json.loads(figures.read_text())


def summary(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a data set: recall and NDCG of each system, and the groups that are behind."""
    systems = {
        system: {metric: cells[f"{metric}@20"] for metric in ("recall", "ndcg")}
        for system, cells in found["systems"].items()
    }
    sizes = [*found["activity"].values(), *found["segments"].values()]
    verdicts = [verdict for verdict in found["verdicts"] if not verdict["system"].startswith("time")]
    return {
        "data": name,
        "visitors": found["users"],
        "gamma": found["model"]["gamma"],
        "few_items": found["model"]["few_items"],
        "groups": sum(size >= 100 for size in sizes),
        "systems": systems,
        "weak_spots": [spot for verdict in verdicts for spot in verdict["weak_spots"]],
        "trade_offs": [spot for verdict in verdicts for spot in verdict["trade_offs"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=CHOICES, default=CHOICES)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/segments.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.data:
        rows.append(summary(name, evaluation(name)))
        print(json.dumps(rows[-1], indent=1), flush=True)
    if arguments.write:
        path = machine.RESULTS / "segments.json"
        written = json.loads(path.read_text())["rows"] if path.exists() else []
        others = [row for row in written if row["data"] not in arguments.data]
        merged = sorted(others + rows, key=lambda row: CHOICES.index(row["data"]))
        machine.save("segments", {"seed": 42, "looks_at_test": LOOKS, "rows": merged})


if __name__ == "__main__":
    main()
