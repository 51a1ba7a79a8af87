"""Seconds of a whole training with a million items, by stage: how much of it are the sweeps?

    python -m benchmarks.wals.million [--interactions 8000000] [--users 300000] [--items 995000] [--k 128] [--sweeps 6]

A made dataset, seed 0: each user and each item at least once, the other entries of popular items more often; no
attributes. The command trains as `wals train` does, in a process of its own, whose clock starts behind the imports; a
stage's seconds include those of the stages that are indented below it.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from artifacts import checksums, tfrecords
from artifacts.paths import Dataset, shard_name
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine

SEED, SHARDS, SKEW = 0, 4, 3.0
# What is timed, by the line of the table: a module, and a function or a method of a class in it.
STAGES = {
    "reading the dataset": ("trainer.job.training_job", "TrainingJob._assemble"),
    "sweeps": ("trainer.als.loop", "Factorization.sweep"),
    "summaries": ("trainer.job.tensorboard", "Summaries.write"),
    "checkpoints": ("trainer.job.checkpoints", "Checkpoints.save"),
    "turning the tables back": ("trainer.als.loop", "Factorization.turn_back"),
    "writing the factors": ("artifacts.factor_tables", "write_table"),
    "the SavedModel": ("trainer.saved_model.export", "save"),
    "- its graphs and variables": ("tensorflow.saved_model", "save"),
    "- its tables": ("trainer.saved_model.served_tables", "write"),
    "the projector": ("trainer.job.tensorboard", "write_projector"),
    "checksums of all files": ("artifacts.checksums", "describe_all"),
}


def make(root: Path, interactions: int, users: int, items: int) -> None:
    """Write a dataset as the pipeline does, without its graphs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.support.manifests import dataset_manifest

    rng, dataset = np.random.default_rng(SEED), Dataset(str(root))
    Path(dataset.vocab_users).parent.mkdir(parents=True)
    more = interactions - users - items
    rows = np.concatenate([np.arange(users), rng.integers(0, users, items + more)])
    columns = np.concatenate([rng.integers(0, items, users), np.arange(items), items * rng.random(more) ** SKEW])
    ones = np.ones(len(rows), np.float32)
    matrix = sp.csr_matrix((ones, (rows, columns.astype(np.int64))), (users, items))
    matrix.data = 1 + rng.random(matrix.nnz, np.float32)
    for side, prefix in ((matrix, dataset.items_for_user), (matrix.T.tocsr(), dataset.users_for_item)):
        entries = SparseRows.from_matrix(side)
        for shard in range(SHARDS):
            data, begins = tfrecords.encode(entries.take(np.arange(shard, len(entries), SHARDS)))
            Path(shard_name(prefix, shard, SHARDS)).write_bytes(tfrecords.frame(data, begins.tolist()))
    for path, letter, count in ((dataset.vocab_users, "visitor", users), (dataset.vocab_items, "content", items)):
        Path(path).write_text("".join(f"{letter}{number}\n" for number in range(count)))
    popularity = np.bincount(matrix.indices, minlength=items)
    names = [f"content{number}" for number in range(items)]
    pq.write_table(
        pa.table({"contentId": names, "visitors": popularity, "popularity": popularity * 1.0}), dataset.items
    )
    shards = dict.fromkeys(("items_for_user", "users_for_item"), SHARDS)
    files = checksums.describe_all(dataset.root)
    dataset_manifest(users, items, matrix.nnz, shards=shards, files=files).write(dataset.manifest)


def work(dataset: str, model: str, k: int, sweeps: int) -> None:
    """Train in this process; print the seconds of the whole and of each stage, and processor seconds, as JSON."""
    from configs import cli

    cli.import_tensorflow()
    from configs.settings import TrainingSettings
    from trainer.job import training_job

    spent: dict[str, float] = defaultdict(float)
    for stage, (module, name) in STAGES.items():
        _time(module, name, stage, spent)
    settings = TrainingSettings(embedding_dimension=k, max_sweeps=sweeps)
    started, before = time.perf_counter(), time.process_time()
    manifest = training_job.train(settings, dataset, model, replace=True)
    seconds, processor = time.perf_counter() - started, time.process_time() - before
    figures = {
        "whole_s": seconds,
        "processor_s": processor,
        "stages": {stage: spent[stage] for stage in STAGES},
        "loss": manifest.history[-1].loss,
        "peak_gb": machine.resident("VmHWM") / 1e9,
        "model_gb": sum(file.bytes for file in manifest.files.values()) / 1e9,
    }
    print(json.dumps(figures))


def _time(module: str, name: str, stage: str, spent: dict[str, float]) -> None:
    """Add the seconds of a function to its stage from now on."""
    import importlib

    *outer, last = name.split(".")
    owner: Any = functools.reduce(getattr, outer, importlib.import_module(module))
    function: Callable[..., Any] = getattr(owner, last)

    @functools.wraps(function)
    def timed(*arguments: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            spent[stage] += time.perf_counter() - started

    setattr(owner, last, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"interactions": 8_000_000, "users": 300_000, "items": 995_000, "k": 128, "sweeps": 6}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work[0], args.work[1], args.k, args.sweeps)
        return
    print(machine.describe())
    with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
        make(Path(folder, "dataset"), args.interactions, args.users, args.items)
        own = ["--work", f"{folder}/dataset", f"{folder}/model", f"--k={args.k}", f"--sweeps={args.sweeps}"]
        figures = machine.worker(sys.executable, __file__, *own)
    for stage, seconds in sorted(figures["stages"].items(), key=lambda one: -one[1]):
        print(f"{stage:28}{seconds:8.2f} s")
    sweeps = figures["stages"]["sweeps"]
    print(f"whole {figures['whole_s']:.1f} s, {figures['whole_s'] / sweeps:.2f} times the sweeps")
    machine.save("train_million", {"seed": SEED, **{name: getattr(args, name) for name in sizes}} | figures)


if __name__ == "__main__":
    main()
