"""Passes that a warm start needs to a cold start's loss, and its quality, on two windows a day apart.

    python -m benchmarks.warm_start [--k 32 64 128] [--window_days 30]

Made data (python -m pipeline.sample, its default seed): 3,000 visitors, 600 contents. Yesterday's window is trained
cold; today's cold and, from yesterday's model, warm with the number of sweeps that a night takes (a third of
max_sweeps). Both of today's are measured on what the split held out (each visitor's newest content), the difference
paired by visitor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

from benchmarks import machine
from configs.quiet import import_tensorflow

SETTINGS = {
    "regularization_coeff": 2.0,
    "col_weights_exponent": 0.35,
    "max_sweeps": 20,
}  # those of configs/nightly.yaml


def measure(folder: Path, k: int) -> dict:
    """Losses by pass of both starts, and the recall of both with the interval of their difference."""
    from trainer import evaluate, task

    training = SETTINGS | {"embedding_dimension": k}
    config = folder / f"{k}.json"
    config.write_text(json.dumps({"training": training, "evaluation": {"k": [20], "baselines": ["popularity"]}}))
    before, cold, warm = (str(folder / f"{name}-{k}") for name in ("before", "cold", "warm"))
    today = str(folder / "today")
    for dataset, model, more in (
        (str(folder / "yesterday"), before, []),
        (today, cold, []),
        (today, warm, ["--warm_start", before]),
    ):
        task.main(["--config", str(config), "--dataset_dir", dataset, "--model_dir", model, *more])
    result = folder / f"evaluation-{k}.json"
    flags = ["--dataset_dir", today, "--model_dir", warm, "--against", cold, "--output_json", str(result)]
    evaluate.main(["--config", str(config), *flags])
    found = json.loads(result.read_text())
    losses = {name: _losses(Path(model)) for name, model in (("cold", cold), ("warm", warm))}
    reached = next((place for place, loss in enumerate(losses["warm"], 1) if loss <= losses["cold"][-1]), None)
    return {"losses": losses, "passes": reached, "start": _manifest(Path(warm))["start"], "evaluation": found}


def _manifest(model: Path) -> dict:
    return json.loads((model / "manifest.json").read_text())


def _losses(model: Path) -> list[float]:
    return [sweep["loss"] for sweep in _manifest(model)["history"]][1::2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--window_days", type=int, default=30)
    args = parser.parse_args()
    import_tensorflow()
    from pipeline import preprocess
    from pipeline.sample.__main__ import main as sample

    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(io.StringIO()):
            size = ["--visitors", "3000", "--contents", "600", "--days", str(args.window_days + 1), "--layouts", "ga4"]
            sample(["--output_dir", str(folder / "export"), *size])
            days = sorted(path.name[7:15] for path in (folder / "export" / "ga4").iterdir())
            days = [day for day in days if day.isdigit()]
            for window, start, end in (("yesterday", days[0], days[-2]), ("today", days[1], days[-1])):
                source = {
                    "kind": "ga4",
                    "input": f"{folder}/export/ga4/*",
                    "start_date": _date(start),
                    "end_date": _date(end),
                }
                tree = {"source": source, "split": {"kind": "last_n"}, "beam": {"runner": "FnApiRunner"}}
                config = folder / f"{window}.json"
                config.write_text(json.dumps(tree))
                preprocess.main(["--config", str(config), "--dataset_dir", str(folder / window)])
            for k in args.k:
                figures[k] = measure(folder, k)
    print(f"{machine.describe()}\n{days[0]} to {days[-2]}, then {days[1]} to {days[-1]}")
    for k, found in figures.items():
        show(k, found)
    machine.save("warm_start", {"by_k": figures})


def show(k: int, found: dict) -> None:
    """A size's figures for people."""
    cold, warm = found["losses"]["cold"], found["losses"]["warm"]
    passes = ", ".join(f"{loss:.2f}" for loss in warm)
    print(f"k {k}: loss {cold[-1]:.2f} after {len(cold)} passes from a cold start; from a warm one {passes}")
    print(
        f"  reached after {found['passes']} passes; carried over {found['start']['users']}, {found['start']['items']}"
    )
    evaluation = found["evaluation"]
    for name in {evaluation["against"]["system"]} & evaluation["differences"].keys():
        for metric in ("recall@20", "ndcg@20"):
            ours, other = (evaluation["systems"][system][metric]["value"] for system in ("WALS", name))
            cell = evaluation["differences"][name][metric]
            interval = f"{cell['value']:+.4f} [{cell['low']:+.4f}, {cell['high']:+.4f}]"
            print(f"  {metric}: warm {ours:.4f}, cold {other:.4f}, difference {interval}")


def _date(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


if __name__ == "__main__":
    main()
