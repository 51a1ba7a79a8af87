"""A TFT analyzer that counts the values of all fields at once: the bounded vocabulary of each, and numbers per value.

Its blocks have each value once, as in `pipeline.dataset.vocabulary_analyzer`, whose file this is, but for its bounds.
One analyzer for all fields keeps the number of steps of the pipeline independent of the number of fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from apache_beam.pvalue import TaggedOutput
from tensorflow_transform import analyzer_nodes, nodes
from tensorflow_transform.beam.experimental import PTransformAnalyzer

from artifacts import storage
from artifacts.paths import join
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.dataset.vocabulary_analyzer import PLACEHOLDER, lines
from pipeline.interactions import columns

_ID, _COUNT, _SUM = "id", "count", "sum"
_COUNTS = pa.schema([pa.field(_ID, pa.large_binary()), pa.field(_COUNT, pa.int64()), pa.field(_SUM, pa.int64())])
_SHARDS = 4  # of a field's values, summed in parallel


class Counting(NamedTuple):
    """A field, and the bounds of its vocabulary."""

    name: str  # of the vocabulary's file among the assets
    least: int  # rows that a value must be in
    limit: int  # values that are kept, the most frequent ones


class Counted(NamedTuple):
    """Tensors of a field: its vocabulary, and what its values add up to."""

    path: tf.Tensor  # string scalar, for tft.apply_vocabulary
    counts: tf.Tensor  # int64 [v]; 0 for the placeholder of an empty vocabulary
    sums: tf.Tensor  # int64 [v]
    dropped: tf.Tensor  # int64 [2]: values below `least`, and over `limit`


class Values(NamedTuple):
    """The distinct values of a block, the rows that have each, and the sum of a number over these rows."""

    values: tf.Tensor  # string [n]
    counts: tf.Tensor  # int64 [n]
    sums: tf.Tensor  # int64 [n]


def count(values: Mapping[Counting, Values], store: BlockStore) -> dict[Counting, Counted]:
    """Return what the values of each field add up to, over all blocks."""
    if not values:
        return {}
    # As `tft.experimental.ptransform_analyzer`, which takes either only files as outputs or only numbers.
    infos = [
        analyzer_nodes.TensorInfo(tf.string, [], analyzer_nodes.TemporaryAssetInfo(PLACEHOLDER, "text")),
        *(analyzer_nodes.TensorInfo(tf.int64, shape, None) for shape in ([None], [None], [2])),
    ]
    with tf.name_scope("value_counts"):
        made = nodes.apply_multi_output_operation(
            analyzer_nodes.PTransform,
            analyzer_nodes.get_input_tensors_value_nodes([tensor for block in values.values() for tensor in block]),
            ptransform=CountValues(tuple(values), store),
            is_partitionable=False,
            output_tensor_info_list=infos * len(values),
        )
        outputs = [analyzer_nodes.wrap_as_tensor(node) for node in made]
    return {counting: Counted(*outputs[4 * n : 4 * n + 4]) for n, counting in enumerate(values)}


class CountValues(PTransformAnalyzer):
    """Arrays of `Values` of all fields, of each block -> those of `Counted` of all fields."""

    def __init__(self, fields: tuple[Counting, ...], store: BlockStore):
        super().__init__()
        self._fields, self._store = fields, store

    def expand(self, blocks: beam.PCollection) -> tuple[beam.PCollection, ...]:
        split = blocks | "Split" >> beam.ParDo(_Split(len(self._fields), self._store))
        keys = [(field, shard) for field in range(len(self._fields)) for shard in range(_SHARDS)]
        every_shard = blocks.pipeline | "EveryShard" >> beam.Create([(key, b"") for key in keys])
        names = [f"{field}_{part}" for field in range(len(self._fields)) for part in Counted._fields]
        written = (
            (split, every_shard)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Sum" >> beam.ParDo(_Sum(self._fields, self._store))
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.FlatMap(_write, self._fields, self.base_temp_dir, self._store).with_outputs(*names)
        )
        return tuple(written[name] for name in names)


class _Split(beam.DoFn):
    """Arrays of each field -> ((field, shard), reference to values)."""

    def __init__(self, fields: int, store: BlockStore):
        self._fields, self._store, self._counter = fields, store, StepCounter("features_split")

    def process(self, block: tuple[np.ndarray, ...]) -> Iterator[tuple[tuple[int, int], bytes]]:
        for field in range(self._fields):
            ids, counts, sums = block[3 * field : 3 * field + 3]
            if not len(ids):
                continue
            arrays = [pa.array(ids, pa.large_binary()), pa.array(counts), pa.array(sums)]
            batch = pa.RecordBatch.from_arrays(arrays, schema=_COUNTS)
            for shard, rows in columns.split(batch, columns.shard_of(batch.column(0), _SHARDS)):
                yield (field, shard), self._store.put(rows, self._counter)

    def teardown(self) -> None:
        self._store.close()


class _Sum(beam.DoFn):
    """((field, shard), references to values) -> (field, (reference to those that are kept, number of the others))."""

    def __init__(self, fields: tuple[Counting, ...], store: BlockStore):
        self._fields, self._store, self._counter = fields, store, StepCounter("features_sum")

    def process(self, element: tuple[tuple[int, int], Iterable[bytes]]) -> Iterator[tuple[int, tuple[bytes, int]]]:
        (field, _), references = element
        references = [reference for reference in references if reference]
        if not references:
            yield field, (b"", 0)
            return
        kept, dropped = add_up(self._store.get(references), self._fields[field].least)
        yield field, (self._store.put(kept, self._counter) if kept.num_rows else b"", dropped)

    def teardown(self) -> None:
        self._store.close()


def add_up(values: pa.Table, least: int) -> tuple[pa.RecordBatch, int]:
    """Return each value once with its sums, without those in fewer than `least` rows, and how many these are."""
    summed = values.group_by(_ID, use_threads=False).aggregate([(_COUNT, "sum"), (_SUM, "sum")])
    summed = pa.table([summed[_ID], summed[f"{_COUNT}_sum"], summed[f"{_SUM}_sum"]], schema=_COUNTS)
    kept = summed.filter(pc.greater_equal(summed[_COUNT], least)).combine_chunks()
    (batch,) = kept.to_batches() or [pa.RecordBatch.from_pylist([], _COUNTS)]
    return batch, summed.num_rows - kept.num_rows


def _write(
    element: tuple[int, Iterable[tuple[bytes, int]]],
    fields: tuple[Counting, ...],
    directory: str,
    store: BlockStore,
) -> Iterator[TaggedOutput]:
    """Write the vocabulary of a field; yield the arrays of `Counted`."""
    field, shards = element[0], list(element[1])
    bounds = fields[field]
    references = sorted(reference for reference, _ in shards if reference)
    values = store.get(references) if references else _COUNTS.empty_table()
    ordered = values.sort_by([(_COUNT, "descending"), (_ID, "descending")])
    kept = ordered.slice(0, bounds.limit)
    path = join(directory, bounds.name)
    storage.write_bytes(path, lines(kept))
    counts, sums = (kept[name].to_numpy() if kept.num_rows else np.zeros(1, np.int64) for name in (_COUNT, _SUM))
    dropped = np.array([sum(rare for _, rare in shards), ordered.num_rows - kept.num_rows], np.int64)
    for part, value in zip(Counted._fields, (np.array(path, object), counts, sums, dropped), strict=True):
        yield TaggedOutput(f"{field}_{part}", value)
