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
from pipeline.beam.block_store import Spill
from pipeline.beam.counters import Traffic
from pipeline.interactions import sessions, splits
from pipeline.interactions.blocks import interactions_in, make_blocks
from pipeline.readers import columns
from pipeline.sources import privacy
from pipeline.sources.inputs import Input
from pipeline.sources.kinds import Kind, extract, kind_of

REJECTS, COUNTS, HELD_OUT = "rejects", "counts", "held_out"

_SHARD_BYTES = 1 << 25  # of input a shard, so that a worker sorts one in its memory
_MOST_SHARDS = 4096


@dataclass(frozen=True)
class Interactions:
    """blocks: parcels of one-row batches (interactions.blocks.BLOCK). rejects: JSON lines. counts: Counters by name.

    held_out: parcels likewise, of what a split keeps from training.
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
    spill: Spill
    split: SplitSettings = SplitSettings()  # noqa: RUF009 - frozen
    test_files: Input | None = None
    privacy: PrivacySettings = PrivacySettings()  # noqa: RUF009 - frozen

    def expand(self, pipeline: beam.Pipeline) -> Interactions:
        shards = min(_MOST_SHARDS, self.files.size // _SHARD_BYTES + 1)
        kind = kind_of(self.source, self.rating, self.split, self.files.read)
        read = pipeline | "Train" >> _ReadFiles(self.files, self._guarded(kind), shards, self.spill)
        reads, together = [read], read.views | "ByVisitor" >> beam.GroupByKey()
        combine: beam.DoFn = _CombineShard(kind, self.spill, self.split)
        if self.test_files:
            # The window chooses among the days of train; the files of test are chosen by hand.
            test = kind_of(self.source.model_copy(update={"start_date": None, "end_date": None}), self.rating)
            reads.append(pipeline | "Test" >> _ReadFiles(self.test_files, self._guarded(test), shards, self.spill))
            together = [read.views for read in reads] | "BothByVisitor" >> beam.CoGroupByKey()
            combine = _CombineBoth(kind, self.spill, self.split)
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
    spill: Spill

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        paths = pipeline | "Files" >> beam.Create(self.files.files, reshuffle=len(self.files.files) > 1)
        read = beam.ParDo(_ReadFile(self.kind, self.shards, self.spill))
        return paths | "Read" >> read.with_outputs(REJECTS, COUNTS, main="views")


class _ReadFile(beam.DoFn):
    """path -> (shard, parcel of columns); rejects and counts aside."""

    def __init__(self, kind: Kind, shards: int, spill: Spill):
        self._kind, self._shards, self._spill, self._traffic = kind, shards, spill, Traffic("read")

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
                yield shard, self._spill.put(rows, self._traffic)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def teardown(self) -> None:
        self._spill.close()


class _CombineShard(beam.DoFn):
    """(shard, parcels of columns) -> parcels of blocks; held-out ones, rejects and counts aside."""

    def __init__(self, kind: Kind, spill: Spill, split: SplitSettings):
        self._kind, self._spill, self._split, self._traffic = kind, spill, split, Traffic("combine")

    def process(self, element: tuple[int, Any]) -> Iterator[object]:
        rejects: list[bytes] = []
        train, held_out, counts = self._divide(element[1], rejects)
        yield from (beam.pvalue.TaggedOutput(REJECTS, reject) for reject in rejects)
        yield from self._parcels(train)
        if held_out is not None:
            yield from (beam.pvalue.TaggedOutput(HELD_OUT, parcel) for parcel in self._parcels(held_out))
        counts["pairs.read"] = train.num_rows
        yield beam.pvalue.TaggedOutput(COUNTS, counts)

    def _parcels(self, pairs: pa.Table) -> Iterator[bytes]:
        for block in make_blocks(pairs):
            yield self._spill.put(block, self._traffic, interactions_in(block))

    def _divide(self, parcels: Iterable[bytes], rejects: list[bytes]) -> tuple[pa.Table, pa.Table | None, Counter[str]]:
        rows, account = self._rows(parcels, rejects)
        train, held_out, counts = splits.divide(rows, self._kind.combine, self._split)
        return train, held_out, counts + account

    def _rows(self, parcels: Iterable[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        rows, lines, account = self._kind.people(self._kind.rows(self._spill.get(parcels)))
        rejects += lines
        return rows, account

    def teardown(self) -> None:
        self._spill.close()


class _CombineBoth(_CombineShard):
    """(shard, parcels of train's and of test's columns) -> the same."""

    def _divide(  # type: ignore[override]  # both sides come together
        self, parcels: tuple[Iterable[bytes], Iterable[bytes]], rejects: list[bytes]
    ) -> tuple[pa.Table, pa.Table, Counter[str]]:
        train, test = (self._combined(list(some), rejects) for some in parcels)
        return splits.apart(*train, *test)

    def _combined(self, parcels: list[bytes], rejects: list[bytes]) -> tuple[pa.Table, Counter[str]]:
        if not parcels:
            return sessions.INTERACTIONS.empty_table(), Counter()
        rows, account = self._rows(parcels, rejects)
        pairs, counts = self._kind.combine(rows)
        return pairs, counts + account
