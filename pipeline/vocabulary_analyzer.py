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

from configs.artifacts import join
from pipeline import columns
from pipeline.row_files import write_once

_ID, _COUNT = "id", "count"
_COUNTS = pa.schema([pa.field(_ID, pa.large_binary()), pa.field(_COUNT, pa.int64())])
_SHARDS = 16  # of the ids, summed side by side

# TensorFlow makes no table of an empty file; the job refuses a dataset without interactions by its counts.
_NOTHING = b"no id\n"


def vocabulary(ids: tf.Tensor, counts: tf.Tensor, name: str, least: int) -> tf.Tensor:
    """Path of the vocabulary of all ids, an asset of the transform_fn: string scalar, for tft.apply_vocabulary.

    Args:
        ids: string [n], without empty ids or line ends.
        counts: int64 [n], how often each stands in its block.
        name: of the asset.
        least: ids with a smaller sum of counts are left out.
    """
    (path,) = tft.experimental.ptransform_analyzer(
        [ids, counts],
        CountIds(name, least),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[_NOTHING],
        name=name,
    )
    register_vocab(name)
    return path


class CountIds(PTransformAnalyzer):
    """(ids object[n], counts int64[n]) of each block -> the path of the vocabulary's file."""

    def __init__(self, name: str, least: int):
        super().__init__()
        self._name, self._least = name, least

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        some = batches | "Split" >> beam.FlatMapTuple(_split)
        every = batches.pipeline | "EveryShard" >> beam.Create([(shard, b"") for shard in range(_SHARDS)])
        return (
            (some, every)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.MapTuple(lambda _, blocks: (None, sum_counts(blocks, self._least)))
            | "Gather" >> beam.GroupByKey()
            | "Shards" >> beam.Values()
            | "Write" >> beam.Map(_write, join(self.base_temp_dir, self._name))
        )


def _split(ids: np.ndarray, counts: np.ndarray) -> Iterator[tuple[int, bytes]]:
    batch = pa.RecordBatch.from_arrays([pa.array(ids, pa.large_binary()), pa.array(counts)], schema=_COUNTS)
    for shard, rows in columns.split(batch, columns.shard_of(batch.column(0), _SHARDS)):
        yield shard, columns.to_bytes(rows)


def sum_counts(blocks: Iterable[bytes], least: int) -> bytes:
    """The ids of one shard with the sums of their counts, those below `least` left out."""
    tables = [columns.from_bytes(iter([block])) for block in blocks if block]
    if not tables:
        return b""
    sums = pa.concat_tables(tables).group_by(_ID).aggregate([(_COUNT, "sum")])
    counts = pa.table([sums[_ID], sums[f"{_COUNT}_sum"]], schema=_COUNTS)
    enough = counts.filter(pc.greater_equal(counts[_COUNT], least)).combine_chunks()
    return columns.to_bytes(enough.to_batches()[0]) if enough.num_rows else b""


def _write(shards: Iterable[bytes], path: str) -> np.ndarray:
    """All shards' counts -> the path of the file that now holds their ids."""
    write_once(path, b"".join([ident + b"\n" for ident in in_order(shards)]) or _NOTHING)
    return np.array(path, object)


def in_order(shards: Iterable[bytes]) -> list[bytes]:
    """The ids of all shards, most frequent first, ties by bytes, descending."""
    tables = [columns.from_bytes(iter([shard])) for shard in shards if shard]
    if not tables:
        return []
    table = pa.concat_tables(tables)
    return table.sort_by([(_COUNT, "descending"), (_ID, "descending")])[_ID].to_pylist()
