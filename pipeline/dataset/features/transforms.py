"""Attributes of items and of visitors -> the files of their features, and the graphs that make them.

The vocabularies, quantiles and frequencies are those of the rows of the dataset, which have factors to learn from; new
ones are looked up in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput

from artifacts.checksums import FileDescription
from artifacts.features import feature_rows
from artifacts.features.fields import Field
from artifacts.names import INDICES, KEY, VALUES, Side
from artifacts.paths import Dataset, join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.settings import Settings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.beam.transform_fn import Encode, Learn, adapter
from pipeline.dataset.features import blocks, export, graph
from pipeline.sources.items import catalogue as catalogues

FILES, COUNTS, NEW, IDS = "files", "counts", "new", "ids"
_ROWS, _NEW_IDS = "rows", "new_ids"  # of a shard
_ROWS_OF_A_SHARD = 200_000  # so that a shard of 20 features per row takes about 100 MB of a worker's memory
_ENCODED = pa.schema({KEY: pa.int64(), INDICES: pa.large_list(pa.int64()), VALUES: pa.large_list(pa.float32())})


@dataclass(frozen=True)
class FeatureFiles:
    """Collections of (name, FileDescription), of Counters by name, and of the graph's directory once it is written."""

    files: beam.PCollection
    counts: beam.PCollection
    graph: beam.PCollection

    @classmethod
    def none(cls, pipeline: beam.Pipeline) -> FeatureFiles:
        """Return empty collections."""
        return cls(*(pipeline | name >> beam.Create([]) for name in ("Files", "Counts", "Graph")))


@dataclass(frozen=True)
class FeatureJob:
    """The data and settings that the features of one side need."""

    side: Side
    fields: tuple[Field, ...]
    settings: Settings
    catalogue: str | None  # the path of the side's table, which joins the attributes of the data
    root: str
    store: BlockStore
    temporary: str


@dataclass
class WriteItemFeatures(beam.PTransform):
    """(name, description) of items.parquet, once it is written -> the files of the items' features."""

    job: FeatureJob
    attributes: beam.PCollection  # of the data, see pipeline.sources.items.attributes

    def expand(self, items: beam.PCollection) -> FeatureFiles:
        made = items | "Blocks" >> beam.ParDo(_MakeBlocks(self.job), AsIter(self.attributes)).with_outputs(
            FILES, COUNTS, NEW, IDS, main="known"
        )
        written = (made.known, made[NEW], made[IDS], made[COUNTS]) | "Write" >> WriteFeatures(self.job)
        files = (written.files, made[FILES]) | "AllFiles" >> beam.Flatten()
        return FeatureFiles(files, written.counts, written.graph)


@dataclass
class WriteFeatures(beam.PTransform):
    """References to blocks of known and of new rows, and to the new ones' ids; counts -> the files of one side."""

    job: FeatureJob

    def expand(self, made: tuple[beam.PCollection, ...]) -> FeatureFiles:
        (known, new, ids, counts), job = made, self.job
        read = adapter(blocks.schema(job.fields), graph.feature_spec(job.fields))
        learn = graph.make_preprocessing_fn(job.fields, getattr(job.settings, job.side.features), job.store)
        transform_fn = known | "Learn" >> Learn(learn, read, job.store, job.temporary)
        encode = Encode(transform_fn, read, job.store, job.temporary)
        encoded = (known, new) | "Both" >> beam.Flatten() | "Encode" >> encode
        total = counts | "Total" >> beam.CombineGlobally(lambda counters: sum(counters, Counter()))
        shards = total | "Shards" >> beam.Map(shards_for, job.side, job.settings.dataset.shards)
        parts = encoded | "Partition" >> beam.ParDo(_Partition(job), AsSingleton(shards)).with_outputs(
            COUNTS, main="rows"
        )
        every_shard = shards | "EveryShard" >> beam.FlatMap(
            lambda count: [((prefix, shard), b"") for prefix in _prefixes(job.side) for shard in range(count)]
        )
        rows = (parts.rows, every_shard) | "All" >> beam.Flatten()
        new_ids = ids | "PartitionIds" >> beam.ParDo(_PartitionIds(job), AsSingleton(shards))
        written = (
            {_ROWS: rows, _NEW_IDS: new_ids}
            | "ByShard" >> beam.CoGroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(job), AsSingleton(shards))
        )
        directory = join(job.root, job.side.graph)
        saved = transform_fn[0] | "Export" >> beam.Map(
            export.write, directory, job.fields, job.temporary, job.side.features
        )
        return FeatureFiles(written, (counts, parts[COUNTS]) | "Counts" >> beam.Flatten(), saved)


def _prefixes(side: Side) -> tuple[str, str]:
    return side.features, side.new


