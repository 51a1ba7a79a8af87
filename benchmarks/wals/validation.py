"""Compare two hold-outs of train by how they agree with later days: the last days of it, and a random fifth.

    python -m benchmarks.wals.validation [--data "last.fm" ...] [--write]

The last days with a fifth of all pairs are the test, as `split.kind: time` makes it. The same settings, drawn at random
from the space of `wals tune --quick` (seed 0), are trained on the rest of train without its last days and without a
random fifth, and on all of train. The figures are the rank correlation (Spearman) of recall@20 on either hold-out with
that on test, over the settings, and what the best settings of either hold-out reach on test. Test chooses nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from benchmarks.wals.defaults import DATA
from configs.settings import TrainingSettings
from configs.settings.search import SearchSettings, ValidationSettings, quick_search
from trainer.inputs import dataset_rows, validation_split
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.tuning.trial import Material, run, settings_of

NAMES = ("last.fm", "sample, articles", "RetailRocket")
TRIALS = 12
LOOKS = "Once per setting, to compare with; RetailRocket's last days before the limit of 500 visitors was set."


def dataset(name: str) -> str:
    """Return the directory of a data set without a split."""
    folder = machine.output() / "validation" / "".join(letter if letter.isalnum() else "_" for letter in name)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dataset").exists():
        config = folder / "config.yaml"
        config.write_text("source: {kind: ga4, item_parameter: content_id}\n")
        flags = [flag.replace("rating_column", "duration_column") for flag in DATA[name](folder)]
        flags = [flag for flag in flags if not flag.startswith("--split")]
        command = [sys.executable, "-m", "pipeline.preprocess", f"--config={config}", f"--dataset_dir={folder}/dataset"]
        subprocess.run([*command, *flags, "--runner=FnApiRunner"], check=True, stdout=subprocess.DEVNULL)
    return f"{folder}/dataset"


def draw(search: SearchSettings) -> list[dict[str, float]]:
    """Return settings from the space, the first of which are the defaults."""
    rng, drawn = np.random.default_rng(0), list[dict[str, float]]([{}])
    while len(drawn) < TRIALS:
        bounds = {key: values.bounds for key, values in search.space.items()}
        uniform: Callable[..., float] = rng.uniform
        drawn.append(
            {
                key: float(np.exp(uniform(*np.log(bounds[key]))) if search.space[key].log else uniform(*bounds[key]))
                for key in bounds
            }
        )
    return drawn


def measured(info: DatasetInfo, parts: validation_split.Split, search: SearchSettings) -> list[float]:
    """Return recall@20 with each of the drawn settings after the last pass."""
    material, found = Material(info, parts), []
    for params in draw(search):
        training, rating = settings_of(params, TrainingSettings(), material)
        found.append(run(material, training, rating, search, lambda *_: None, to_the_end=True).value)
    return found


def compare(name: str) -> dict[str, Any]:
    """Return the row of a data set."""
    info, search = dataset_rows.read_info(dataset(name)), quick_search()
    blocks = info.row_files(Dataset(info.root).items_for_user).load()
    rows, days = SparseRows.stacked(blocks, info.users), dataset_rows.view_days(info, blocks)
    assert days is not None
    outer = validation_split.by_time(rows, days, ValidationSettings())
    assert outer is not None and outer.cut is not None
    train = outer.train
    parts = {
        "time": validation_split.by_time(train, days[days < outer.cut], ValidationSettings()),
        "random": validation_split.split(train, ValidationSettings()),
    }
    test = measured(info, outer, search)
    row: dict[str, Any] = {"data": name, "test": str(outer), "defaults": test[0], "best_on_test": max(test)}
    for kind, part in parts.items():
        assert part is not None
        found = measured(info, part, search)
        row[kind] = {"held_out": str(part), "correlation": float(spearmanr(found, test).statistic)}
        row[kind]["chosen"] = test[int(np.argmax(found))]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/validation.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.data:
        rows.append(compare(name))
        print(json.dumps(rows[-1], indent=1), flush=True)
        if arguments.write:
            path = machine.RESULTS / "validation.json"
            written = json.loads(path.read_text())["rows"] if path.exists() else []
            others = [row for row in written if row["data"] not in {row["data"] for row in rows}]
            machine.save("validation", {"seed": 0, "looks_at_test": LOOKS, "trials": TRIALS, "rows": others + rows})


if __name__ == "__main__":
    main()
