"""Time and memory of wals outcome by the number of exposures.

    python -m benchmarks.pipeline.outcome_memory [--exposures 10000000 50000000]

Each visitor is shown a list of ten items twenty times within six days, and clicks one in twenty exposures. The export
is Parquet, a file per day, as BigQuery exports it. Each size runs in a process of its own, on this machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from artifacts.paths import Dataset
from benchmarks.support import machine
from pipeline.demo.lists.deeds import List
from tests.support.datasets import write_dataset
from tests.support.outcomes import RUN_TIME, write_predictions

LENGTH, SHOWINGS, DAYS, ITEMS, CTR = 10, 20, 6, 2000, 0.05
NAME = "recommendations"
_ROWS = 50_000  # events per row group
_ITEM = pa.struct({"item_id": pa.string(), "item_list_name": pa.string(), "item_list_index": pa.string()})
_IDS = pa.array([f"c{number}" for number in range(ITEMS)])
SCHEMA = pa.schema(
    {
        "event_date": pa.string(),
        "event_timestamp": pa.int64(),
        "event_name": pa.string(),
        "user_pseudo_id": pa.string(),
        "items": pa.list_(_ITEM),
    }
)


def make(root: Path, exposures: int) -> None:
    """Write a dataset, predictions, and an export with so many exposures."""
    rng = np.random.default_rng(0)
    visitors = exposures // (LENGTH * SHOWINGS)
    rows, columns = np.arange(visitors).repeat(3), rng.integers(0, ITEMS, 3 * visitors)
    had = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), (visitors, ITEMS))
    had.data[:] = 1
    root.mkdir(parents=True)
    dataset = Dataset(write_dataset(root / "dataset", had, shards=4))
    firsts = rng.integers(0, ITEMS, visitors)
    lists = (firsts[:, None] + 7 * np.arange(LENGTH)) % ITEMS
    names = [f"c{number}" for number in range(ITEMS)]
    write_predictions(
        root / "predictions",
        [List(f"v{visitor}", "factors", [names[item] for item in row]) for visitor, row in enumerate(lists.tolist())],
        dataset,
        LENGTH,
    )
    (root / "export").mkdir()
    day_of = rng.integers(0, DAYS, (visitors, SHOWINGS))
    for day in range(DAYS):
        _write_day(root / "export", day, np.nonzero(day_of == day)[0], lists, rng)


def _write_day(root: Path, day: int, who: np.ndarray, lists: np.ndarray, rng: np.random.Generator) -> None:
    """Write the events of a day: a list for each entry of `who`, and some clicks."""
    date = (RUN_TIME + datetime.timedelta(days=day + 1)).date()
    midnight_us = round(datetime.datetime.combine(date, datetime.time(), datetime.UTC).timestamp()) * 1_000_000
    with pq.ParquetWriter(root / f"events_{date:%Y%m%d}.parquet", SCHEMA, compression="snappy") as writer:
        for start in range(0, len(who), _ROWS):
            some = who[start : start + _ROWS]
            times = midnight_us + rng.integers(0, 80_000, len(some)) * 1_000_000
            shown = lists[some]
            writer.write_table(_events((date, "view_item_list"), some, times, shown, np.arange(1, LENGTH + 1)))
            row, place = np.nonzero(rng.random(shown.shape) < CTR)
            clicked = shown[row, place][:, None]
            for name in ("select_item", "view_item"):
                after = times[row] + 1_000_000 * (20 + 3 * place)
                writer.write_table(_events((date, name), some[row], after, clicked, place + 1))


def _events(
    about: tuple[datetime.date, str], who: np.ndarray, times: np.ndarray, items: np.ndarray, places: np.ndarray
) -> pa.Table:
    """Return the events of a day and a name; items: int64 [events, n], at these places."""
    date, name = about
    size, flat = len(who), items.ravel()
    positions = np.broadcast_to(places, items.shape).ravel() if items.shape[1] > 1 else places
    fields = [
        _IDS.take(pa.array(flat)),
        pa.array([NAME]).take(pa.array(np.zeros(len(flat), int))),
        pa.array(positions).cast(pa.string()),
    ]
    entries = pa.StructArray.from_arrays(fields, fields=list(_ITEM))
    offsets = pa.array(np.arange(size + 1, dtype=np.int32) * items.shape[1])
    visitors = pa.array(np.char.add("v", who.astype(str))) if size else pa.array([], pa.string())
    columns = [
        pa.array([f"{date:%Y%m%d}"]).take(pa.array(np.zeros(size, int))),
        pa.array(times),
        pa.array([name]).take(pa.array(np.zeros(size, int))),
        visitors.cast(pa.string()),
        pa.ListArray.from_arrays(offsets, entries),
    ]
    return pa.table(columns, schema=SCHEMA)


def measure(root: Path) -> dict[str, float]:
    """Run wals outcome in a process; return its seconds, and the most memory that it and its children had."""
    command = [sys.executable, "-m", "pipeline.outcome", "--config", str(machine.ROOT / "configs" / "local.yaml")]
    options = {
        "source.kind": "ga4",
        "source.preset": "ga4_shop",
        "dataset_dir": f"{root}/dataset",
        "predictions_dir": f"{root}/predictions",
        "outcome_dir": f"{root}/outcome",
    }
    command += [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    command += ["--input", f"{root}/export/events_*", "--list_name", NAME, "--replace"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=machine.ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"wals outcome failed ({status})")
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "gb": usage.ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    """Measure each size, and write benchmarks/results/outcome_memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exposures", type=int, nargs="+", default=[10_000_000, 50_000_000])
    args = parser.parse_args()
    rows = []
    for exposures in args.exposures:
        root = machine.output() / f"outcome_{exposures}"
        shutil.rmtree(root, ignore_errors=True)
        # In a process of its own: the peak memory that Linux reports of a command begins with that of its parent.
        making = multiprocessing.get_context("spawn").Process(target=make, args=(root, exposures))
        making.start()
        making.join()
        if making.exitcode:
            sys.exit(f"the export could not be made ({making.exitcode})")
        size = sum(path.stat().st_size for path in (root / "export").iterdir())
        figures = measure(root)
        content = json.loads((root / "outcome" / "outcome.json").read_text())["versions"]["monday"]["tracked"]["whole"]
        low, high = content["ctr"]["low"], content["ctr"]["high"]
        row = {"exposures": content["exposures"], "clicks": content["clicks"], "export_mb": size / 1e6, **figures}
        row |= {"ctr": content["ctr"]["value"], "low": low, "high": high, "truth": CTR}
        rows.append(row)
        print(json.dumps(row), flush=True)
        shutil.rmtree(root)
    machine.save("outcome_memory", {"list": LENGTH, "showings": SHOWINGS, "items": ITEMS, "rows": rows})


if __name__ == "__main__":
    main()