def shards_for(counts: Counter[str], side: Side, chosen: int | None) -> int:
    """Return the number of files per prefix: the chosen one, or one that suits the number of known rows."""
    return chosen or max(1, -(-counts[f"{side.features}.{side.plural}"] // _ROWS_OF_A_SHARD))


class _MakeBlocks(beam.DoFn):
    """items.parquet -> references to blocks of known items; tagged: of new ones and their ids, counts, and a file."""

    def __init__(self, job: FeatureJob):
        self._job, self._counter = job, StepCounter("features_blocks")

    def process(self, items: tuple[str, FileDescription], values: Iterable[bytes]) -> Iterator[object]:
        job, store = self._job, self._job.store
        table = catalogues.read_staged(job.catalogue) if job.catalogue else None
        read = blocks.read(join(job.root, items[0]), list(values), job.settings.source, table, job.fields)
        path = Dataset(job.root).new_items
        yield TaggedOutput(FILES, (path.rsplit("/", 1)[1], blocks.write_new_items(path, read)))
        counts = blocks.count(read)
        for block in blocks.of_items(read, job.fields):
            counts.update(block.counts)
            reference = store.put(block.rows, self._counter)
            yield TaggedOutput(NEW, reference) if block.is_new else reference
        if read.new_ids:
            yield TaggedOutput(IDS, store.put(blocks.ids_of_new(read.new_ids), self._counter))
        yield TaggedOutput(COUNTS, counts)

    def teardown(self) -> None:
        self._job.store.close()


class _Partition(beam.DoFn):
    """Encoded block -> ((prefix, shard), reference to rows); tagged: counts."""

    def __init__(self, job: FeatureJob):
        self._side, self._fields, self._store = job.side, job.fields, job.store
        self._counter = StepCounter("features_encode")

    def process(self, block: pa.RecordBatch, shards: int) -> Iterator[object]:
        keys = block.column(KEY).flatten().to_numpy()
        for prefix, own in zip(_prefixes(self._side), (keys >= 0, keys < 0), strict=True):
            rows, is_new = np.flatnonzero(own), prefix == self._side.new
            numbers = -1 - keys[rows] if is_new else keys[rows]
            lists = [block.column(name).take(pa.array(rows)) for name in (INDICES, VALUES)]
            without = int(sum(length == 0 for length in lists[0].value_lengths().fill_null(0).to_pylist()))
            yield TaggedOutput(COUNTS, Counter({f"{self._side.features}.{'new_' * is_new}without": without}))
            for shard in range(shards):
                chosen = np.flatnonzero(numbers % shards == shard)
                if len(chosen):
                    arrays = [pa.array(numbers[chosen]), *(column.take(pa.array(chosen)) for column in lists)]
                    batch = pa.RecordBatch.from_arrays(arrays, schema=_ENCODED)
                    yield (prefix, shard), self._store.put(batch, self._counter)
        if len(keys) and keys[0] == 0:
            yield TaggedOutput(COUNTS, self._account(block))

    def _account(self, block: pa.RecordBatch) -> Counter[str]:
        """Return the size of each field and what it left out; see `graph.make_preprocessing_fn`."""
        numbers = block.column(graph.ACCOUNT).flatten().to_numpy().reshape(len(self._fields), -1)
        counts, side = Counter[str](), self._side
        for field, (size, rare, over) in zip(self._fields, numbers.tolist(), strict=True):
            counts[f"{side.features}.size.{field.name}"] = size
            counts[f"{side.features}.below_min_{side.plural}.{field.name}"] = rare
            counts[f"{side.features}.over_max_values.{field.name}"] = over
        return counts

    def teardown(self) -> None:
        self._store.close()


class _PartitionIds(beam.DoFn):
    """Reference to ids of new rows -> ((prefix, shard), reference to those of the shard)."""

    def __init__(self, job: FeatureJob):
        self._side, self._store, self._counter = job.side, job.store, StepCounter("features_ids")

    def process(self, reference: bytes, shards: int) -> Iterator[tuple[tuple[str, int], bytes]]:
        ids = self._store.get_block(reference)
        of_shard = ids.column(0).to_numpy() % shards
        for shard in np.unique(of_shard).tolist():
            own = ids.filter(pa.array(of_shard == shard))
            yield (self._side.new, shard), self._store.put(own, self._counter)

    def teardown(self) -> None:
        self._store.close()


class _WriteShard(beam.DoFn):
    """((prefix, shard), references to rows and to ids) -> (name, description) of the shard's file."""

    def __init__(self, job: FeatureJob):
        self._root, self._store, self._new = job.root, job.store, job.side.new
        self._suffix = ".gz" if job.settings.dataset.gzip else ""
        self._counter = StepCounter("features_write")

    def process(
        self, element: tuple[tuple[str, int], dict[str, Iterable[bytes]]], shards: int
    ) -> Iterator[tuple[str, FileDescription]]:
        (prefix, shard), parts = element
        references = [reference for reference in parts[_ROWS] if reference]
        rows = rows_of(self._store.get(references)) if references else SparseRows.empty(0)
        ids = ids_of(self._store.get(parts[_NEW_IDS])) if prefix == self._new and references else None
        name = shard_name(prefix, shard, shards, self._suffix)
        described = feature_rows.write_shard(join(self._root, name), [rows], [ids])
        self._counter.add(len(rows), described.bytes)
        yield name, described


def ids_of(new: pa.Table) -> list[bytes]:
    """Return the ids of a shard's new rows, keys ascending."""
    return new.sort_by(KEY).column(1).to_pylist()


def rows_of(encoded: pa.Table) -> SparseRows:
    """Return the rows of a shard, keys ascending."""
    keys = encoded[KEY].to_numpy()
    order = pa.array(np.argsort(keys, kind="stable"))
    indices, values = (encoded[name].combine_chunks().take(order) for name in (INDICES, VALUES))
    indptr = np.append(0, np.cumsum(indices.value_lengths().fill_null(0).to_numpy(), dtype=np.int64))
    return SparseRows(np.sort(keys), indptr, indices.flatten().to_numpy(), values.flatten().to_numpy())
