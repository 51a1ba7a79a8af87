"""Attributes of visitors, by shard of their ids -> the files of the visitors' features.

No step has all visitors in memory: a shard's part of the vocabulary, of the attributes of the data and of the site's
own table meet in one place. New visitors are numbered from the first shard to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from artifacts import storage
from artifacts.names import ID, KEY, LAST_TIME_MS, USER, VOCAB_USERS
from artifacts.paths import join
from artifacts.vocabulary import iterate_ids
from pipeline.beam.counters import StepCounter
from pipeline.dataset.features import blocks
from pipeline.dataset.features.transforms import COUNTS, IDS, NEW, FeatureFiles, FeatureJob, WriteFeatures
from pipeline.interactions import columns
from pipeline.sources.items import attributes, catalogue

_SIZES = "sizes"
_KNOWN, _VALUES, _TABLE = "known", "values", "table"
_BATCH = 1 << 17  # ids of a vocabulary that are in memory at once
_NOTHING = b""


@dataclass
class WriteUserFeatures(beam.PTransform):
    """The path of TFT's transform_fn, which has the vocabulary -> the files of the visitors' features."""

    job: FeatureJob
    attributes: beam.PCollection  # of the data, by shard: see pipeline.sources.items.attributes
    shards: int  # of the attributes
    items: beam.PCollection  # (name, description) of items.parquet, which has the moment at which ages are measured

    def expand(self, transform_fn: beam.PCollection) -> FeatureFiles:
        job, pipeline = self.job, transform_fn.pipeline
        known = transform_fn | "Vocabulary" >> beam.ParDo(_Vocabulary(job, self.shards))
        every_shard = pipeline | "EveryShard" >> beam.Create([(shard, _NOTHING) for shard in range(self.shards)])
        tables = pipeline | "Table" >> beam.Create([job.catalogue] if job.catalogue else [])
        rows = tables | "Rows" >> beam.ParDo(_Rows(job, self.shards))
        as_of = self.items | "AsOf" >> beam.Map(_as_of_ms, job)
        sides = {_KNOWN: (known, every_shard) | "All" >> beam.Flatten(), _VALUES: self.attributes, _TABLE: rows}
        chosen = (
            sides
            | "ByShard" >> beam.CoGroupByKey()
            | "Choose" >> beam.ParDo(_Choose(job)).with_outputs(COUNTS, _SIZES, main="chosen")
        )
        first = chosen[_SIZES] | "Sizes" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        first = first | "First" >> beam.FlatMap(first_numbers)
        made = chosen.chosen | "Blocks" >> beam.ParDo(_MakeBlocks(job), AsDict(first), AsSingleton(as_of)).with_outputs(
            COUNTS, NEW, IDS, main="known"
        )
        counts = (chosen[COUNTS], made[COUNTS]) | "Counts" >> beam.Flatten()
        return (made.known, made[NEW], made[IDS], counts) | "Write" >> WriteFeatures(job)


def _as_of_ms(items: tuple[str, object], job: FeatureJob) -> int | None:
    with storage.open_to_read(join(job.root, items[0])) as file:
        table = pq.read_table(file, columns=[LAST_TIME_MS])
    return blocks.as_of_ms(table, job.settings.source.end_date, job.fields)


def first_numbers(sizes: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield each shard with the number of its first new visitor, from the shards with their numbers of new ones."""
    first = 0
    for shard, size in sorted(sizes):
        yield shard, first
        first += size


class _Vocabulary(beam.DoFn):
    """The path of the transform_fn -> (shard, reference to userIds and visitorIds)."""

    def __init__(self, job: FeatureJob, shards: int):
        self._store, self._shards, self._counter = job.store, shards, StepCounter("features_vocabulary")

    def process(self, transform_fn: str) -> Iterator[tuple[int, bytes]]:
        ids: list[bytes] = []
        first = 0
        for name in iterate_ids(join(transform_fn, "assets", VOCAB_USERS)):
            ids.append(name)
            if len(ids) == _BATCH:
                yield from self._by_shard(ids, first)
                first, ids = first + len(ids), []
        yield from self._by_shard(ids, first)

    def _by_shard(self, ids: list[bytes], first: int) -> Iterator[tuple[int, bytes]]:
        batch = blocks.ids_of_new(ids, first)
        for shard, part in columns.split(batch, columns.shard_of(batch.column(1), self._shards)):
            yield shard, self._store.put(part, self._counter)

    def teardown(self) -> None:
        self._store.close()


