"""Encoded blocks -> the TFRecord files of both group-by datasets."""

from __future__ import annotations

import gzip
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import google_crc32c
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from artifacts import examples, tfrecords
from artifacts.examples import Rows
from artifacts.names import MEDIAN
from artifacts.paths import join, shard_name
from artifacts.publish import write_file
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.dataset.grouping import NO_ROWS, SIDES, encoded_interactions, group, partition, shards_for
from pipeline.interactions.blocks import values_of

COUNTS = "counts"
_PIECE = 1 << 16  # entries of a record at most: an item that everyone viewed would make one of many megabytes
_ENTRIES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RowFiles:
    """files: a dict a file (name, records, interactions, bytes, crc32c). counts: Counters by name. medians: floats."""

    files: beam.PCollection
    counts: beam.PCollection
    medians: beam.PCollection


@dataclass
class WriteRows(beam.PTransform):
    """Groups encoded interactions by user and by item and writes `items_for_user-*` and `users_for_item-*`.

    Takes the one-row record batches that TFT gives, and a singleton: how many interactions there are. sides: those of
    pipeline.dataset.grouping that are written.
    """

    root: str
    interactions: beam.PCollection
    shards: int | None
    compressed: bool
    store: BlockStore
    sides: tuple[str, ...] = SIDES

    def expand(self, blocks: beam.PCollection) -> RowFiles:
        shards = self.interactions | "Shards" >> beam.Map(shards_for, self.shards)
        partitioned = blocks | "Partition" >> beam.ParDo(
            _Partition(self.store, self.sides), beam.pvalue.AsSingleton(shards)
        ).with_outputs(COUNTS, MEDIAN, main="entries")
        every_shard = shards | "EveryShard" >> beam.FlatMap(_every_shard, self.sides)
        files = (
            (partitioned.entries, every_shard)
            | "AllEntries" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Write"
            >> beam.ParDo(
                _WriteShard(self.root, self.compressed, self.store, self.sides), beam.pvalue.AsSingleton(shards)
            )
        )
        return RowFiles(files, partitioned[COUNTS], partitioned[MEDIAN])


class _Partition(beam.DoFn):
    """block -> ((side, shard), reference of entries); counts and the median aside."""

    def __init__(self, store: BlockStore, sides: tuple[str, ...]):
        self._store, self._sides = store, sides
        self._encoded, self._grouped = (StepCounter(_step(name, sides)) for name in ("encode", "group"))

    def process(self, block: pa.RecordBatch, shards: int) -> Iterator[object]:
        users, items, ratings, dropped = encoded_interactions(block)
        self._encoded.add(len(users), block.nbytes)
        yield beam.pvalue.TaggedOutput(COUNTS, Counter(dropped, **{"pairs.used": len(users)}))
        yield beam.pvalue.TaggedOutput(MEDIAN, float(values_of(block, MEDIAN)[0]))
        for key, entries in partition(users, items, ratings, shards, self._sides):
            yield key, self._store.put(entries, self._grouped)

    def teardown(self) -> None:
        self._store.close()


def _every_shard(shards: int, sides: tuple[str, ...]) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Nothing for each shard, so that each has its file, be it empty."""
    return (((side, shard), b"") for side in sides for shard in range(shards))


class _WriteShard(beam.DoFn):
    """((side, shard), references of entries) -> a file, described."""

    def __init__(self, root: str, compressed: bool, store: BlockStore, sides: tuple[str, ...]):
        self._root, self._compressed, self._store = root, compressed, store
        self._counter = StepCounter(_step("write", sides))

    def process(self, element: tuple[tuple[str, int], Iterable[bytes]], shards: int) -> Iterator[dict]:
        (side, shard), references = element
        found = [reference for reference in references if reference]
        rows = (group(self._store.get(found)) if found else NO_ROWS).cut(_PIECE)
        data = b"".join(_framed(rows))
        if self._compressed:
            data = gzip.compress(data, compresslevel=6, mtime=0)  # no clock: same rows, same bytes
        name = shard_name(side, shard, shards, ".gz" if self._compressed else "")
        write_once(join(self._root, name), data)
        self._counter.add(len(rows), len(data))
        yield {
            "name": name,
            "records": len(rows),
            "interactions": len(rows.indices),
            "bytes": len(data),
            "crc32c": f"{google_crc32c.value(data):08x}",
        }


def _step(name: str, sides: tuple[str, ...]) -> str:
    """What the manifest calls a step; that of what is held out has a name of its own."""
    return name if sides == SIDES else "_".join((*sides, name))


def write_once(path: str, data: bytes) -> None:
    """Writes beside and renames, so that a bundle that is retried or doubled leaves the one file, whole."""
    beside = f"{path}.{uuid.uuid4().hex}"
    write_file(beside, data)
    FileSystems.rename([beside], [path])


def _framed(rows: Rows) -> Iterator[bytes]:
    end = 0
    while end < len(rows):
        start = end
        end = int(np.searchsorted(rows.offsets, rows.offsets[start] + _ENTRIES_AT_ONCE, side="right")) - 1
        data, begins = examples.encode(rows.part(start, end))
        yield tfrecords.frame(data, np.asarray(begins).tolist())
