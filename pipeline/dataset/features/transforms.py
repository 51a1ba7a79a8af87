"""items.parquet and the attributes of the data -> the files of the items' features, and the graph that makes them.

The vocabularies, quantiles and frequencies are those of the items of the dataset, which have factors to learn from; new
items are looked up in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput

from artifacts import features, storage
from artifacts.checksums import FileDescription
from artifacts.features.fields import Field
from artifacts.names import CONTENT_ID, INDICES, KEY, VALUES
from artifacts.paths import Dataset, join, shard_name
from artifacts.sparse_rows import SparseRows
from configs.settings import Settings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.beam.transform_fn import Encode, Learn, adapter
from pipeline.dataset.features import blocks, export, graph
from pipeline.sources.items import catalogue as catalogues

FILES, COUNTS, NEW = "files", "counts", "new"
_ROWS_OF_A_SHARD = 200_000  # so that a shard of 20 features per row takes about 100 MB of a worker's memory
_ENCODED = pa.schema({KEY: pa.int64(), INDICES: pa.large_list(pa.int64()), VALUES: pa.large_list(pa.float32())})


@dataclass(frozen=True)
class FeatureFiles:
    """Collections of (name, FileDescription), of Counters by name, and of the graph's directory once it is written."""

    files: beam.PCollection
    counts: beam.PCollection
    graph: beam.PCollection


@dataclass
class WriteItemFeatures(beam.PTransform):
    """(name, description) of items.parquet, once it is written -> `item_features-*` and `new_item_features-*`."""

    fields: tuple[Field, ...]
    settings: Settings
    attributes: beam.PCollection  # of the data, see pipeline.sources.items.attributes
    catalogue: str | None  # the path of the table that joins them
    root: str
    store: BlockStore
    temporary: str

    def expand(self, items: beam.PCollection) -> FeatureFiles:
        made = items | "Blocks" >> beam.ParDo(_MakeBlocks(self), AsIter(self.attributes)).with_outputs(
            FILES, COUNTS, NEW, main="known"
        )
        read = adapter(blocks.schema(self.fields), graph.feature_spec(self.fields))
        learn = graph.make_preprocessing_fn(self.fields, self.settings.item_features, self.store)
        transform_fn = made.known | "Learn" >> Learn(learn, read, self.store, self.temporary)
        encode = Encode(transform_fn, read, self.store, self.temporary)
        encoded = (made.known, made[NEW]) | "Both" >> beam.Flatten() | "Encode" >> encode
        shards = made[COUNTS] | "Shards" >> beam.Map(shards_for, self.settings.dataset.shards)
        partition = beam.ParDo(_Partition(self.fields, self.store), AsSingleton(shards))
        parts = encoded | "Partition" >> partition.with_outputs(COUNTS, main="rows")
        every_shard = shards | "EveryShard" >> beam.FlatMap(
            lambda count: [((prefix, shard), b"") for prefix in _PREFIXES for shard in range(count)]
        )
        written = (
            (parts.rows, every_shard)
            | "All" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(self), AsSingleton(shards), AsIter(made[FILES]))
        )
        saved = transform_fn[0] | "Export" >> beam.Map(
            export.write, Dataset(self.root).item_features_fn, self.fields, self.temporary
        )
        files = (written, made[FILES]) | "Files" >> beam.Flatten()
        counts = (made[COUNTS], parts[COUNTS]) | "Counts" >> beam.Flatten()
        return FeatureFiles(files, counts, saved)


_PREFIXES = (features.ITEMS, features.NEW_ITEMS)


