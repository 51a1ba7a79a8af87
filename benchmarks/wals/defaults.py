"""Compare each default setting of rating and training with others on nine data sets, by a hold-out in their train.

    python -m benchmarks.wals.defaults [--data lastfm ga4_shop ...] [--write]

Every data set becomes a dataset through `pipeline.preprocess`, with the amounts as ratings and the last item of each
visitor held out (a random fifth where the data has no times). The defaults of the code are trained first, then each
alternative alone: one setting is changed at a time. No published test part is read. Gowalla is a sample of its users.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from configs.settings import RatingSettings, TrainingSettings
from trainer import WALSMatrixFactorization
from trainer.als.weights import by_frequency
from trainer.evaluation import metrics
from trainer.evaluation.metrics import FactorMetrics
from trainer.inputs import dataset_rows

K, LOOKS = 20, "None: what is held out is of each train."
ALTERNATIVES: dict[str, tuple] = {
    "scale": (0.3, 1.0, 10.0),
    "weight": ("none", "log"),
    "embedding_dimension": (32, 64, 128, 256),
    "regularization_coeff": (1.0, 2.0, 4.0, 8.0),
    "unobserved_weight": (0.03, 0.3),
    "col_weights_exponent": (0.0, 0.2, 0.5),
    "row_weights_exponent": (0.25,),
    "max_sweeps": (8,),
}


def _ga360_lastfm(folder: Path) -> list[str]:
    shared = machine.shared_data()
    return ["--source=ga360", f"--input={shared}/lastfm/ga360/ga_sessions_*", "--split=last_n"]


def _sample(layout: str) -> Callable[[Path], list[str]]:
    def flags(folder: Path) -> list[str]:
        command = [sys.executable, "-m", "pipeline.sample", f"--output_dir={folder}/export", "--layouts", layout]
        subprocess.run([*command, "--replace"], check=True, stdout=subprocess.DEVNULL)
        source = ["--source=ga360"] if layout == "ga360" else [f"--preset={layout}"]
        name = "ga_sessions_*" if layout.startswith("ga360") else "events_*"
        return [*source, f"--input={folder}/export/{layout}/{name}", "--split=last_n"]

    return flags


def _google(preset: str, file: str) -> Callable[[Path], list[str]]:
    return lambda folder: [f"--preset={preset}", f"--input={machine.shared_data()}/google/{file}", "--split=last_n"]


def _table(folder: Path, pairs: pd.DataFrame, *flags: str) -> list[str]:
    with gzip.open(folder / "pairs.csv.gz", "wt") as file:
        pairs.to_csv(file, index=False)
    columns = ["--set", "source.visitor_column=visitorId", "--set", "source.item_column=contentId"]
    return [
        "--source=table",
        f"--input={folder}/pairs.csv.gz",
        *columns,
        "--set",
        "source.rating_column=amount",
        *flags,
    ]


def _retailrocket(folder: Path) -> list[str]:
    root, weights = machine.shared_data() / "retailrocket", {"view": 1, "cart": 4, "buy": 10}
    events = pd.concat(pd.read_csv(root / f"{kind}.csv.gz").assign(amount=weight) for kind, weight in weights.items())
    pairs = events.groupby(["visitorId", "contentId"], as_index=False).agg({"amount": "sum", "time": "max"})
    return _table(folder, pairs, "--set", "source.time_column=time", "--split=last_n")


def _citeulike(folder: Path) -> list[str]:
    pairs = pd.read_csv(machine.shared_data() / "citeulike" / "train.csv.gz").assign(amount=1)
    return _table(folder, pairs, "--split=random")


def _gowalla(folder: Path) -> list[str]:
    pairs = pd.read_csv(machine.shared_data() / "gowalla" / "train.csv.gz")
    pairs.columns = pd.Index(["visitorId", "contentId"])
    return _table(folder, pairs[pairs.visitorId % 3 == 0].assign(amount=1), "--split=random")


DATA: dict[str, Callable[[Path], list[str]]] = {
    "last.fm": _ga360_lastfm,
    "sample, articles": _sample("ga360"),
    "sample, shop": _sample("ga4_shop"),
    "sample, pages": _sample("ga4_pages"),
    "Google's GA4 shop": _google("ga4_shop", "ga4_events.parquet"),
    "Google's GA360 pages": _google("ga360_pages", "ga360_sessions_20170801.parquet"),
    "RetailRocket": _retailrocket,
    "CiteULike": _citeulike,
    "Gowalla, a third": _gowalla,
}
DWELL = ("last.fm", "sample, articles", "sample, pages", "Google's GA360 pages")


def amounts(name: str) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return the amounts to train on and the held-out ones, float32 [users, items]."""
    folder = machine.output() / "defaults" / "".join(letter if letter.isalnum() else "_" for letter in name)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text("source: {kind: ga4, item_parameter: content_id}\n")
    if not (folder / "dataset").exists():
        flags = ["--set", "rating.kind=linear", "--set", "rating.weight=none", f"--dataset_dir={folder}/dataset"]
        command = [sys.executable, "-m", "pipeline.preprocess", f"--config={config}", *DATA[name](folder), *flags]
        subprocess.run([*command, "--runner=FnApiRunner"], check=True, stdout=subprocess.DEVNULL)
    info = dataset_rows.read_info(str(folder / "dataset"))
    parts = []
    for prefix in (Dataset(info.root).items_for_user, Dataset(info.root).held_out):
        rows = SparseRows.stacked(info.row_files(prefix).load(), info.users)
        parts.append(sp.csr_matrix((rows.values, rows.indices, rows.indptr), (info.users, info.items)))
    return parts[0], parts[1]


