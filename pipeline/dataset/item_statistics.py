"""What is known of each item, counted from the encoded blocks on their way to the rows -> items.parquet.

A block becomes a few numbers an item, and those are added up by shards of items: the interactions are not shuffled
once more. Sums of fractions are taken in an order of their own and rounded to the 24 bits of a float32, so that the
file does not depend on how the input was cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts.names import (
    CONTENT_ID,
    FIRST_TIME_MS,
    ITEM_ID,
    LAST_TIME_MS,
    MEAN_RATING,
    POPULARITY,
    RATING,
    RECENT_POPULARITY,
    TIME_MS,
    USER_ID,
    VISITORS,
    VOCAB_ITEMS,
)
from artifacts.paths import join
from artifacts.vocabulary import iterate_vocabulary
from configs.settings import DatasetSettings
from pipeline.beam.counters import StepCounter
from pipeline.dataset.row_files import write_once
from pipeline.interactions import columns
from pipeline.interactions.blocks import values_of

_SHARDS = 16  # of the items, summed side by side
_RATINGS = "ratings"  # their sum
_SUMS = pa.schema(
    [
        pa.field(ITEM_ID, pa.int64()),
        pa.field(VISITORS, pa.int64()),
        pa.field(RECENT_POPULARITY, pa.float64()),  # as of the item's own last time
        pa.field(_RATINGS, pa.float64()),
        pa.field(FIRST_TIME_MS, pa.int64()),
        pa.field(LAST_TIME_MS, pa.int64()),
    ]
)
_DAY_MS = 86_400_000
_COUNTER = StepCounter("items")


@dataclass
class WriteItems(beam.PTransform):
    """Encoded one-row record batches -> a description of the file that it writes.

    transform_fn: the path of the one that TFT made, in whose assets the vocabulary lies. layout: whether popularity
    decays, and the half-life. has_times: whether the interactions' times mean anything.
    """

    path: str
    transform_fn: beam.PCollection
    layout: DatasetSettings
    has_times: bool

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        half_life_ms = self.layout.recent_half_life_days * _DAY_MS
        every = blocks.pipeline | "EveryShard" >> beam.Create([(shard, b"") for shard in range(_SHARDS)])
        some = blocks | "CountBlock" >> beam.FlatMap(_by_shard, half_life_ms)
        return (
            (some, every)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.MapTuple(lambda _, sums: (None, add_up(sums, half_life_ms)))
            | "Gather" >> beam.GroupByKey()
            | "Shards" >> beam.Values()
            | "Write" >> beam.Map(self._write, beam.pvalue.AsSingleton(self.transform_fn), half_life_ms)
        )

    def _write(self, shards: Iterable[bytes], transform_fn: str, half_life_ms: float) -> dict:
        ids = list(iterate_vocabulary(join(transform_fn, "assets", VOCAB_ITEMS)))
        sink = io.BytesIO()
        decays = self.layout.popularity_half_life_days is not None
        table = items_table(ids, add_up(shards, half_life_ms), half_life_ms, decays, self.has_times)
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue()
        write_once(self.path, data)
        return {
            "name": self.path.rsplit("/", 1)[1],
            "records": len(ids),
            "bytes": len(data),
            "crc32c": f"{google_crc32c.value(data):08x}",
        }


def _by_shard(block: pa.RecordBatch, half_life_ms: float) -> Iterator[tuple[int, bytes]]:
    users, items, ratings, times = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING, TIME_MS))
    sums = count(users, items, ratings, times, half_life_ms)
    for shard, rows in columns.split(sums, sums[ITEM_ID].to_numpy() % _SHARDS):
        reference = columns.to_bytes(rows)
        _COUNTER.add(rows.num_rows, len(reference))
        yield shard, reference


def count(
    users: np.ndarray, items: np.ndarray, ratings: np.ndarray, times: np.ndarray, half_life_ms: float
) -> pa.RecordBatch:
    """Sums of the interactions [n] of a block by item; those that a minimum count left out have an index of -1."""
    kept = (users >= 0) & (items >= 0)
    items, ratings, times = items[kept], ratings[kept], times[kept]
    size = int(items.max(initial=-1)) + 1
    last = np.full(size, np.iinfo(np.int64).min)
    np.maximum.at(last, items, times)
    first = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    visitors = np.bincount(items, minlength=size)
    decayed = np.bincount(items, np.exp2((times - last[items]) / half_life_ms), size)
    there = np.flatnonzero(visitors)
    sums = (there, visitors[there], decayed[there], np.bincount(items, ratings, size)[there], first[there], last[there])
    return pa.RecordBatch.from_arrays([pa.array(column) for column in sums], schema=_SUMS)


def add_up(parts: Iterable[bytes], half_life_ms: float) -> bytes:
    """The sums of all parts by item, ascending; empty where there are none."""
    tables = [columns.from_bytes(iter([part])) for part in sorted(part for part in parts if part)]
    if not tables:
        return b""
    table = pa.concat_tables(tables)
    items = table[ITEM_ID].to_numpy()
    order = np.argsort(items, kind="stable")
    items, visitors, recent, ratings, first, last = (column.to_numpy()[order] for column in table.columns)
    starts = np.flatnonzero(np.concatenate([[True], items[1:] != items[:-1]]))
    latest = np.maximum.reduceat(last, starts)
    ages = last - np.repeat(latest, np.diff(np.append(starts, len(items))))
    recent = recent * np.exp2(ages / half_life_ms)
    sums = [
        items[starts],
        *(np.add.reduceat(column, starts) for column in (visitors, recent, ratings)),
        np.minimum.reduceat(first, starts),
        latest,
    ]
    return columns.to_bytes(pa.RecordBatch.from_arrays([pa.array(column) for column in sums], schema=_SUMS))


def items_table(ids: list[bytes], sums: bytes, half_life_ms: float, decays: bool, has_times: bool) -> pa.Table:
    """The table of all items, in the order of their ids; nulls where an item has no interaction, or there are no times.

    Popularity, where it decays, and recent popularity are as of the last interaction of all.
    """
    table = columns.from_bytes(iter([sums])) if sums else pa.Table.from_batches([], _SUMS)
    items, visitors, recent, ratings, first, last = (column.to_numpy() for column in table.columns)
    if len(items):
        recent = _rounded(recent * np.exp2((last - last.max()) / half_life_ms))

    def spread(values: np.ndarray, nothing: int | None) -> pa.Array:
        whole, there = np.zeros(len(ids), values.dtype), np.zeros(len(ids), bool)
        whole[items], there[items] = values, True
        return pa.array(whole, mask=None if nothing == 0 else ~there)

    def timed(values: np.ndarray, nothing: int | None) -> pa.Array:
        return spread(values, nothing) if has_times else pa.nulls(len(ids), pa.from_numpy_dtype(values.dtype))

    return pa.table(
        {
            CONTENT_ID: pa.array([name.decode() for name in ids], pa.string()),
            VISITORS: spread(visitors, 0),
            POPULARITY: spread(recent if decays else visitors.astype(np.float64), 0),
            RECENT_POPULARITY: timed(recent, 0),
            MEAN_RATING: spread(_rounded(ratings / visitors), None),
            FIRST_TIME_MS: timed(first, None),
            LAST_TIME_MS: timed(last, None),
        }
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)
