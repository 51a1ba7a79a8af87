"""The pipeline's cost of an item that 30% of all interactions have, and of a bot with a million views.

    python -m benchmarks.pipeline.hot_rows [--millions 5] [--rounds 3]

The table of benchmarks.support.data with 400,000 visitors a million, so that an item can have that many; then 30% of
its rows turned into views of one item, each by another visitor; then a fifth of them into views by one visitor, with
and without the bot filter. All have as many rows. The job as a user starts it, imports included, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as files
import pyarrow.parquet as pq

from benchmarks.pipeline.preprocess_speed import job, manifest_of
from benchmarks.support import data, machine, processes

HOT, BOT = 0.3, 0.2  # of the rows
MEASURED = ("seconds", "cpu_seconds", "peak_gb")
TIME, BOUND = ["--set", "source.time_column=time"], ["--set", "source.max_views_a_day=10000"]


def variants(source: Path, folder: Path) -> dict[str, Path]:
    """Write the tables; return their directories."""
    table = files.dataset(source).to_table()
    visitors, items = (table[name].to_numpy(zero_copy_only=False) for name in ("visitorId", "contentId"))
    order = np.random.default_rng(data.SEED).permutation(len(table))
    _, firsts = np.unique(visitors[order].astype(str), return_index=True)
    hot, by_bot = items.copy(), visitors.copy()
    hot[order[firsts[: int(HOT * len(table))]]] = "hot"
    by_bot[order[: int(BOT * len(table))]] = "bot"
    found = {"plain": (visitors, items), "hot item": (visitors, hot), "hot visitor": (by_bot, items)}
    for name, columns in found.items():
        (folder / name).mkdir()
        for place, column in enumerate(("visitorId", "contentId")):
            table = table.set_column(table.schema.get_field_index(column), column, pa.array(columns[place]))
        for part in range(2):
            half = table.slice(part * (len(table) // 2), len(table) - len(table) // 2)
            pq.write_table(half, folder / name / f"{part}.parquet")
    return {name: folder / name for name in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    interactions = int(args.millions * 1e6)
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory(dir=machine.output()) as folder:
        tables = variants(data.table(interactions, int(interactions * 0.4)), Path(folder))
        sides = {name: (path, []) for name, path in tables.items()}
        sides["hot visitor, bot filter"] = tables["hot visitor"], BOUND
        for _ in range(args.rounds):
            for name, (source, more) in sides.items():
                found = processes.run(job(folder, source, *TIME, *more))
                manifest = manifest_of(folder)
                found |= {"interactions": manifest["counts"]["interactions"], "skipped": manifest["skipped"]}
                runs.setdefault(name, []).append(found | {"rejected": manifest["rejected"]})
    print(machine.describe())
    figures = {}
    for name, some in runs.items():
        found = {figure: statistics.median(run[figure] for run in some) for figure in MEASURED}
        for figure in MEASURED:
            pairs = zip(some, runs["plain"], strict=True)
            found[f"{figure}_over_plain"] = statistics.median(one[figure] / plain[figure] for one, plain in pairs)
        figures[name] = some[0] | found
        kept = some[0]["interactions"]
        line = "{:25}{seconds:7.1f} s{seconds_over_plain:6.2f} times plain,{cpu_seconds:7.1f} CPU s"
        line += "{cpu_seconds_over_plain:6.2f} times,{peak_gb:6.2f} GB, {:,} interactions"
        print(line.format(name, kept, **found))
    machine.save("hot_rows", {"rounds": args.rounds, "rows": interactions, "variants": figures})


if __name__ == "__main__":
    main()
