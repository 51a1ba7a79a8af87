"""Seconds and memory from tables of interactions to both group-by datasets, beside pandas and DuckDB, in one run.

    python -m benchmarks.preprocess_speed --peer PYTHON_WITH_PEERS [--millions 1 5 20] [--rounds 3]

Made data (python -m pipeline.sample, its default seed): a long tail of contents and visitors, Parquet; 40,000 visitors
and 4,000 contents a million interactions, at most 20,000 contents. Ours is the job as a user starts it, imports
included: vocabularies, median, ratings, statistics, TFRecords, a manifest with a checksum a file. The peers make the
same sums in memory and write both sides as Parquet. The sides take turns; each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, processes

PEERS = ("pandas", "duckdb")
MOST_CONTENTS = 20_000


def make(folder: str, interactions: int, visitors: int | None = None) -> str:
    """Makes a table of so many interactions below the folder; gives its directory."""
    size = {
        "interactions": interactions,
        "visitors": visitors or interactions // 25,
        "contents": max(100, min(MOST_CONTENTS, interactions // 250)),
    }
    flags = [f"--{name}={number}" for name, number in size.items()]
    processes.run(
        [sys.executable, "-m", "pipeline.sample", "--layouts", "table", "--output_dir", f"{folder}/sample", *flags]
    )
    return f"{folder}/sample/table"


def job(folder: str, source: str, *more: str) -> list[str]:
    """Our job on a table, as a command; its dataset goes to `folder`/dataset."""
    config = Path(folder, "config.yaml")
    config.write_text("source: {kind: table, duration_column: duration_ms}\nbeam: {runner: FnApiRunner}\n")
    command = [sys.executable, "-m", "pipeline.preprocess", "--config", str(config), "--input", f"{source}/*"]
    return [*command, "--dataset_dir", f"{folder}/dataset", "--replace", *more]


def manifest_of(folder: str) -> dict:
    return json.loads(Path(folder, "dataset", "manifest.json").read_text())


def measure(interactions: int, visitors: int | None, peers: dict[str, str], rounds: int) -> dict:
    """All sides in turn at one size: medians of each, and the median of ours over each peer's seconds.

    peers: the Python that has each.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = make(folder, interactions, visitors)
        commands = {"ours": job(folder, source)}
        for name, python in peers.items():
            Path(folder, name).mkdir()
            commands[name] = [
                python,
                str(Path(__file__).with_name(f"peer_{name}.py")),
                source,
                str(Path(folder, name)),
            ]
        runs = [{name: processes.run(command) for name, command in commands.items()} for _ in range(rounds)]
        manifest = manifest_of(folder)
    found: dict = {"interactions": manifest["counts"]["interactions"], "rows": manifest["counts"]["rows_read"]}
    found["visitors"], found["steps"] = manifest["counts"]["users"], manifest["steps"]
    for side in commands:
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
    parser.add_argument("--peer", default=sys.executable, help="a Python that has pandas and DuckDB")
    parser.add_argument("--millions", type=float, nargs="+", default=[0.2, 1, 5, 20], help="of interactions")
    parser.add_argument("--visitors", type=int, help="instead of 40,000 a million")
    parser.add_argument("--sides", nargs="*", default=PEERS, choices=PEERS, help="which peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="preprocess_speed", help="of the JSON")
    args = parser.parse_args()
    print(machine.describe())
    print("        rows   visitors  side        wall s    CPU s  peak GB       rows/s   ours/it")
    peers = dict.fromkeys(args.sides, args.peer)
    rows = [measure(int(millions * 1e6), args.visitors, peers, args.rounds) for millions in args.millions]
    machine.save(args.name, {"rounds": args.rounds, "sizes": rows})


if __name__ == "__main__":
    main()
