"""Sources: each reads its files and gives the same interactions, rejects and account."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from configs.errors import UserError
from configs.settings import PrivacySettings, RatingSettings, Settings, SourceSettings, SplitSettings
from pipeline import bots, columns, ga4, ga360, privacy, readers, sessions, splits, table
from pipeline.bigquery import pairs
from pipeline.blocks import interactions_in, make_blocks
from pipeline.extract import Extract
from pipeline.readers import RawBatch
from pipeline.spill import Spill
from pipeline.traffic import Traffic

REJECTS, COUNTS, HELD_OUT = "rejects", "counts", "held_out"

_SHARD_BYTES = 1 << 25  # of input a shard, so that a worker sorts one in its memory
_MOST_SHARDS = 4096
_TABLE_OF_DAY = ("ga360", "ga4")
_NAME_OF_DAY = re.compile(r"(?:ga_sessions|events)_(?:intraday_)?(\d{8})(?!\d)")


@dataclass(frozen=True)
class Input:
    """The files a job reads.

    files: paths, sorted; or BigQuery's streams. size: bytes of all. outside: how many more are of days outside the
    window. read: how to read one that is no file. seen: counts that no reading gives. about: for the manifest.
    """

    files: list[str]
    size: int
    outside: int = 0
    read: Callable[[str], Iterator[RawBatch]] | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Interactions:
    """blocks: parcels of one-row batches (pipeline.blocks.BLOCK). rejects: JSON lines. counts: Counters by name.

    held_out: parcels likewise, of what a split keeps from training.
    """

    blocks: beam.PCollection
    held_out: beam.PCollection
    rejects: beam.PCollection
    counts: beam.PCollection


def match_input(source: SourceSettings) -> Input:
    """Lists the files of the source.

    Raises:
        UserError: no glob is given, or no file matches it.
    """
    if not source.input:
        raise UserError("no input: pass --input GLOB (or bq://...) or set source.input in the config")
    try:
        (match,) = FileSystems.match([source.input])
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{source.input} cannot be listed: {' '.join(str(error).split())}") from error
    if os.path.isdir(source.input):
        raise UserError(f"{source.input} is a directory; name its files, e.g. '{source.input.rstrip('/')}/*'")
    found = [file for file in match.metadata_list if not _is_hidden(file.path)]
    kept = [file for file in found if source.include_intraday or "_intraday_" not in os.path.basename(file.path)]
    if not kept:
        only = f"; {len(found)} intraday files do, which source.include_intraday reads" if found else ""
        raise UserError(f"no file matches {source.input}{only}")
    inside = [file for file in kept if _may_hold(file.path, source)]
    if not inside:
        days = sorted(day for file in kept if (day := _day_of_table(file.path)))
        raise UserError(
            f"no file of {source.input} is of the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"they are of {days[0]} to {days[-1]}"
        )
    return Input(
        sorted(file.path for file in inside), sum(file.size_in_bytes for file in inside), len(kept) - len(inside)
    )


def match_test_input(settings: Settings) -> Input | None:
    """Lists the files that are held out whole, None where there are none; the window is not theirs.

    Raises:
        UserError: no file matches, or one is train's too.
    """
    if settings.split.test_input is None:
        return None
    if settings.source.in_bigquery:
        raise UserError(
            "split.test_input goes with files as source.input; of BigQuery's rows, split.kind holds out some"
        )
    update = {"input": settings.split.test_input, "start_date": None, "end_date": None}
    found = match_input(settings.source.model_copy(update=update))
    both = set(found.files) & set(match_input(settings.source).files)
    if both:
        raise UserError(f"{min(both)} matches both source.input and split.test_input; a file is of train or of test")
    return found


def _may_hold(path: str, source: SourceSettings) -> bool:
    """Whether a file may hold rows of the window: a table of Google Analytics is of the one day in its name."""
    day = _day_of_table(path) if source.kind in _TABLE_OF_DAY else None
    if day is None:
        return True
    return (source.start_date or day) <= day <= (source.end_date or day)


def _day_of_table(path: str) -> datetime.date | None:
    match = _NAME_OF_DAY.match(os.path.basename(path))
    try:
        return datetime.datetime.strptime(match[1], "%Y%m%d").date() if match else None
    except ValueError:
        return None


def has_times(source: SourceSettings) -> bool:
    """Whether the source tells when; where not, its interactions have the time 0."""
    return source.kind != "table" or source.time_column is not None


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """What the settings name as a source, for as long as a job needs it.

    Args:
        keep: whether it shall be readable afterwards; what was made for it then lapses by itself.

    Raises:
        UserError: see `match_input` and `pipeline.bigquery.source`.
    """
    if not settings.source.in_bigquery:
        yield match_input(settings.source)
        return
    from pipeline.bigquery import source  # Google's clients take a second to import

    with source.opened(settings, keep) as found:
        yield found


def describe(settings: Settings) -> str:
    """What a job would read, without reading it."""
    if settings.source.in_bigquery:
        from pipeline.bigquery import source

        return source.describe(settings)
    found = match_input(settings.source)
    more = [f"and {len(found.files) - 10} more"] if len(found.files) > 10 else []
    return "\n".join([*found.files[:10], *more, f"would read {found.size:,} bytes in {len(found.files)} files"])


@dataclass
class ReadInteractions(beam.PTransform):
    """Export files -> interactions, one row a pair of visitor and content.

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


