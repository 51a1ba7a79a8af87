"""Interactions a second from a dataset's TFRecords to the compact sparse rows that training reads, both sides.

    python -m benchmarks.pipeline.read_rows [--millions 5] [--rounds 5]

The dataset that the pipeline makes of the table of benchmarks/support/data.py. The peer is what one writes first:
tf.data with an Example parsed at a time to tf.sparse, counted over a tenth of the files' records.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from benchmarks.pipeline.preprocess_speed import job
from benchmarks.support import data, machine, processes


def one_by_one(paths: tuple[str, ...], records: int) -> int:
    """Count the entries of the first records, one Example at a time."""
    import tensorflow as tf

    features = {name: tf.io.VarLenFeature(kind) for name, kind in (("indices", tf.int64), ("values", tf.float32))}
    rows = tf.data.TFRecordDataset(list(paths)).take(records)
    return sum(
        len(row["values"].values) for row in rows.map(lambda record: tf.io.parse_single_example(record, features))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    from configs import cli

    cli.import_tensorflow()
    from artifacts.paths import Dataset
    from trainer.inputs import dataset_rows as trainer_data

    figures = {}
    with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
        processes.run(job(folder, data.table(int(args.millions * 1e6))))
        info, dataset = trainer_data.read_info(f"{folder}/dataset"), Dataset(f"{folder}/dataset")
        sides = {
            "items_for_user": (info.shards(dataset.items_for_user), info.users, info.items),
            "users_for_item": (info.shards(dataset.users_for_item), info.items, info.users),
        }
        for name, (paths, size, others) in sides.items():
            rates: dict[str, list[float]] = {"ours": [], "one by one": []}
            for _ in range(args.rounds):
                started = time.perf_counter()
                entries = sum(rows.entries for rows in trainer_data.RowFiles(paths, size, others).load())
                rates["ours"].append(entries / (time.perf_counter() - started))
                started = time.perf_counter()
                entries = one_by_one(paths, size // 10)
                rates["one by one"].append(entries / (time.perf_counter() - started))
            figures[name] = {side: statistics.median(some) for side, some in rates.items()}
    print(machine.describe())
    for name, rates in figures.items():
        print(f"{name:16}{rates['ours']:14,.0f} interactions a second; one by one {rates['one by one']:12,.0f}")
    machine.save("read_rows", {"rounds": args.rounds, "interactions_per_second": figures})


if __name__ == "__main__":
    main()
