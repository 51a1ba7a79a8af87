"""Encoded blocks -> the TFRecord files of both group-by datasets."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, TaggedOutput

from artifacts import storage, tfrecords
from artifacts.checksums import FileDescription, describe_bytes
from artifacts.names import MEDIAN
from artifacts.paths import join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.settings import DatasetSettings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.dataset.grouping import (
    SIDES,
    EncodedInteractions,
    Sizes,
    group,
    partition,
    shards_for,
    used_interactions,
)
from pipeline.interactions.blocks import values_of

COUNTS = "counts"
AGAIN_PAIRS = "pairs.recommended_again"


@dataclass(frozen=True)
class RowFiles:
    """Collections of (name, FileDescription), of Counters by name, and of medians (floats)."""

    files: beam.PCollection
    counts: beam.PCollection
    medians: beam.PCollection


@dataclass
class WriteRows(beam.PTransform):
    """Encoded one-row record batches -> `items_for_user-*` and `users_for_item-*`, grouped by user and by item."""

    root: str
    interactions: beam.PCollection  # a singleton, their number in train
    layout: DatasetSettings
    store: BlockStore
    sides: tuple[str, ...] = SIDES
    sizes: Sizes = Sizes()  # noqa: RUF009 - frozen

    def expand(self, blocks: beam.PCollection) -> RowFiles:
        shards = self.interactions | "Shards" >> beam.Map(shards_for, self.layout.shards)
        partitioned = blocks | "Partition" >> beam.ParDo(
            _Partition(self.store, self.sides), AsSingleton(shards)
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

    def __init__(self, store: BlockStore, sides: tuple[str, ...]):
        self._store, self._sides = store, sides
        self._encoded, self._grouped = (StepCounter(_step(name, sides)) for name in ("encode", "group"))

    def process(self, block: pa.RecordBatch, shards: int) -> Iterator[object]:
        interactions, skipped = used_interactions(block)
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
    """((side, shard), references to entries) -> (name, description) of the shard's file."""

    def __init__(self, rows: WriteRows):
        self._root, self._compressed = rows.root, rows.layout.gzip
        self._store, self._sizes = rows.store, rows.sizes
        self._counter = StepCounter(_step("write", rows.sides))

    def process(
        self, element: tuple[tuple[str, int], Iterable[bytes]], shards: int
    ) -> Iterator[tuple[str, FileDescription]]:
        (side, shard), references = element
        references = [reference for reference in references if reference]
        rows = (group(self._store.get(references)) if references else SparseRows.empty(0)).cut(self._sizes.record)
        encoded = map(tfrecords.encode, rows.split(self._sizes.batch))
        data = b"".join(tfrecords.frame(examples, begins.tolist()) for examples, begins in encoded)
        if self._compressed:
            data = gzip.compress(data, compresslevel=6, mtime=0)  # no time stamp: same rows, same bytes
        name = shard_name(side, shard, shards, ".gz" if self._compressed else "")
        storage.write_bytes(join(self._root, name), data)
        self._counter.add(len(rows), len(data))
        yield name, describe_bytes(data, records=len(rows), interactions=len(rows.indices))


def _step(name: str, sides: tuple[str, ...]) -> str:
    """Return a step's name in the manifest; steps of held-out rows have names of their own."""
    return name if sides == SIDES else "_".join((*sides, name))
