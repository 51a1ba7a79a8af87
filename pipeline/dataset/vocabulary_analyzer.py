"""A TFT analyzer that makes a vocabulary from ids that are counted already, by columns.

tft.vocabulary sends each distinct id through its shuffles as one element: about 40 microseconds per id, which was half
of the pipeline's time with 200,000 visitors. Here the ids of a block stay an Arrow column until the file is written.
The file is the one that tft.vocabulary writes: most frequent first, ties by bytes, descending.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.analyzers import register_vocab
from tensorflow_transform.beam.experimental import PTransformAnalyzer

from artifacts import storage
from artifacts.paths import join
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns

_ID, _COUNT = "id", "count"
_COUNTS = pa.schema([pa.field(_ID, pa.large_binary()), pa.field(_COUNT, pa.int64())])
_SHARDS = 16  # of the ids, summed in parallel

# TensorFlow cannot load an empty table; the job refuses a dataset without interactions by its counts.
PLACEHOLDER = b"no id\n"


def vocabulary(ids: tf.Tensor, counts: tf.Tensor, name: str, least: int, store: BlockStore) -> tf.Tensor:
    """Return the path of the vocabulary of all ids: a string scalar, for tft.apply_vocabulary.

    Args:
        ids: string [n], without empty ids or line ends.
        counts: int64 [n], how often each occurs in its block.
        name: of the file among the transform_fn's assets.
        least: the smallest sum of counts of an id that is kept.
    """
    (path,) = tft.experimental.ptransform_analyzer(
        [ids, counts],
        CountIds(name, least, store),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[PLACEHOLDER],
        name=name,
    )
    register_vocab(name)
    return path


class CountIds(PTransformAnalyzer):
    """(ids object[n], counts int64[n]) of each block -> the path of the vocabulary's file."""

    def __init__(self, name: str, least: int, store: BlockStore):
        super().__init__()
        self._name, self._least, self._store = name, least, store

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        split = blocks | "Split" >> beam.ParDo(_Split(self._name, self._store))
        every_shard = blocks.pipeline | "EveryShard" >> beam.Create([(shard, b"") for shard in range(_SHARDS)])
        return (
            (split, every_shard)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.ParDo(_Sum(self._name, self._least, self._store))
            | "Gather" >> beam.GroupByKey()
            | "Shards" >> beam.Values()
            | "Write" >> beam.Map(_write, join(self.base_temp_dir, self._name), self._store)
        )


class _Split(beam.DoFn):
    """(ids object[n], counts int64[n]) -> (shard, reference to ids and counts)."""

    def __init__(self, name: str, store: BlockStore):
        self._store, self._counter = store, StepCounter(f"{name}_split")

    def process(self, block: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, bytes]]:
        ids, counts = block
        batch = pa.RecordBatch.from_arrays([pa.array(ids, pa.large_binary()), pa.array(counts)], schema=_COUNTS)
        for shard, rows in columns.split(batch, columns.shard_of(batch.column(0), _SHARDS)):
            yield shard, self._store.put(rows, self._counter)

    def teardown(self) -> None:
        self._store.close()


class _Sum(beam.DoFn):
    """(shard, references to ids and counts) -> (None, reference to the shard's sums)."""

    def __init__(self, name: str, least: int, store: BlockStore):
        self._least, self._store, self._counter = least, store, StepCounter(name)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[None, bytes]]:
        references = [reference for reference in element[1] if reference]
        sums = sum_counts(self._store.get(references), self._least) if references else None
        yield None, self._store.put(sums, self._counter) if sums is not None else b""

    def teardown(self) -> None:
        self._store.close()


def sum_counts(counts: pa.Table, least: int) -> pa.RecordBatch:
    """Return each id once with the sum of its counts, without those whose sum is below `least`."""
    sums = counts.group_by(_ID).aggregate([(_COUNT, "sum")])
    counts = pa.table([sums[_ID], sums[f"{_COUNT}_sum"]], schema=_COUNTS)
    frequent = counts.filter(pc.greater_equal(counts[_COUNT], least)).combine_chunks()
    return frequent.to_batches()[0] if frequent.num_rows else pa.RecordBatch.from_pylist([], _COUNTS)


def _write(shards: Iterable[bytes], path: str, store: BlockStore) -> np.ndarray:
    """Write the ids of all shards to a file, and return its path."""
    references = [reference for reference in shards if reference]
    storage.write_bytes(path, lines(store.get(references)) if references else PLACEHOLDER)
    return np.array(path, object)


def lines(counts: pa.Table) -> bytes:
    """Return the ids as lines, most frequent first, ties by bytes, descending."""
    ordered = counts.sort_by([(_COUNT, "descending"), (_ID, "descending")])
    return b"".join(name + b"\n" for name in ordered[_ID].to_pylist()) or PLACEHOLDER
