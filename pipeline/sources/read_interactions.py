"""Files or streams of any source -> interactions in blocks, rejects and account; the first half of preprocess.

ReadInteractions
  Train, Test: ReadRows     paths -> rows by shard of their visitors, attributes by shard of their items
  CombineByVisitor          all rows of some visitors -> pairs of visitor and item, in blocks
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from configs.settings import PrivacySettings, RatingSettings, SourceSettings, SplitSettings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import TALLY, StepCounter
from pipeline.interactions import amounts, columns, recommended, sessions, splits
from pipeline.interactions.blocks import interactions_in, make_blocks
from pipeline.interactions.splits import Division
from pipeline.sources import privacy
from pipeline.sources.input_files import Input
from pipeline.sources.items import attributes
from pipeline.sources.lists.reading import Clicks
from pipeline.sources.select import source_of
from pipeline.sources.source import Read, Source

REJECTS, COUNTS, HELD_OUT, ATTRIBUTES, VISITORS = "rejects", "counts", "held_out", "attributes", "visitors"

_SHARD_BYTES = 1 << 25  # of input per shard, so that a worker sorts one in its memory
_MAX_SHARDS = 4096
_ITEM_SHARDS = 16  # of the attributes, added up in parallel
_MAX_VALUES = 1 << 20  # values of attributes that a reader keeps before it adds them up


@dataclass(frozen=True)
class Interactions:
    """The interactions of a source.

    blocks: references to one-row batches (interactions.blocks.BLOCK). held_out: the same, of the pairs that a split
    keeps from training. attributes: of train's items, serialised columns of attributes.VALUES. visitors: the
    same of train's visitors, each with the shard of their ids. shards: number of these. rejects: JSON lines. counts:
    Counters by name.
    """

    blocks: beam.PCollection
    held_out: beam.PCollection
    attributes: beam.PCollection
    visitors: beam.PCollection
    shards: int
    rejects: beam.PCollection
    counts: beam.PCollection


@dataclass
class ReadInteractions(beam.PTransform):
    """Export files -> interactions, one row per pair of visitor and item.

    All rows of a visitor are brought together first: a session may be split over two days, and a pair over many
    sessions and files.
    """

    files: Input
    source: SourceSettings
    rating: RatingSettings
    store: BlockStore
    split: SplitSettings = SplitSettings()  # noqa: RUF009 - frozen
    test_files: Input | None = None
    privacy: PrivacySettings = PrivacySettings()  # noqa: RUF009 - frozen
    block_size: int = 1 << 20  # interactions

    def expand(self, pipeline: beam.Pipeline) -> Interactions:
        source = source_of(self.source, self.rating, self.split, self.files.read)
        shards = min(_MAX_SHARDS, self.files.size // _SHARD_BYTES + 1)
        sides = [pipeline | "Train" >> ReadRows(self.files, source, self.privacy, shards, self.store)]
        if self.test_files:
            # The window chooses days of the training input; test files are chosen by hand.
            test = source_of(self.source.model_copy(update={"start_date": None, "end_date": None}), self.rating)
            sides.append(pipeline | "Test" >> ReadRows(self.test_files, test, self.privacy, shards, self.store))
        rows = tuple(side.rows for side in sides)
        combined = (rows if len(rows) > 1 else rows[0]) | "CombineByVisitor" >> CombineByVisitor(
            source, self.split, self.store, self.block_size
        )
        expected = pipeline | "ExpectedDays" >> beam.Create([Counter(self.files.seen)], reshuffle=False)
        counts = [expected, *(side[COUNTS] for side in sides), combined[COUNTS]] | "AllCounts" >> beam.Flatten()
        rejects = [*(side[REJECTS] for side in sides), combined[REJECTS]] | "AllRejects" >> beam.Flatten()
        values = sides[0][ATTRIBUTES] | "ByItems" >> beam.GroupByKey() | "AddUp" >> beam.MapTuple(_add_up)
        visitors = sides[0][VISITORS]
        return Interactions(combined.blocks, combined[HELD_OUT], values, visitors, shards, rejects, counts)


@dataclass
class ReadRows(beam.PTransform):
    """Files -> rows, protected, by shard of their visitors; attributes, rejects and counts on the side."""

    files: Input
    source: Source
    privacy: PrivacySettings
    shards: int
    store: BlockStore

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        paths = pipeline | "Files" >> beam.Create(self.files.files, reshuffle=len(self.files.files) > 1)
        read = beam.ParDo(_ReadFile(self.source, self.privacy, self.shards, self.store))
        return paths | "Read" >> read.with_outputs(REJECTS, COUNTS, ATTRIBUTES, VISITORS, main="rows")


@dataclass
class CombineByVisitor(beam.PTransform):
    """Rows of train, and of test where it has files, by shard -> blocks of pairs; held-out ones on the side."""

    source: Source
    split: SplitSettings
    store: BlockStore
    block_size: int

    def expand(self, sides: beam.PCollection | tuple[beam.PCollection, ...]) -> beam.pvalue.DoOutputsTuple:
        if isinstance(sides, beam.PCollection):
            shards = sides | "ByShard" >> beam.GroupByKey()
            combine: beam.DoFn = _Combine(self.source, self.split, self.store, self.block_size)
        else:
            shards = sides | "BothByShard" >> beam.CoGroupByKey()
            combine = _CombineBoth(self.source, self.split, self.store, self.block_size)
        return shards | "Combine" >> beam.ParDo(combine).with_outputs(COUNTS, HELD_OUT, REJECTS, main="blocks")


class _ReadFile(beam.DoFn):
    """path -> (shard, reference to rows); on the side (shard, attributes) of items and visitors, rejects and counts."""

    def __init__(self, source: Source, privacy: PrivacySettings, shards: int, store: BlockStore):
        self._source, self._privacy, self._shards, self._store = source, privacy, shards, store
        self._counter = StepCounter("read")
        self._clicks = Clicks.of(source.settings)
        # The files are read with the fields of lists, too; BigQuery's streams are opened with them.
        self._read = source.read if self._clicks is None else self._wide(self._clicks)

    def _wide(self, clicks: Clicks) -> Read:
        read = self._source.read if self._source.is_stream else None
        return source_of(clicks.wide(), RatingSettings(), read=read).read

    def process(self, path: str) -> Iterator[object]:
        counts: Counter[str] = Counter()
        values, of_visitors = list[pa.RecordBatch](), list[pa.RecordBatch]()
        for raw in self._read(path):
            # Ids are hashed, and deleted visitors left out, before anything else sees them.
            extract = privacy.protect(self._source.extract(raw, path), self._privacy, self._source.by_visit)
            counts.update(extract.counts)
            yield from (beam.pvalue.TaggedOutput(REJECTS, reject) for reject in extract.rejects)
            if extract.attributes is not None and extract.attributes.num_rows:
                values.append(extract.attributes)
                if sum(batch.num_rows for batch in values) > _MAX_VALUES:
                    values = [attributes.add_up(pa.Table.from_batches(values))]
            if extract.visitors is not None and extract.visitors.num_rows:
                of_visitors.append(extract.visitors)
                if sum(batch.num_rows for batch in of_visitors) > _MAX_VALUES:
                    yield from self._added_up(VISITORS, of_visitors, self._shards)
                    of_visitors = []
            if self._clicks is None:
                yield from self._by_shard(self._source.shrink(extract.table))
            else:
                clicks = privacy.protect(self._clicks.extract(raw), self._privacy, self._source.by_visit)
                counts.update(clicks.counts)
                yield from self._by_shard(extract.table)
                yield from self._by_shard(recommended.as_rows(clicks.table, extract.table.schema))
        yield from self._added_up(ATTRIBUTES, values, _ITEM_SHARDS)
        yield from self._added_up(VISITORS, of_visitors, self._shards)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)
        TALLY["files"] += 1

    def _by_shard(self, rows: pa.RecordBatch) -> Iterator[tuple[int, bytes]]:
        for shard, part in columns.split(rows, columns.shard_of(rows.column(0), self._shards)):
            yield shard, self._store.put(part, self._counter)

    @staticmethod
    def _added_up(tag: str, values: list[pa.RecordBatch], shards: int) -> Iterator[beam.pvalue.TaggedOutput]:
        if values:
            rows = attributes.add_up(pa.Table.from_batches(values))
            for shard, part in columns.split(rows, columns.shard_of(rows.column(0), shards)):
                yield beam.pvalue.TaggedOutput(tag, (shard, columns.to_bytes(part)))

    def teardown(self) -> None:
        self._store.close()


class _Combine(beam.DoFn):
    """(shard, references to rows) -> references to blocks; held-out ones, rejects and counts on the side."""

    def __init__(self, source: Source, split: SplitSettings, store: BlockStore, block_size: int):
        self._source, self._split, self._store, self._block_size = source, split, store, block_size
        self._counter = StepCounter("combine")

    def process(self, element: tuple[int, Any]) -> Iterator[object]:
        rejects: list[bytes] = []
        train, held_out, counts = self._divide(element[1], rejects)
        yield from (beam.pvalue.TaggedOutput(REJECTS, reject) for reject in rejects)
        yield from self._stored(train)
        if held_out is not None:
            yield from (beam.pvalue.TaggedOutput(HELD_OUT, reference) for reference in self._stored(held_out))
        counts["pairs.read"] = train.num_rows
        counts.update(amounts.count(train))
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def _stored(self, pairs: pa.Table) -> Iterator[bytes]:
        for block in make_blocks(pairs, self._block_size):
            yield self._store.put(block, self._counter, interactions_in(block))

    def _divide(self, references: Iterable[bytes], rejects: list[bytes]) -> Division:
        interactions, account = self._interactions(references, rejects)
        train, held_out, counts = splits.divide(interactions, self._source.combine, self._split)
        return Division(train, held_out, counts + account)

    def _interactions(self, references: Iterable[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        rows, settings = self._store.get(references), self._source.settings.recommended
        if settings.list_name:
            rows, clicks = recommended.apart(rows)
        interactions, counts = self._source.interactions(rows)
        if settings.list_name:
            interactions, of_clicks = recommended.weigh(interactions, clicks, settings)
            counts += of_clicks
        kept, lines, account = self._source.without_bots(interactions)
        rejects += lines
        return kept, counts + account

    def teardown(self) -> None:
        self._store.close()


class _CombineBoth(_Combine):
    """(shard, references to rows of train and of test) -> the same."""

    def _divide(  # type: ignore[override]  # both sides come together
        self, references: tuple[Iterable[bytes], Iterable[bytes]], rejects: list[bytes]
    ) -> Division:
        train, test = (self._combined(list(side), rejects) for side in references)
        return splits.apart(*train, *test)

    def _combined(self, references: list[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        if not references:
            return sessions.INTERACTIONS.empty_table(), Counter()
        interactions, account = self._interactions(references, rejects)
        pairs, counts = self._source.combine(interactions)
        return pairs, counts + account


def _add_up(_: int, parts: Iterable[bytes]) -> bytes:
    return columns.to_bytes(attributes.add_up(columns.from_bytes(iter(sorted(parts)))))
