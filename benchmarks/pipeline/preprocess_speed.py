"""Seconds and memory from tables of interactions to both group-by datasets, next to pandas and DuckDB.

    python -m benchmarks.pipeline.preprocess_speed [--millions 0.2 1 5 20] [--rounds 3] [--sides ours pandas duckdb]

Made data (benchmarks/support/data.py): a long tail of items and visitors, Parquet. Ours is the job as a user starts
it,
imports included: vocabularies, median, ratings, statistics, TFRecords, a manifest with a checksum a file. The peers
make the same sums in memory and write both sides as Parquet. The sides take turns; each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.support import data, machine, processes

SIDES = ("ours", "pandas", "duckdb")


def job(folder: str | Path, source: str | Path, *more: str) -> list[str]:
    """Our job on a table, as a command; its dataset goes to `folder`/dataset."""
    config = Path(folder, "config.yaml")
    config.write_text("source: {kind: table, duration_column: duration_ms}\nbeam: {runner: FnApiRunner}\n")
    command = [sys.executable, "-m", "pipeline.preprocess", "--config", str(config), "--input", f"{source}/*"]
    return [*command, "--dataset_dir", f"{folder}/dataset", "--replace", *more]


def manifest_of(folder: str | Path) -> dict:
    return json.loads(Path(folder, "dataset", "manifest.json").read_text())


def measure(interactions: int, visitors: int | None, sides: list[str], rounds: int) -> dict:
    """Run the sides in turn at one size: medians of each, and the median of ours over each side's seconds."""
    source = data.table(interactions, visitors)
    runs: list[dict[str, dict[str, float]]] = [{} for _ in range(rounds)]
    found: dict = {"rounds": rounds}
    for some in runs:
        for side in sides:
            with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
                script = Path(__file__).with_name(f"peer_{side}.py")
                peer = [sys.executable, str(script), str(source), folder]
                some[side] = processes.run(job(folder, source) if side == "ours" else peer)
                if side == "ours":
                    made = manifest_of(folder)
                    found |= {"rows": made["counts"]["rows_read"], "visitors": made["counts"]["users"]}
                    found["steps"] = made["steps"]
    for side in sides:
        figures = {figure: statistics.median(some[side][figure] for some in runs) for figure in runs[0][side]}
        figures["rows_per_second"] = found["rows"] / figures["seconds"]
        figures["ratio"] = statistics.median(some["ours"]["seconds"] / some[side]["seconds"] for some in runs)
        found[side] = figures
        print(
            "{rows:12,d} {visitors:10,d}  {side:8}{seconds:9.1f}{cpu_seconds:9.1f}{peak_gb:9.2f}"
            "{rows_per_second:13,.0f}{ratio:8.2f}".format(side=side, **found, **figures),
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[0.2, 1, 5, 20], help="of interactions")
    parser.add_argument("--visitors", type=int, help="instead of 40,000 a million")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES, help="ours is always one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="preprocess_speed", help="of the JSON")
    args = parser.parse_args()
    sides = ["ours", *(side for side in args.sides if side != "ours")]
    print(machine.describe())
    print("        rows   visitors  side        wall s    CPU s  peak GB       rows/s   ours/it")
    rows = [measure(int(millions * 1e6), args.visitors, sides, args.rounds) for millions in args.millions]
    machine.save(args.name, {"sizes": rows})


if __name__ == "__main__":
    main()
