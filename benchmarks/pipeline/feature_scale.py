"""Features of many items and of very many tags in preprocessing: seconds, peak memory, and what was left out.

    python -m benchmarks.pipeline.feature_scale [--thousands 1000] [--write]

Made data (seed 0): each item has one view and 20 tags, drawn by a law of popularity from as many distinct tags as there
are items, and one of its own, so that there are twice as many. The first run has the default limit of values with a
feature, the second one has a limit of a million. The job runs as a user starts it, imports included. A run without
features shows what these add.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support import machine, processes

TAGS, VISITORS = 20, 1000
RUNS = {"without features": None, "the default limit": 16_384, "a limit of a million": 1_000_000}


def write_tables(folder: Path, items: int) -> None:
    """Write the views and the catalogue of a made site."""
    rng, names = np.random.default_rng(0), np.char.add("item ", np.arange(items).astype(str))
    visitors = np.char.add("visitor ", (np.arange(items) % VISITORS).astype(str))
    pq.write_table(pa.table({"visitorId": visitors, "contentId": names}), folder / "views.parquet")
    chances = np.cumsum(1 / np.arange(10, items + 10))
    columns = pa.schema([("contentId", "string"), ("tags", "string")])
    with pq.ParquetWriter(folder / "catalogue.parquet", columns) as out:
        for start in range(0, items, 50_000):
            part = names[start : start + 50_000]
            drawn = np.searchsorted(chances, rng.random((len(part), TAGS - 1)) * chances[-1])
            tags = [
                "|".join([f"own {start + row}", *(f"tag {tag}" for tag in own)])
                for row, own in enumerate(drawn.tolist())
            ]
            out.write_table(pa.table({"contentId": part, "tags": tags}))


def measure(folder: Path, name: str, limit: int | None) -> dict:
    """Return the figures of one run."""
    dataset = folder / name.replace(" ", "_")
    config = {
        "source": {"kind": "table", "input": str(folder / "views.parquet")},
        "rating": {"kind": "binary"},
        "beam": {"runner": "FnApiRunner"},
        "dataset_dir": str(dataset),
    }
    if limit:
        config |= {"catalogue": str(folder / "catalogue.parquet")}
        config |= {"item_features": {"fields": "auto", "max_values": limit, "min_items": 1}}
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    used = processes.run([sys.executable, "-m", "wals", "preprocess", "--config", str(path)])
    features = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))["item_features"]
    found = {"run": name, **used}
    if limit:
        found |= {"features": features["width"], "dropped": features["fields"][0]["dropped"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thousands", type=int, default=1000, help="thousands of items")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/feature_scale.json")
    arguments = parser.parse_args()
    items, rows = arguments.thousands * 1000, []
    with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
        write_tables(Path(folder), items)
        for name, limit in RUNS.items():
            rows.append(measure(Path(folder), name, limit))
            print(rows[-1], flush=True)
    if arguments.write:
        machine.save("feature_scale", {"seed": 0, "items": items, "tags_per_item": TAGS, "rows": rows})


if __name__ == "__main__":
    main()
