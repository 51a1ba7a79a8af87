"""Users a second and peak memory of the batch prediction job at growing numbers of visitors: memory must not grow.

    python -m benchmarks.prediction.job [--users 30000 300000 3000000] [--items 5000] [--k 32] [--kind recommendations]
    python -m benchmarks.prediction.job --users 4096 16384 --items 1000000 --k 128

Made datasets and models, seed 0: normal factors, 10 items a visitor on average, geometric; no training. The job runs
as users run it, in a process of its own, Beam's in-process runner, text and JSON lines; its memory is watched by /proc.
Of the products of all visitors with all items, it prints the share of the machine's rate of matrix products, float32.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from artifacts import checksums
from artifacts.paths import Dataset, Model, shard_name
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from configs.settings import TrainingSettings
from tests.support.manifests import dataset_manifest, model_manifest

SEED, MEAN_SEEN, AT_ONCE, IN_SHARD, _ITEMS = 0, 10, 1 << 15, 200_000, 5000


def make(root: Path, users: int, items: int, k: int) -> None:
    """Write a dataset and a model in the layout of the pipeline and the trainer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from artifacts import tfrecords

    rng, shards = np.random.default_rng(SEED), -(-users // IN_SHARD)
    dataset, model = Dataset(str(root / "dataset")), Model(str(root / "model"))
    for folder in (Path(dataset.vocab_users).parent, root / "model" / "factors"):
        folder.mkdir(parents=True)
    for path, letter, count in ((dataset.vocab_users, "visitor", users), (dataset.vocab_items, "content", items)):
        with open(path, "w") as file:
            file.writelines(f"{letter}{n}\n" for n in range(count))
    popularity, interactions = np.zeros(items, np.int64), 0
    for shard in range(shards):
        rows = len(range(shard, users, shards))
        for prefix, width in ((model.user_factors, k), (model.user_weights, 1)):
            table = rng.standard_normal((rows, width), np.float32) if width > 1 else np.ones((rows, 1), np.float32)
            np.save(shard_name(prefix, shard, shards, ".npy"), table)
        with open(shard_name(dataset.items_for_user, shard, shards), "wb") as file:
            for start in range(0, rows, AT_ONCE):
                keys = shard + shards * np.arange(start, min(start + AT_ONCE, rows))
                counts = np.minimum(rng.geometric(1 / MEAN_SEEN, len(keys)), items // 2)
                pairs = np.unique(
                    np.repeat(np.arange(len(keys)), counts) * items + rng.integers(0, items, counts.sum())
                )
                own, found = pairs // items, pairs % items
                offsets = np.searchsorted(own, np.arange(len(keys) + 1))
                values = rng.random(len(found), np.float32)
                data, begins = tfrecords.encode(SparseRows(keys, offsets, found, values))
                file.write(tfrecords.frame(data, begins.tolist()))
                popularity += np.bincount(found, minlength=items)
                interactions += len(found)
    np.save(shard_name(model.item_factors, 0, 1, ".npy"), rng.standard_normal((items, k), np.float32))
    np.save(shard_name(model.item_weights, 0, 1, ".npy"), np.ones((items, 1), np.float32))
    names = [f"content{n}" for n in range(items)]
    columns = {"contentId": names, "visitors": popularity, "popularity": popularity * 1.0}
    columns |= dict.fromkeys(("first_time_ms", "last_time_ms"), pa.nulls(items, pa.int64()))
    pq.write_table(pa.table(columns), dataset.items)
    about = dataset_manifest(
        users,
        items,
        interactions,
        shards={"items_for_user": shards, "users_for_item": 1},
        files=checksums.describe_all(dataset.root),
    )
    about.write(dataset.manifest)
    training = TrainingSettings(embedding_dimension=k, unobserved_weight=0.1, regularization_coeff=2.0)
    model_manifest(about, dataset.root, training, files=checksums.describe_all(model.root)).write(model.manifest)


def run(root: Path, kind: str, more: list[str]) -> dict:
    """Run the job once: seconds of the whole process, of the job, and of its processors; its peak memory."""
    config = root / "config.yaml"
    config.write_text("beam: {runner: FnApiRunner}\n")
    places = ["--dataset_dir", str(root / "dataset"), "--model_dir", str(root / "model")]
    command = [sys.executable, "-m", "pipeline.batch_predict", "--config", str(config), "--kind", kind, *places]
    command += ["--output_dir", str(root / "out"), "--replace", *more]
    peak, started, before = 0, time.perf_counter(), os.times()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or []))
    reader.start()
    while process.poll() is None:
        peak = max(peak, machine.resident_of_tree(process.pid))
        time.sleep(0.05)
    reader.join()
    if process.returncode:
        sys.exit(f"the job failed:\n{''.join(errors)[-2000:]}")
    content = json.loads((root / "out" / "manifest.json").read_text())
    whole, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    shutil.rmtree(root / "out")
    return {"whole_s": whole, "job_s": content["seconds"], "cpu_s": cpu, "peak_mb": peak / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[30_000, 300_000, 3_000_000])
    parser.add_argument("--items", type=int, default=_ITEMS)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--kind", default="recommendations")
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    more = [text for value in args.more for text in ("--set", value)]
    print(machine.describe())
    print(f"seed {SEED}, {args.items} items, k {args.k}, {args.kind} {' '.join(args.more)}")
    print("    users   seconds  the job's  CPU, s  users/s  peak MB")
    found, (gemm, _) = [], machine.limits()
    for users in args.users:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), users, args.items, args.k)
            figures = run(Path(folder), args.kind, more)
        rate = users / figures["job_s"]
        share = rate * 2 * args.items * args.k / gemm
        found.append({"users": users, "visitors_per_second": rate, "share_of_gemm": share} | figures)
        times = f"{figures['whole_s']:9.1f} {figures['job_s']:10.1f} {figures['cpu_s']:7.1f}"
        print(
            f"{users:9,d} {times} {rate:8,.0f} {figures['peak_mb']:8,.0f}  {share:.0%} of {gemm / 1e9:.0f} Gflop/s",
            flush=True,
        )
    name = f"predict_job_{args.kind}" + ("" if args.items == _ITEMS else f"_{args.items}")
    about = {"seed": SEED, "items": args.items, "k": args.k, "gemm_flops": gemm}
    machine.save(name, about | {"runs": found})


if __name__ == "__main__":
    main()
