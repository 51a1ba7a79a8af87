"""Compare a config with a source and an input, and nothing else, with the shipped configs, on four data sets.

    python -m benchmarks.wals.minimal [--data "last.fm" ...] [--write]

The data are last.fm and the sample's three layouts, with the last item of each visitor held out by a flag. Three models
are trained on the dataset of the minimal config:

- minimal: by that config.
- shipped: by `configs/local.yaml`, which sets nothing about ratings and training. It must have the same factors, bit
  for bit.
- repeated: by the settings that the shipped configs repeated while the code had other defaults.

Differences are minimal minus repeated, per visitor, with 95 % intervals. The defaults were chosen on the same hold-outs
(`benchmarks.wals.defaults`), which this reads once more.
"""

from __future__ import annotations

import argparse
import filecmp
import json
from pathlib import Path
from typing import Any

from artifacts.paths import Model
from benchmarks.support import machine
from benchmarks.wals.defaults import DATA
from benchmarks.wals.segments import run

NAMES = ("last.fm", "sample, articles", "sample, shop", "sample, pages")
REPEATED = {
    "embedding_dimension": 128,
    "unobserved_weight": 0.1,
    "regularization_coeff": 4.0,
    "col_weights_exponent": 0.35,
    "max_sweeps": 20,
}
METRICS = ("recall", "ndcg")
LOOKS = "Once per row; the same hold-outs chose the defaults."


def minimal_config(flags: list[str]) -> str:
    """Return the YAML of a config that has the kind or the preset of a source, and its input."""
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    kind = f"preset: {given['preset']}" if "preset" in given else f"kind: {given['source']}"
    return f"source:\n  {kind}\n  input: {given['input']}\n"


def same_factors(one: str, other: str) -> bool:
    """Return whether two models have the same factors, byte for byte."""
    pairs = []
    for prefix in (Model(one).user_factors, Model(one).item_factors):
        files = sorted(Path(prefix).parent.glob(f"{Path(prefix).name}-*"))
        pairs += [(file, Path(other) / file.relative_to(one)) for file in files]
    return bool(pairs) and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def compare(name: str) -> dict[str, Any]:
    """Return the row of a data set."""
    folder = machine.output() / "minimal" / "".join(letter if letter.isalnum() else "_" for letter in name)
    folder.mkdir(parents=True, exist_ok=True)
    config, dataset, figures = folder / "config.yaml", folder / "dataset", folder / "evaluation.json"
    if not dataset.exists():
        config.write_text(minimal_config(DATA[name](folder)))
        run("pipeline.preprocess", f"--config={config}", f"--dataset_dir={dataset}", "--split=last_n",
            "--runner=FnApiRunner")  # fmt: skip
    repeated = [part for key, value in REPEATED.items() for part in ("--set", f"training.{key}={value}")]
    configs: dict[str, tuple[Path, list[str]]] = {
        "minimal": (config, []),
        "shipped": (machine.ROOT / "configs" / "local.yaml", []),
        "repeated": (config, repeated),
    }
    models = {}
    for kind, (path, more) in configs.items():
        models[kind] = f"{folder}/{kind}"
        run("trainer.task", f"--config={path}", f"--dataset_dir={dataset}", f"--model_dir={models[kind]}", *more,
            "--replace")  # fmt: skip
    run("trainer.evaluate", f"--config={config}", f"--dataset_dir={dataset}", f"--model_dir={models['minimal']}",
        f"--against={models['repeated']}", f"--output_json={figures}")  # fmt: skip
    found = json.loads(figures.read_text())
    row: dict[str, Any] = {"data": name, "visitors": found["users"]}
    row["same_as_shipped"] = same_factors(models["minimal"], models["shipped"])
    other = found["against"]["system"]
    for metric in METRICS:
        cell = f"{metric}@20"
        row[metric] = {"minimal": found["systems"]["WALS"][cell], "repeated": found["systems"][other][cell]}
        row[metric]["difference"] = found["differences"][other][cell]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--write", action="store_true", help="put the figures in place of these in minimal.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.data:
        rows.append(compare(name))
        print(json.dumps(rows[-1], indent=1), flush=True)
    if arguments.write:
        path = machine.RESULTS / "minimal.json"
        written = json.loads(path.read_text())["rows"] if path.exists() else []
        others = [row for row in written if row["data"] not in arguments.data]
        merged = sorted(others + rows, key=lambda row: NAMES.index(row["data"]))
        machine.save("minimal", {"seed": 42, "looks_at_test": LOOKS, "repeated": REPEATED, "rows": merged})


if __name__ == "__main__":
    main()
