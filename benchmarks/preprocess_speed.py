"""Seconds and memory from a table of interactions to both group-by datasets, beside pandas, in one run.

    python benchmarks/preprocess_speed.py [--interactions 5000000] [--visitors 200000] [--contents 20000] [--rounds 3]

Made data (python -m pipeline.sample, seed 0): a long tail of contents and visitors, Parquet. Ours is the job as a user
starts it, imports included: vocabularies, median, ratings, TFRecords, manifest with a checksum a file. pandas does the
same sums in memory and writes both sides as Parquet. The sides take turns; each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine

PANDAS = """
import sys
import pandas as pd
source, target = sys.argv[1:]
pairs = pd.read_parquet(source).groupby(["visitorId", "contentId"], as_index=False).duration_ms.sum()
pairs = pairs[pairs.duration_ms > 0]
for name, index in (("visitorId", "userId"), ("contentId", "itemId")):
    counts = pairs[name].value_counts().rename_axis("id").reset_index(name="n")
    order = counts.sort_values(["n", "id"], ascending=False).id.reset_index(drop=True)
    pairs[index] = pairs[name].map(pd.Series(order.index, index=order))
    order.to_csv(f"{target}/{index}.csv", index=False)
pairs["rating"] = (0.3 * pairs.duration_ms / pairs.duration_ms.median()).clip(upper=1).astype("float32")
for key, other in (("userId", "itemId"), ("itemId", "userId")):
    pairs.sort_values([key, other])[[key, other, "rating"]].to_parquet(f"{target}/{key}.parquet")
print(len(pairs))
"""


def peak_of_tree(process: subprocess.Popen, found: list[int]) -> None:
    """Follows the resident memory of a process and its children until it ends; appends the peak in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, machine.resident_of_tree(process.pid))
        time.sleep(0.05)
    found.append(peak)


def run(command: list[str]) -> dict[str, float]:
    """Wall seconds, processor seconds and peak memory of a command."""
    environment = os.environ | {"PYTHONPATH": str(machine.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found: list[int] = []
    watcher = threading.Thread(target=peak_of_tree, args=(process, found))
    watcher.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    after = os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed:\n{said[-2000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu_seconds": used, "peak_gb": found[0] / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("interactions", 5_000_000), ("visitors", 200_000), ("contents", 20_000), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--beam", nargs="*", default=[], help="Beam's options for our side")
    parser.add_argument("--no_peer", action="store_true", help="ours alone, where pandas would not fit in memory")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    sizes = [f"--{name}={getattr(args, name)}" for name in ("interactions", "visitors", "contents")]
    with tempfile.TemporaryDirectory() as folder:
        sample = [sys.executable, "-m", "pipeline.sample", "--layouts", "table", "--output_dir", f"{folder}/sample"]
        run([*sample, *sizes])
        source = f"{folder}/sample/table"
        config = Path(folder, "config.yaml")
        config.write_text("source: {kind: table, duration_column: duration_ms}\nbeam: {runner: FnApiRunner}\n")
        job = [sys.executable, "-m", "pipeline.preprocess", "--config", str(config), "--input", f"{source}/*"]
        sides = {"ours": [*job, "--dataset_dir", f"{folder}/dataset", "--replace", *args.beam]}
        if not args.no_peer:
            sides["pandas"] = [sys.executable, "-c", PANDAS, source, folder]
        rounds = [{name: run(command) for name, command in sides.items()} for _ in range(args.rounds)]
        manifest = json.loads(Path(folder, "dataset", "manifest.json").read_text())
    print(machine.describe())
    found = {
        side: {figure: statistics.median(some[side][figure] for some in rounds) for figure in rounds[0][side]}
        for side in sides
    }
    interactions = manifest["counts"]["interactions"]
    for side, figures in found.items():
        figures["rows_per_second"] = interactions / figures["seconds"]
        print(f"{side:8}" + "  ".join(f"{name} {value:,.2f}" for name, value in figures.items()))
    if "pandas" in found:
        ratio = statistics.median(some["ours"]["seconds"] / some["pandas"]["seconds"] for some in rounds)
        print(f"ours takes {ratio:.2f} times pandas's seconds (median of {args.rounds}), {interactions:,} interactions")
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": machine.describe(), "interactions": interactions, **found}))


if __name__ == "__main__":
    main()
