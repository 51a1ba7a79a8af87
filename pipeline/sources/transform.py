"""Sources of any kind -> the same interactions, rejects and account; a PTransform and its DoFns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa

from configs.settings import PrivacySettings, RatingSettings, SourceSettings, SplitSettings
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns, sessions, splits
from pipeline.interactions.blocks import interactions_in, make_blocks
from pipeline.sources import privacy
from pipeline.sources.inputs import Input
from pipeline.sources.kinds import Kind, extract, kind_of

REJECTS, COUNTS, HELD_OUT = "rejects", "counts", "held_out"

_SHARD_BYTES = 1 << 25  # of input a shard, so that a worker sorts one in its memory
_MOST_SHARDS = 4096


@dataclass(frozen=True)
class Interactions:
    """blocks: references of one-row batches (interactions.blocks.BLOCK). rejects: JSON lines. counts: Counters by name.

    held_out: references likewise, of what a split keeps from training.
    """

    blocks: beam.PCollection
    held_out: beam.PCollection
    rejects: beam.PCollection
    counts: beam.PCollection


@dataclass
class ReadInteractions(beam.PTransform):
    """Export files -> interactions, one row a pair of visitor and item.

    Views of a visitor are brought together first: a session may be split over two days, and a pair over many
    sessions and files.
    """

    files: Input
    source: SourceSettings
    rating: RatingSettings
    store: BlockStore
    split: SplitSettings = SplitSettings()  # noqa: RUF009 - frozen
    test_files: Input | None = None
    privacy: PrivacySettings = PrivacySettings()  # noqa: RUF009 - frozen
    block_size: int = 1 << 20

    def expand(self, pipeline: beam.Pipeline) -> Interactions:
        shards = min(_MOST_SHARDS, self.files.size // _SHARD_BYTES + 1)
        kind = kind_of(self.source, self.rating, self.split, self.files.read)
        read = pipeline | "Train" >> _ReadFiles(self.files, self._guarded(kind), shards, self.store)
        reads, together = [read], read.views | "ByVisitor" >> beam.GroupByKey()
        combine: beam.DoFn = _CombineShard(kind, self.store, self.split, self.block_size)
        if self.test_files:
            # The window chooses among the days of train; the files of test are chosen by hand.
            test = kind_of(self.source.model_copy(update={"start_date": None, "end_date": None}), self.rating)
            reads.append(pipeline | "Test" >> _ReadFiles(self.test_files, self._guarded(test), shards, self.store))
            together = [read.views for read in reads] | "BothByVisitor" >> beam.CoGroupByKey()
            combine = _CombineBoth(kind, self.store, self.split, self.block_size)
        combined = together | "Combine" >> beam.ParDo(combine).with_outputs(COUNTS, HELD_OUT, REJECTS, main="blocks")
        seen = pipeline | "Seen" >> beam.Create([Counter(self.files.seen)], reshuffle=False)
        counts = [seen, *(read[COUNTS] for read in reads), combined[COUNTS]] | "AllCounts" >> beam.Flatten()
        rejects = [*(read[REJECTS] for read in reads), combined[REJECTS]] | "AllRejects" >> beam.Flatten()
        return Interactions(combined.blocks, combined[HELD_OUT], rejects, counts)

    def _guarded(self, kind: Kind) -> Kind:
        """Before anything else sees an id, it is hashed, or its visitor left out."""
        by_visit = self.source.kind == "ga360" and self.source.visitor_key == "visit"
        extract = partial(privacy.guarded, extract=kind.extract, settings=self.privacy, by_visit=by_visit)
        return replace(kind, extract=extract)


@dataclass
class _ReadFiles(beam.PTransform):
    """Files -> views by shard of their visitors; rejects and counts aside."""

    files: Input
    kind: Kind
    shards: int
    store: BlockStore

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        paths = pipeline | "Files" >> beam.Create(self.files.files, reshuffle=len(self.files.files) > 1)
        read = beam.ParDo(_ReadFile(self.kind, self.shards, self.store))
        return paths | "Read" >> read.with_outputs(REJECTS, COUNTS, main="views")


class _ReadFile(beam.DoFn):
    """path -> (shard, reference of columns); rejects and counts aside."""

    def __init__(self, kind: Kind, shards: int, store: BlockStore):
        self._kind, self._shards, self._store, self._counter = kind, shards, store, StepCounter("read")

    def process(self, path: str) -> Iterator[object]:
        counts: Counter[str] = Counter()
        for raw in self._kind.read(path):
            found = extract(self._kind, raw, path)
            counts.update(found.counts)
            for reject in found.rejects:
                yield beam.pvalue.TaggedOutput(REJECTS, reject)
            batch = found.table
            if self._kind.early and batch.num_rows:
                batch = self._kind.early(pa.Table.from_batches([batch])).combine_chunks().to_batches()[0]
            shards = columns.shard_of(batch.column(0), self._shards)
            for shard, rows in columns.split(batch, shards):
                yield shard, self._store.put(rows, self._counter)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def teardown(self) -> None:
        self._store.close()


class _CombineShard(beam.DoFn):
    """(shard, references of columns) -> references of blocks; held-out ones, rejects and counts aside."""

    def __init__(self, kind: Kind, store: BlockStore, split: SplitSettings, block_size: int):
        self._kind, self._store, self._split, self._block_size = kind, store, split, block_size
        self._counter = StepCounter("combine")

    def process(self, element: tuple[int, Any]) -> Iterator[object]:
        rejects: list[bytes] = []
        train, held_out, counts = self._divide(element[1], rejects)
        yield from (beam.pvalue.TaggedOutput(REJECTS, reject) for reject in rejects)
        yield from self._stored(train)
        if held_out is not None:
            yield from (beam.pvalue.TaggedOutput(HELD_OUT, reference) for reference in self._stored(held_out))
        counts["pairs.read"] = train.num_rows
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def _stored(self, pairs: pa.Table) -> Iterator[bytes]:
        for block in make_blocks(pairs, self._block_size):
            yield self._store.put(block, self._counter, interactions_in(block))

    def _divide(
        self, references: Iterable[bytes], rejects: list[bytes]
    ) -> tuple[pa.Table, pa.Table | None, Counter[str]]:
        rows, account = self._rows(references, rejects)
        train, held_out, counts = splits.divide(rows, self._kind.combine, self._split)
        return train, held_out, counts + account

    def _rows(self, references: Iterable[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        rows, lines, account = self._kind.people(self._kind.rows(self._store.get(references)))
        rejects += lines
        return rows, account

    def teardown(self) -> None:
        self._store.close()


class _CombineBoth(_CombineShard):
    """(shard, references of train's and of test's columns) -> the same."""

    def _divide(  # type: ignore[override]  # both sides come together
        self, references: tuple[Iterable[bytes], Iterable[bytes]], rejects: list[bytes]
    ) -> tuple[pa.Table, pa.Table, Counter[str]]:
        train, test = (self._combined(list(some), rejects) for some in references)
        return splits.apart(*train, *test)

    def _combined(self, references: list[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        if not references:
            return sessions.INTERACTIONS.empty_table(), Counter()
        rows, account = self._rows(references, rejects)
        pairs, counts = self._kind.combine(rows)
        return pairs, counts + account
