"""Statistics of each item, from the encoded blocks on their way to the rows, and its attributes -> items.parquet.

A block becomes a few sums per item, which are added up by shards of items, so the interactions are not shuffled again.
Sums of fractions are added in a fixed order and rounded to the 24 bits of a float32, so the file does not depend on how
the input was split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsIter, AsSingleton

from artifacts import names, storage
from artifacts.checksums import describe_bytes
from artifacts.items_table import ItemsTable
from artifacts.paths import join
from artifacts.vocabulary import iterate_ids
from configs.settings import Settings
from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns
from pipeline.interactions.blocks import values_of
from pipeline.sources.items import attributes, catalogue

_SHARDS = 16  # of the items, summed in parallel
_RATINGS = "ratings"  # their sum
_SUMS = pa.schema(
    {
        names.ITEM_ID: pa.int64(),
        names.VISITORS: pa.int64(),
        names.RECENT_POPULARITY: pa.float64(),  # as of the item's own last time
        _RATINGS: pa.float64(),
        names.FIRST_TIME_MS: pa.int64(),
        names.LAST_TIME_MS: pa.int64(),
    }
)
COUNTS = "counts"
_COUNTER = StepCounter("items")


@dataclass
class WriteItems(beam.PTransform):
    """Encoded one-row record batches -> (name, description) of items.parquet, which it writes; counts on the side."""

    path: str
    transform_fn: beam.PCollection  # the path of TFT's transform_fn, whose assets contain the vocabulary
    attributes: beam.PCollection  # their values, see pipeline.sources.items.attributes
    settings: Settings
    catalogue: str | None = None  # the path of the table that joins them

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        half_life_ms = self.settings.dataset.recent_half_life_days * names.DAY_MS
        write = beam.FlatMap(self._write, AsSingleton(self.transform_fn), AsIter(self.attributes), half_life_ms)
        every_shard = blocks.pipeline | "EveryShard" >> beam.Create([(shard, b"") for shard in range(_SHARDS)])
        sums = blocks | "CountBlock" >> beam.FlatMap(_sums_by_shard, half_life_ms)
        return (
            (sums, every_shard)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.MapTuple(lambda _, parts: (None, add_up(parts, half_life_ms)))
            | "Gather" >> beam.GroupByKey()
            | "Shards" >> beam.Values()
            | "Write" >> write.with_outputs(COUNTS, main="file")
        )

    def _write(
        self, shards: Iterable[bytes], transform_fn: str, values: Iterable[bytes], half_life_ms: float
    ) -> Iterator[object]:
        ids = list(iterate_ids(join(transform_fn, "assets", names.VOCAB_ITEMS)))
        source, decays = self.settings.source, self.settings.dataset.popularity_half_life_days is not None
        table = items_table(ids, add_up(shards, half_life_ms), half_life_ms, decays, source.has_times)
        chosen = attributes.choose(values, pa.array(ids, pa.binary()), source.item_attributes, source.attribute_rule)
        if self.catalogue:
            chosen = catalogue.join(ids, chosen, catalogue.read_staged(self.catalogue))
        for name, column in zip(chosen.table.column_names, chosen.table.columns, strict=True):
            table = table.append_column(name, column)
        data = ItemsTable(table).to_bytes()
        storage.write_bytes(self.path, data)
        yield self.path.rsplit("/", 1)[1], describe_bytes(data, records=len(ids))
        yield beam.pvalue.TaggedOutput(COUNTS, chosen.counts)


def _sums_by_shard(block: pa.RecordBatch, half_life_ms: float) -> Iterator[tuple[int, bytes]]:
    users, items, ratings, times = (
        values_of(block, name) for name in (names.USER_ID, names.ITEM_ID, names.RATING, names.TIME_MS)
    )
    sums = count(users, items, ratings, times, half_life_ms)
    for shard, rows in columns.split(sums, sums[names.ITEM_ID].to_numpy() % _SHARDS):
        data = columns.to_bytes(rows)
        _COUNTER.add(rows.num_rows, len(data))
        yield shard, data


def count(
    users: np.ndarray, items: np.ndarray, ratings: np.ndarray, times: np.ndarray, half_life_ms: float
) -> pa.RecordBatch:
    """Return the sums of a block's interactions [n] by item; an index of -1 is one that a minimum count left out."""
    used = (users >= 0) & (items >= 0)
    items, ratings, times = items[used], ratings[used], times[used]
    size = int(items.max(initial=-1)) + 1
    last = np.full(size, np.iinfo(np.int64).min)
    np.maximum.at(last, items, times)
    first = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    visitors = np.bincount(items, minlength=size)
    decayed = np.bincount(items, np.exp2((times - last[items]) / half_life_ms), size)
    ids = np.flatnonzero(visitors)
    sums = (ids, visitors[ids], decayed[ids], np.bincount(items, ratings, size)[ids], first[ids], last[ids])
    return pa.RecordBatch.from_arrays([pa.array(column) for column in sums], schema=_SUMS)


def add_up(parts: Iterable[bytes], half_life_ms: float) -> bytes:
    """Return the sums of all parts by item, ascending; empty if all parts are empty."""
    parts = sorted(part for part in parts if part)
    if not parts:
        return b""
    table = columns.from_bytes(iter(parts))
    items = table[names.ITEM_ID].to_numpy()
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
    """Return the table of all items in the order of their ids; nulls for items without interactions or without times.

    Recent popularity, and popularity if it decays, are as of the last interaction of all.
    """
    table = columns.from_bytes(iter([sums])) if sums else _SUMS.empty_table()
    items, visitors, recent, ratings, _, last = (column.to_numpy() for column in table.columns)
    recent = _rounded(recent * np.exp2((last - last.max(initial=np.iinfo(np.int64).min)) / half_life_ms))
    row = np.full(len(ids), -1)
    row[items] = np.arange(len(items))
    rows = pa.array(row, mask=row < 0)  # null for an item without interactions

    def timed(column: pa.Array) -> pa.Array:
        return column if has_times else pa.nulls(len(ids), column.type)

    return pa.table(
        {
            names.CONTENT_ID: pa.array([name.decode() for name in ids], pa.string()),
            names.VISITORS: pa.array(visitors).take(rows).fill_null(0),
            names.POPULARITY: pa.array(recent if decays else visitors.astype(np.float64)).take(rows).fill_null(0),
            names.RECENT_POPULARITY: timed(pa.array(recent).take(rows).fill_null(0)),
            names.MEAN_RATING: pa.array(_rounded(ratings / visitors)).take(rows),
            names.FIRST_TIME_MS: timed(table[names.FIRST_TIME_MS].combine_chunks().take(rows)),
            names.LAST_TIME_MS: timed(pa.array(last).take(rows)),
        }
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)