def shards_for(counts: Counter[str], chosen: int | None) -> int:
    """Return the number of files per prefix: the chosen one, or one that suits the number of items."""
    return chosen or max(1, -(-counts[f"{blocks.COUNTS}.items"] // _ROWS_OF_A_SHARD))


class _MakeBlocks(beam.DoFn):
    """items.parquet -> references to blocks of known items; tagged: of new ones, counts, and the new items' file."""

    def __init__(self, job: WriteItemFeatures):
        self._fields, self._source, self._root = job.fields, job.settings.source, job.root
        self._catalogue, self._store = job.catalogue, job.store
        self._counter = StepCounter("features_blocks")

    def process(self, items: tuple[str, FileDescription], values: Iterable[bytes]) -> Iterator[object]:
        table = catalogues.read_staged(self._catalogue) if self._catalogue else None
        read = blocks.read(join(self._root, items[0]), list(values), self._source, table, self._fields)
        path = Dataset(self._root).new_items
        yield TaggedOutput(FILES, (path.rsplit("/", 1)[1], blocks.write_new_items(path, read)))
        counts = blocks.count(read)
        for block in blocks.of_items(read, self._fields):
            counts.update(block.counts)
            reference = self._store.put(block.rows, self._counter)
            yield TaggedOutput(NEW, reference) if block.is_new else reference
        yield TaggedOutput(COUNTS, counts)

    def teardown(self) -> None:
        self._store.close()


class _Partition(beam.DoFn):
    """Encoded block -> ((prefix, shard), reference to rows); tagged: counts."""

    def __init__(self, fields: tuple[Field, ...], store: BlockStore):
        self._fields, self._store, self._counter = fields, store, StepCounter("features_encode")

    def process(self, block: pa.RecordBatch, shards: int) -> Iterator[object]:
        keys = block.column(KEY).flatten().to_numpy()
        for prefix, own in zip(_PREFIXES, (keys >= 0, keys < 0), strict=True):
            rows = np.flatnonzero(own)
            numbers = keys[rows] if prefix == features.ITEMS else -1 - keys[rows]
            lists = [block.column(name).take(pa.array(rows)) for name in (INDICES, VALUES)]
            without = int(sum(length == 0 for length in lists[0].value_lengths().fill_null(0).to_pylist()))
            name = f"{blocks.COUNTS}.{'without' if prefix == features.ITEMS else 'new_without'}"
            yield TaggedOutput(COUNTS, Counter({name: without}))
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
        counts = Counter[str]()
        for field, (size, rare, over) in zip(self._fields, numbers.tolist(), strict=True):
            counts[f"{blocks.COUNTS}.size.{field.name}"] = size
            counts[f"{blocks.COUNTS}.below_min_items.{field.name}"] = rare
            counts[f"{blocks.COUNTS}.over_max_values.{field.name}"] = over
        return counts

    def teardown(self) -> None:
        self._store.close()


class _WriteShard(beam.DoFn):
    """((prefix, shard), references to rows) -> (name, description) of the shard's file."""

    def __init__(self, job: WriteItemFeatures):
        self._root, self._store = job.root, job.store
        self._suffix = ".gz" if job.settings.dataset.gzip else ""
        self._counter = StepCounter("features_write")

    def process(
        self, element: tuple[tuple[str, int], Iterable[bytes]], shards: int, _: Iterable[object]
    ) -> Iterator[tuple[str, FileDescription]]:
        (prefix, shard), references = element
        references = [reference for reference in references if reference]
        rows = rows_of(self._store.get(references)) if references else SparseRows.empty(0)
        ids = ids_of_new(Dataset(self._root).new_items, rows.keys) if prefix == features.NEW_ITEMS else None
        name = shard_name(prefix, shard, shards, self._suffix)
        described = features.write_shard(join(self._root, name), [rows], [ids])
        self._counter.add(len(rows), described.bytes)
        yield name, described


def ids_of_new(path: str, keys: np.ndarray) -> list[bytes]:
    """Return the contentIds of new items by their keys."""
    with storage.open_to_read(path) as file:
        names = pq.read_table(file, columns=[CONTENT_ID])[CONTENT_ID]
    return [name.encode() for name in names.take(pa.array(keys)).to_pylist()]


def rows_of(encoded: pa.Table) -> SparseRows:
    """Return the rows of a shard, keys ascending."""
    keys = encoded[KEY].to_numpy()
    order = pa.array(np.argsort(keys, kind="stable"))
    indices, values = (encoded[name].combine_chunks().take(order) for name in (INDICES, VALUES))
    indptr = np.append(0, np.cumsum(indices.value_lengths().fill_null(0).to_numpy(), dtype=np.int64))
    return SparseRows(np.sort(keys), indptr, indices.flatten().to_numpy(), values.flatten().to_numpy())
