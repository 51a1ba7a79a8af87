"""Passes that a warm start needs to a cold start's loss, and its quality, night after night.

    python -m benchmarks.wals.warm_start [--k 32 64 128] [--window_days 30] [--nights 3]

Made data (python -m pipeline.sample, its default seed): 3,000 visitors, 600 items; windows a day apart. The first is
trained cold. Each one after it is trained cold, and warm from the night before, with the number of sweeps that a night
takes (a third of max_sweeps). Both are measured on what the split held out (each visitor's newest item), the
difference paired by visitor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.support import machine
from configs.cli import import_tensorflow

SETTINGS = {
    "regularization_coeff": 2.0,
    "col_weights_exponent": 0.35,
    "max_sweeps": 20,
}  # those of configs/nightly.yaml


def measure(folder: Path, k: int, nights: int) -> list[dict]:
    """Return, for each later night, losses by pass of both starts, and both models' metrics with their difference."""
    from trainer import evaluate, task

    training = SETTINGS | {"embedding_dimension": k}
    config = folder / f"{k}.json"
    config.write_text(json.dumps({"training": training, "evaluation": {"k": [20], "baselines": ["popularity"]}}))

    def train(night: int, name: str, *more: str) -> str:
        model = str(folder / f"{name}-{k}-{night}")
        places = ["--dataset_dir", str(folder / f"window-{night}"), "--model_dir", model]
        task.main(["--config", str(config), *places, *more])
        return model

    warm, found = train(0, "warm"), []
    for night in range(1, nights + 1):
        cold, warm = train(night, "cold"), train(night, "warm", "--warm_start", warm)
        result = folder / "evaluation.json"
        flags = ["--dataset_dir", str(folder / f"window-{night}"), "--model_dir", warm, "--against", cold]
        evaluate.main(["--config", str(config), *flags, "--output_json", str(result)])
        losses = {"cold": _losses(Path(cold)), "warm": _losses(Path(warm))}
        reached = next((place for place, loss in enumerate(losses["warm"], 1) if loss <= losses["cold"][-1]), None)
        start, evaluation = _manifest(Path(warm))["start"], json.loads(result.read_text())
        found.append({"losses": losses, "passes": reached, "start": start, "evaluation": evaluation})
    return found


def _manifest(model: Path) -> dict:
    return json.loads((model / "manifest.json").read_text())


def _losses(model: Path) -> list[float]:
    return [sweep["loss"] for sweep in _manifest(model)["history"]][1::2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--window_days", type=int, default=30)
    parser.add_argument("--nights", type=int, default=3, help="after the first, which is always cold")
    args = parser.parse_args()
    import_tensorflow()
    from pipeline import preprocess
    from pipeline.sample import main as sample

    figures, more = {}, args.window_days + args.nights
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(io.StringIO()):
            size = ["--visitors", "3000", "--items", "600", "--days", str(more), "--layouts", "ga4"]
            sample(["--output_dir", str(folder / "export"), *size])
            days = sorted(path.name[7:15] for path in (folder / "export" / "ga4").glob("events_2*"))
            for night in range(args.nights + 1):
                window = {"start_date": _date(days[night]), "end_date": _date(days[night + args.window_days - 1])}
                source = {"kind": "ga4", "input": f"{folder}/export/ga4/*"} | window
                config = folder / f"window-{night}.json"
                split = {"kind": "last_n"}
                config.write_text(json.dumps({"source": source, "split": split, "beam": {"runner": "FnApiRunner"}}))
                preprocess.main(["--config", str(config), "--dataset_dir", str(folder / f"window-{night}")])
        print(f"{machine.describe()}\n{args.nights} nights, windows of {args.window_days} days from {_date(days[0])}")
        for k in args.k:
            with contextlib.redirect_stdout(io.StringIO()):
                figures[k] = measure(folder, k, args.nights)
            for night, found in enumerate(figures[k], 1):
                show(k, night, found)
    measured = list(rows(figures, args.nights))
    machine.save(f"warm_start_{args.nights}", {"window_days": args.window_days, "rows": measured})


def rows(figures: dict[int, list[dict]], nights: int) -> Iterator[dict]:
    """Yield the figures of each k and night as the documentation shows them."""
    for k, found in figures.items():
        for night, measured in enumerate(found, 1):
            cold, warm = measured["losses"]["cold"], measured["losses"]["warm"]
            evaluation = measured["evaluation"]
            cell = evaluation["differences"][evaluation["against"]["system"]]["recall@20"]
            yield {
                "k": k,
                "night": night,
                "nights": nights,
                "cold_loss": cold[-1],
                "warm_losses": warm,
                "reached_after": measured["passes"],
                "recall_difference": [cell["value"], cell["low"], cell["high"]],
            }


def show(k: int, night: int, found: dict) -> None:
    """Print a night's figures."""
    cold, warm = found["losses"]["cold"], found["losses"]["warm"]
    passes = ", ".join(f"{loss:.2f}" for loss in warm)
    print(f"k {k}, night {night}: cold loss {cold[-1]:.2f} after {len(cold)} passes; warm {passes}")
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