@dataclass(frozen=True)
class Kind:
    """One kind of source, as functions of columns.

    read: path -> raw batches. extract: raw batch, path -> columns with their account. early: shrinks a batch
    before the shuffle. rows: all columns of some visitors -> a row a view (pipeline.sessions.INTERACTIONS).
    people: takes the rows of bots out of those, with their rejects and account.
    combine: those -> one row a pair, with their account.
    """

    read: Callable[[str], Iterator[RawBatch]]
    extract: Callable[[RawBatch, str], Extract]
    early: Callable[[pa.Table], pa.Table] | None
    rows: Callable[[pa.Table], pa.Table]
    people: Callable[[pa.Table], tuple[pa.Table, list[bytes], Counter[str]]]
    combine: splits.Combine


def kind_of(
    source: SourceSettings,
    rating: RatingSettings,
    split: SplitSettings = SplitSettings(),  # noqa: B008 - frozen
    read: Callable[[str], Iterator[RawBatch]] | None = None,
) -> Kind:
    """The functions of the source that the settings name; with `read`, of rows that BigQuery gives."""
    bound = partial(sessions.bound_dwell, least_ms=source.min_dwell_ms, greatest_ms=source.max_dwell_ms)
    summed = partial(_summed, bound=bound)
    people = partial(bots.leave_out, source=source)
    if read and source.kind != "table":  # what pipeline/sql says is done
        if source.filters_bots:
            raise UserError(
                "max_views_a_day and max_contents_a_day need a row a view, which BigQuery's tables are not read as: "
                "export the tables to files, or leave the settings out"
            )
        extract = partial(_labelled, extract=pairs.extract, label=str(source.input))
        return Kind(read, extract, None, _as_they_are, people, summed)
    if source.kind == "ga360":
        return Kind(
            partial(readers.read_export, schema=ga360.SCHEMA),
            partial(ga360.extract, source=source),
            None,
            sessions.dwell,
            people,
            summed,
        )
    if source.kind == "ga4":
        return Kind(
            partial(readers.read_export, schema=ga4.SCHEMA),
            partial(ga4.extract, source=source),
            None if source.filters_bots else partial(splits.on_each_side, combine=sessions.sum_pairs, split=split),
            _as_they_are,
            people,
            summed,
        )
    extract = partial(table.extract, source=source, rating=rating)
    if read:
        extract = partial(_labelled, extract=extract, label=str(source.query or source.input))
    return Kind(
        read or partial(readers.read_table, names=table.column_names(source)),
        extract,
        None,
        _as_they_are,
        people,
        _last if source.rating_column else summed,
    )


def extract(kind: Kind, raw: RawBatch, path: str) -> Extract:
    """The columns of some records, with their account.

    Raises:
        UserError: a column of the file is of a type that it cannot be.
    """
    try:
        return kind.extract(raw, path)
    except pa.ArrowException as error:
        types = ", ".join(f"{field.name} {field.type}" for field in raw.columns.schema)
        what = " ".join(str(error).split())
        raise UserError(f"{path} has a column of a wrong type ({what}); its columns are {types}") from error


def _labelled(raw: RawBatch, path: str, extract: Callable[[RawBatch, str], Extract], label: str) -> Extract:
    """For the account, a row is of the table and not of the stream that it came by."""
    return extract(raw, label)


Bound = Callable[[pa.Table], tuple[pa.Table, Counter[str]]]


def _as_they_are(rows: pa.Table) -> pa.Table:
    return rows


def _summed(rows: pa.Table, bound: Bound) -> tuple[pa.Table, Counter[str]]:
    return bound(sessions.sum_pairs(rows))


def _last(rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
    return sessions.last_of_pairs(rows), Counter()


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


def _is_hidden(path: str) -> bool:
    """Markers and leftovers of other tools: _SUCCESS, .crc."""
    return os.path.basename(path).startswith(("_", "."))
