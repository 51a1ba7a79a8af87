"""A TFT analyzer that makes a vocabulary from ids that are counted already, by columns.

tft.vocabulary sends each distinct id through its shuffles as an element of its own: about 40 microseconds an id,
half of the pipeline's time with 200,000 visitors. Here the ids of a block stay an Arrow column until the file is
written. The file is the one tft.vocabulary writes: most frequent first, ties by bytes, descending.
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

from artifacts.paths import join
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.dataset.row_files import write_once
from pipeline.interactions import columns

_ID, _COUNT = "id", "count"
_COUNTS = pa.schema([pa.field(_ID, pa.large_binary()), pa.field(_COUNT, pa.int64())])
_SHARDS = 16  # of the ids, summed side by side

# TensorFlow makes no table of an empty file; the job refuses a dataset without interactions by its counts.
_NOTHING = b"no id\n"


def vocabulary(ids: tf.Tensor, counts: tf.Tensor, name: str, least: int, store: BlockStore) -> tf.Tensor:
    """Path of the vocabulary of all ids, an asset of the transform_fn: string scalar, for tft.apply_vocabulary.

    Args:
        ids: string [n], without empty ids or line ends.
        counts: int64 [n], how often each stands in its block.
        name: of the asset.
        least: ids with a smaller sum of counts are left out.
        store: takes the ids on their way between workers.
    """
    (path,) = tft.experimental.ptransform_analyzer(
        [ids, counts],
        CountIds(name, least, store),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[_NOTHING],
        name=name,
    )
    register_vocab(name)
    return path


class CountIds(PTransformAnalyzer):
    """(ids object[n], counts int64[n]) of each block -> the path of the vocabulary's file."""

    def __init__(self, name: str, least: int, store: BlockStore):
        super().__init__()
        self._name, self._least, self._store = name, least, store

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        some = batches | "Split" >> beam.ParDo(_Split(self._name, self._store))
        every = batches.pipeline | "EveryShard" >> beam.Create([(shard, b"") for shard in range(_SHARDS)])
        return (
            (some, every)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.ParDo(_Sum(self._name, self._least, self._store))
            | "Gather" >> beam.GroupByKey()
            | "Shards" >> beam.Values()
            | "Write" >> beam.Map(_write, join(self.base_temp_dir, self._name), self._store)
        )


class _Split(beam.DoFn):
    """(ids object[n], counts int64[n]) -> (shard, reference of ids and counts)."""

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
    """(shard, references of ids and counts) -> (None, reference of the shard's sums)."""

    def __init__(self, name: str, least: int, store: BlockStore):
        self._least, self._store, self._counter = least, store, StepCounter(name)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[None, bytes]]:
        references = [reference for reference in element[1] if reference]
        if references:
            yield None, self._store.put(sum_counts(self._store.get(references), self._least), self._counter)
        else:
            yield None, b""

    def teardown(self) -> None:
        self._store.close()


def sum_counts(counts: pa.Table, least: int) -> pa.RecordBatch:
    """Each id once with the sum of its counts, those below `least` left out."""
    sums = counts.group_by(_ID).aggregate([(_COUNT, "sum")])
    counts = pa.table([sums[_ID], sums[f"{_COUNT}_sum"]], schema=_COUNTS)
    enough = counts.filter(pc.greater_equal(counts[_COUNT], least)).combine_chunks()
    return enough.to_batches()[0] if enough.num_rows else pa.RecordBatch.from_pylist([], _COUNTS)


def _write(shards: Iterable[bytes], path: str, store: BlockStore) -> np.ndarray:
    """All shards' counts -> the path of the file that now holds their ids."""
    references = [reference for reference in shards if reference]
    write_once(path, lines(store.get(references)) if references else _NOTHING)
    return np.array(path, object)


def lines(counts: pa.Table) -> bytes:
    """The ids as lines, most frequent first, ties by bytes, descending."""
    ordered = counts.sort_by([(_COUNT, "descending"), (_ID, "descending")])[_ID].combine_chunks()
    nothing, line_end = (pa.scalar(text, ordered.type) for text in (b"", b"\n"))
    ended = pc.binary_join_element_wise(ordered, nothing, line_end)
    _, offsets, data = ended.buffers()
    return data[: np.frombuffer(offsets, np.int64)[len(ended)]].to_pybytes() or _NOTHING
