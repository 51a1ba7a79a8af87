"""The sample as a plain table: one row per visitor and item, with the sums of the visits in the other layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts.names import CONTENT_ID, VISITOR_ID
from artifacts.paths import shard_name
from pipeline.demo.sample.catalogue import Catalogue, visitor_ids
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.visits import HOME, Size, Steps, activity, make_steps

_ROWS_PER_FILE = 2_500_000
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema({VISITOR_ID: pa.string(), CONTENT_ID: pa.string(), "duration_ms": pa.int64(), "time": _TIME})


def write_table(output: OutputDirectory, size: Size, catalogue: Catalogue) -> Iterator[Counter[str]]:
    """Write `table/interactions-*.parquet`; yield the number of interactions of each block."""
    files = int(np.clip(-(-size.interactions // _ROWS_PER_FILE), 1, size.blocks))
    items, reading = pa.array(catalogue.content_ids), activity(size)
    for number in range(files):
        path = output.add(f"table/{shard_name('interactions', number, files, '.parquet')}")
        with pq.ParquetWriter(path, SCHEMA, compression="snappy") as writer:
            for block in range(number * size.blocks // files, (number + 1) * size.blocks // files):
                visitors = pa.array(visitor_ids(*size.block(block), size.seed))
                table = interactions(make_steps(size, catalogue, block, reading), visitors, items)
                writer.write_table(table)
                yield Counter(interactions=table.num_rows)


def interactions(steps: Steps, visitors: pa.Array, items: pa.Array) -> pa.Table:
    """Return the interactions of a block, with the time of the last view, which may be one without dwell."""
    read = steps.pair >= 0
    duration_ms = np.bincount(steps.pair[read], steps.dwell_ms[read], len(steps.pairs)).astype(np.int64)
    view = np.flatnonzero(steps.item != HOME)
    keys = steps.pairs[:, 0] * len(items) + steps.pairs[:, 1]
    order = np.argsort(keys)
    key = steps.visitor[steps.session[view]] * len(items) + steps.item[view]
    row = order[np.searchsorted(keys, key, sorter=order).clip(max=len(keys) - 1)]
    known = keys[row] == key
    last_ms = np.zeros(len(keys), np.int64)
    np.maximum.at(last_ms, row[known], steps.opened_ms[view[known]])
    columns = [
        visitors.take(pa.array(steps.pairs[:, 0])),
        items.take(pa.array(steps.pairs[:, 1])),
        pa.array(duration_ms),
        pa.array(last_ms * 1000).cast(_TIME),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