class _Rows(beam.DoFn):
    """The path of the table of visitors -> (shard, reference to rows); those without an id are in the first shard."""

    def __init__(self, job: FeatureJob, shards: int):
        self._store, self._shards, self._counter = job.store, shards, StepCounter("features_table")

    def process(self, path: str) -> Iterator[tuple[int, bytes]]:
        table = catalogue.read_staged(path)
        ids = table[USER.id].combine_chunks().cast(pa.binary())
        shards = np.where(ids.is_valid().to_numpy(False), columns.shard_of(ids.fill_null(b""), self._shards), 0)
        for shard in np.unique(shards).tolist():
            (rows,) = table.filter(pa.array(shards == shard)).combine_chunks().to_batches()
            yield shard, self._store.put(rows, self._counter)

    def teardown(self) -> None:
        self._store.close()


class _Choose(beam.DoFn):
    """A shard's ids, attributes and rows -> (shard, reference to one row per visitor); tagged: sizes and counts.

    A row has the key, the id and the attributes. The key is the userId, -1 for a new visitor; known ones come first.
    """

    def __init__(self, job: FeatureJob):
        self._job, self._counter = job, StepCounter("features_choose")

    def process(self, element: tuple[int, dict[str, Iterable[bytes]]]) -> Iterator[object]:
        (shard, sides), source, store = element, self._job.settings.source, self._job.store
        references = [reference for reference in sides[_KNOWN] if reference]
        vocabulary = store.get(references).sort_by(KEY) if references else blocks.NEW_IDS.empty_table()
        rows = sorted(sides[_TABLE])
        table, values = store.get(rows) if rows else None, list(sides[_VALUES])
        known = vocabulary[ID].to_pylist()
        new, unfit = blocks.new_ids(known, values, table, USER)
        ids = [*known, *new]
        chosen = attributes.choose(
            values, pa.array(ids, pa.binary()), source.visitor_attributes, source.user_attribute_rule, USER
        )
        counts = chosen.counts
        if table is not None:
            counts.update(catalogue.join(known, chosen.slice(0, len(known)), table, USER).counts)
            chosen = catalogue.join(ids, chosen, table, USER)
        keys = np.append(vocabulary[KEY].to_numpy(), np.full(len(new), -1))
        described = {f"{_NAME}{KEY}": pa.array(keys), f"{_NAME}{ID}": pa.array(ids, pa.binary())}
        described |= dict(zip(chosen.table.column_names, chosen.table.columns, strict=True))
        yield shard, store.put(_one_batch(pa.table(described)), self._counter)
        yield TaggedOutput(_SIZES, (shard, len(new)))
        yield TaggedOutput(COUNTS, counts + blocks.counts(USER, len(known), len(new), unfit, None))

    def teardown(self) -> None:
        self._job.store.close()


_NAME = " "  # begins the names of columns that are not attributes


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    if not table.num_rows:
        return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in table.schema], schema=table.schema)
    (batch,) = table.combine_chunks().to_batches()
    return batch


class _MakeBlocks(beam.DoFn):
    """(shard, reference to visitors) -> references to blocks of known ones; tagged: of new ones, their ids, counts."""

    def __init__(self, job: FeatureJob):
        self._job, self._counter = job, StepCounter("features_blocks")

    def process(self, element: tuple[int, bytes], first: dict[int, int], as_of_ms: int | None) -> Iterator[object]:
        (shard, reference), store = element, self._job.store
        table = store.get([reference])
        keys, ids = table[f"{_NAME}{KEY}"].to_numpy(), table[f"{_NAME}{ID}"].to_pylist()
        table = table.drop_columns([f"{_NAME}{KEY}", f"{_NAME}{ID}"])
        known, counts = int((keys >= 0).sum()), blocks.counts(USER, 0, 0, 0, None if shard else as_of_ms)
        numbers = first[shard] + np.arange(len(keys) - known)
        parts = [(table.slice(0, known), keys[:known])] if known or not shard else []  # TFT needs a block
        parts += [(table.slice(known), -1 - numbers)] if len(numbers) else []
        for rows, own in parts:
            for block in blocks.in_blocks(rows, own, self._job.fields, as_of_ms, USER):
                counts.update(block.counts)
                reference = store.put(block.rows, self._counter)
                yield TaggedOutput(NEW, reference) if block.is_new else reference
        if len(numbers):
            yield TaggedOutput(IDS, store.put(blocks.ids_of_new(ids[known:], int(numbers[0])), self._counter))
        yield TaggedOutput(COUNTS, counts)

    def teardown(self) -> None:
        self._job.store.close()