def measure(train: sp.csr_matrix, truth: sp.csr_matrix, changes: dict, dwell: bool) -> FactorMetrics:
    """Train with the defaults and these changes; return recall@20 and NDCG@20."""
    return metrics.of_factors(*fit(train, changes, dwell), SparseRows.from_matrix(truth), SparseRows.from_matrix(train))


def fit(train: sp.csr_matrix, changes: dict, dwell: bool) -> tuple[np.ndarray, np.ndarray]:
    """Train with the defaults and these changes; return the factors of users and items."""
    training = TrainingSettings.model_validate({k: v for k, v in changes.items() if k in TrainingSettings.model_fields})
    scale = changes.get("scale", RatingSettings().factor)
    weight = changes.get("weight", "none" if dwell else "log")
    median = np.median(train.data)
    values, weights = train.copy(), train.copy()
    values.data = np.minimum(1, scale * train.data / median).astype(np.float32)
    weights.data = (np.log2(1 + train.data / median) if weight == "log" else np.ones(train.nnz)).astype(np.float32)
    users, items = np.diff(train.indptr), np.bincount(train.indices, minlength=train.shape[1])
    model = WALSMatrixFactorization(
        embedding_dimension=training.embedding_dimension,  # auto follows the items
        unobserved_weight=training.unobserved_weight,
        regularization_coeff=training.regularization_coeff,
        row_weights=by_frequency(users, training.row_weights_exponent),
        col_weights=by_frequency(items, training.col_weights_exponent),
        max_sweeps=training.max_sweeps,
        seed=training.seed,
    ).fit(values, entry_weights=weights)
    return model.get_row_factors(), model.get_col_factors()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=sorted(DATA), default=list(DATA))
    parser.add_argument("--settings", nargs="*", choices=sorted(ALTERNATIVES), default=list(ALTERNATIVES))
    parser.add_argument("--write", action="store_true", help="put the figures in place of these in defaults.json")
    arguments = parser.parse_args()
    rows, sizes = [], {}
    for name in arguments.data:
        train, truth = amounts(name)
        sizes[name] = {"visitors": train.shape[0], "items": train.shape[1], "pairs": train.nnz}
        print(f"{name}: {train.shape[0]:,} x {train.shape[1]:,}, {train.nnz:,} pairs; {machine.describe()}", flush=True)
        tries = [("", None), *((key, value) for key in arguments.settings for value in ALTERNATIVES[key])]
        for key, value in tries:
            started = time.process_time()
            found = measure(train, truth, {key: value} if key else {}, name in DWELL)
            rows.append({"data": name, "setting": key, "value": value, "recall": found.recall, "ndcg": found.ndcg})
            spent = time.process_time() - started
            print(
                f"  {key or 'defaults':24s} {value or '':<6} {found.recall:.4f} {found.ndcg:.4f} {spent:6.1f} s",
                flush=True,
            )
    if arguments.write:
        path = machine.RESULTS / "defaults.json"
        written = json.loads(path.read_text()) if path.exists() else {"sizes": {}, "rows": []}
        own = {(row["data"], row["setting"]) for row in rows}
        merged = [row for row in written["rows"] if (row["data"], row["setting"]) not in own] + rows
        order, settings = list(DATA), ["", *ALTERNATIVES]
        merged.sort(key=lambda row: (order.index(row["data"]), settings.index(row["setting"])))
        figures = {"seed": TrainingSettings().seed, "looks_at_test": LOOKS, "sizes": written["sizes"] | sizes}
        machine.save("defaults", figures | {"rows": merged})


if __name__ == "__main__":
    main()
