"""Seconds and memory of `trainer.evaluate` on a made site of any size: is it bounded?

    python -m benchmarks.wals.evaluate_scale [--visitors 250000 1000000] [--items 50000] [--k 64]

About 16 items a visitor, popular ones more often (seed 0), a tenth held out; factors at random, since their quality
costs nothing. The time is that of the whole command in a process of its own, with popularity and item kNN next to it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import names as features
from artifacts import tfrecords
from artifacts.checksums import describe_bytes
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset, Model, shard_name
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from tests.support.manifests import dataset_manifest, model_manifest

SHARDS, DRAWS, HELD = 8, 18, 0.1


def make_dataset(dataset: Dataset, visitors: int, items: int) -> DatasetManifest:
    """Write the part of a dataset that an evaluation reads, and return its manifest."""
    rng = np.random.default_rng(0)
    chances = np.cumsum(1 / np.arange(10, items + 10))
    files, popular = {}, np.zeros(items, np.int64)
    for shard in range(SHARDS):
        keys = np.arange(shard, visitors, SHARDS)
        drawn = np.searchsorted(chances, rng.random((len(keys), DRAWS)) * chances[-1])
        drawn.sort(axis=1)
        new = np.diff(drawn, axis=1, prepend=-1) > 0
        held = new & (rng.random(new.shape) < HELD)
        held[:, 0] = False  # a visitor keeps one
        for prefix, chosen in ((dataset.items_for_user, new & ~held), (dataset.held_out, held)):
            lengths, flat = chosen.sum(axis=1), drawn[chosen]
            there = lengths > 0
            offsets = np.append(0, np.cumsum(lengths[there]))
            data, bounds = tfrecords.encode(SparseRows(keys[there], offsets, flat, np.ones(len(flat), np.float32)))
            raw, path = tfrecords.frame(data, np.asarray(bounds).tolist()), shard_name(prefix, shard, SHARDS)
            Path(path).write_bytes(raw)
            files[Path(path).name] = describe_bytes(raw, records=int(there.sum()))
            if prefix == dataset.items_for_user:
                popular += np.bincount(flat, minlength=items)
    names = pa.array([f"c{number}" for number in range(items)])
    counts = pa.array(popular)
    columns = {features.CONTENT_ID: names, features.VISITORS: counts, features.POPULARITY: counts.cast(pa.float64())}
    columns[features.RECENT_POPULARITY] = pa.nulls(items, pa.float64())
    pq.write_table(pa.table(columns), dataset.items)
    manifest = dataset_manifest(
        visitors,
        items,
        int(popular.sum()),
        files=files,
        split={"kind": "random"},
        shards={"items_for_user": SHARDS, "users_for_item": SHARDS},
    )
    manifest.write(dataset.manifest)
    return manifest


def make_model(model: Model, sizes: tuple[int, int], k: int, dataset: Dataset, manifest: DatasetManifest) -> None:
    """Write the part of a model that an evaluation reads."""
    rng = np.random.default_rng(1)
    for prefix, size in zip((model.user_factors, model.item_factors), sizes, strict=True):
        Path(prefix).parent.mkdir(parents=True, exist_ok=True)
        for shard in range(SHARDS):
            rows = len(range(shard, size, SHARDS))
            np.save(shard_name(prefix, shard, SHARDS, ".npy"), rng.standard_normal((rows, k), np.float32))
    model_manifest(manifest, dataset.root).write(model.manifest)


def measure(root: Path, visitors: int, items: int, k: int) -> dict[str, float]:
    """Return seconds, CPU seconds and peak memory in GB of one evaluation."""
    dataset, model = Dataset(str(root / "dataset")), Model(str(root / "model"))
    Path(dataset.root).mkdir(parents=True, exist_ok=True)
    make_model(model, (visitors, items), k, dataset, make_dataset(dataset, visitors, items))
    config = root / "config.yaml"
    config.write_text(json.dumps({"dataset_dir": dataset.root, "model_dir": model.root}))
    command = [sys.executable, "-m", "trainer.evaluate", "--config", str(config)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return {
        "seconds": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "gb": used.ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--k", type=int, default=64)
    args = parser.parse_args()
    print(f"{args.items:,} items, k {args.k}; {machine.describe()}")
    print("visitors    seconds   CPU s   peak GB")
    rows = []
    for visitors in args.visitors:
        with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
            row = {"visitors": visitors} | measure(Path(folder), visitors, args.items, args.k)
        print(f"{visitors:9,d} {row['seconds']:9.1f} {row['cpu']:7.0f} {row['gb']:9.2f}", flush=True)
        rows.append(row)
    machine.save("evaluate_scale", {"rows": rows, "items": args.items, "k": args.k})


if __name__ == "__main__":
    main()
