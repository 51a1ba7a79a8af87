"""Encoded blocks -> the TFRecord files of both group-by datasets."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, TaggedOutput

from artifacts import storage, tfrecords
from artifacts.checksums import FileDescription, describe_bytes
from artifacts.names import MEDIAN, VIEW_DAYS
from artifacts.paths import join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.settings import DatasetSettings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.dataset.grouping import (
    ITEMS_FOR_USER,
    SIDES,
    EncodedInteractions,
    Grouped,
    Sizes,
    group,
    partition,
    shards_for,
    used_interactions,
)
from pipeline.interactions.blocks import values_of

COUNTS = "counts"
AGAIN_PAIRS = "pairs.recommended_again"
_NO_DAYS = np.zeros(0, np.uint16)


@dataclass(frozen=True)
class RowFiles:
    """Collections of (name, FileDescription), of Counters by name, and of medians (floats)."""

    files: beam.PCollection
    counts: beam.PCollection
    medians: beam.PCollection


@dataclass
class WriteRows(beam.PTransform):
    """Encoded one-row record batches -> `items_for_user-*` and `users_for_item-*`, grouped by user and by item.

    timed: whether the times are known; then `view_days-*` is written next to `items_for_user-*`.
    """

    root: str
    interactions: beam.PCollection  # a singleton, their number in train
    layout: DatasetSettings
    store: BlockStore
    sides: tuple[str, ...] = SIDES
    sizes: Sizes = Sizes()  # noqa: RUF009 - frozen
    timed: bool = False

    def expand(self, blocks: beam.PCollection) -> RowFiles:
        shards = self.interactions | "Shards" >> beam.Map(shards_for, self.layout.shards)
        partitioned = blocks | "Partition" >> beam.ParDo(
            _Partition(self.store, self.sides, self.timed), AsSingleton(shards)
        ).with_outputs(COUNTS, MEDIAN, main="entries")
        # So that each shard has a file, even an empty one.
        every_shard = shards | "EveryShard" >> beam.FlatMap(
            lambda count, sides: [((side, shard), b"") for side in sides for shard in range(count)], self.sides
        )
        files = (
            (partitioned.entries, every_shard)
            | "AllEntries" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(self), AsSingleton(shards))
        )
        return RowFiles(files, partitioned[COUNTS], partitioned[MEDIAN])


class _Partition(beam.DoFn):
    """block -> ((side, shard), reference to entries); tagged: counts and the median."""

    def __init__(self, store: BlockStore, sides: tuple[str, ...], timed: bool):
        self._store, self._sides, self._timed = store, sides, timed
        self._encoded, self._grouped = (StepCounter(_step(name, sides)) for name in ("encode", "group"))

    def process(self, block: pa.RecordBatch, shards: int) -> Iterator[object]:
        interactions, skipped = used_interactions(block, self._timed)
        self._encoded.add(len(interactions.users), block.nbytes)
        yield TaggedOutput(COUNTS, Counter(skipped, **counted(interactions)))
        yield TaggedOutput(MEDIAN, float(values_of(block, MEDIAN)[0]))
        for key, entries in partition(interactions, shards, self._sides):
            yield key, self._store.put(entries, self._grouped)

    def teardown(self) -> None:
        self._store.close()


def counted(interactions: EncodedInteractions) -> dict[str, int]:
    """Return how many interactions there are, and how many of an item that may be recommended again."""
    again = 0 if interactions.again is None else int(interactions.again.sum())
    return {"pairs.used": len(interactions.users), AGAIN_PAIRS: again}


class _WriteShard(beam.DoFn):
    """((side, shard), references to entries) -> (name, description) of the shard's files."""

    def __init__(self, rows: WriteRows):
        self._root, self._compressed, self._timed = rows.root, rows.layout.gzip, rows.timed
        self._store, self._sizes = rows.store, rows.sizes
        self._counter = StepCounter(_step("write", rows.sides))

    def process(
        self, element: tuple[tuple[str, int], Iterable[bytes]], shards: int
    ) -> Iterator[tuple[str, FileDescription]]:
        (side, shard), references = element
        references = [reference for reference in references if reference]
        grouped = group(self._store.get(references)) if references else Grouped(SparseRows.empty(0), _NO_DAYS)
        rows = grouped.rows.cut(self._sizes.record)
        encoded = map(tfrecords.encode, rows.split(self._sizes.batch))
        data = b"".join(tfrecords.frame(examples, begins.tolist()) for examples, begins in encoded)
        if self._compressed:
            data = gzip.compress(data, compresslevel=6, mtime=0)  # no time stamp: same rows, same bytes
        name = shard_name(side, shard, shards, ".gz" if self._compressed else "")
        self._counter.add(len(rows), len(data))
        yield self._write(name, data, records=len(rows), interactions=rows.entries)
        if self._timed and side == ITEMS_FOR_USER:
            name = shard_name(VIEW_DAYS, shard, shards, ".npy")
            yield self._write(name, _as_npy(cast(np.ndarray, grouped.days)), interactions=rows.entries)

    def _write(self, name: str, data: bytes, **counts: int) -> tuple[str, FileDescription]:
        storage.write_bytes(join(self._root, name), data)
        return name, describe_bytes(data, **counts)


def _as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _step(name: str, sides: tuple[str, ...]) -> str:
    """Return a step's name in the manifest; steps of held-out rows have names of their own."""
    return name if sides == SIDES else "_".join((*sides, name))
