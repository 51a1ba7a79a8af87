"""The Beam job of an outcome: export, lists and datasets -> rows by shard of their visitors -> sums -> figures.

Nothing is collected before it is summed: a worker has the rows of one shard of visitors and the items of the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.shared import Shared

from artifacts.exposures import unclicked
from artifacts.paths import join
from configs.settings import RatingSettings, Settings
from pipeline.beam import finalize
from pipeline.beam.block_store import BlockStore
from pipeline.beam.counters import StepCounter
from pipeline.interactions import columns
from pipeline.outcomes import figures
from pipeline.outcomes.live import lists
from pipeline.outcomes.live.items import Items
from pipeline.outcomes.live.runs import OtherLists, Run
from pipeline.outcomes.measures import items, next_days, tracked
from pipeline.outcomes.measures.shard import Live, Shard, Tables, without_bots
from pipeline.outcomes.measures.tally import Tally
from pipeline.sources import privacy
from pipeline.sources.input_files import Input
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists import reading
from pipeline.sources.lists.rows import Asked
from pipeline.sources.select import source_of
from pipeline.sources.source import Source

VIEWS, EVENTS, PREDICTED, HAD = "views", "events", "predicted", "had"
_COUNTS, _ITEMS = "counts", "items"
_SHARD_BYTES = 1 << 22  # of input, which is compressed, per shard, so that a worker has one in its memory
_MAX_SHARDS = 4096
_PARTS = 16  # sums of the items of a shard that are kept before they are added up


@dataclass(frozen=True)
class Job:
    """Input of a job, and the options. settings.source: that of the days after."""

    settings: Settings
    files: Input
    runs: tuple[Run, ...]
    asked: Asked
    staging: str
    store: BlockStore
    compared: OtherLists | None = None  # the lists that exposures are compared with
    until_ms: int | None = None  # the end of the config's window, if that is before the end of the last run

    @property
    def shards(self) -> int:
        """Shards of the visitors."""
        size = self.files.size + sum(run.bytes for run in self.runs)
        return min(_MAX_SHARDS, size // _SHARD_BYTES + 1)

    def source(self) -> Source:
        """Return the source, whose rules say what a visitor came for."""
        return source_of(self.settings.source, self.settings.rating)


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Build the pipeline, which writes a summary with the figures and the counts."""
    files, runs = job.files.files, job.runs
    read = (
        pipeline
        | "Files" >> beam.Create(files, reshuffle=len(files) > 1)
        | "Read" >> beam.ParDo(_ReadExport(job)).with_outputs(_COUNTS, main="rows")
    )
    of_lists = [(number, path) for number, run in enumerate(runs) for path in run.files]
    of_lists += [(lists.COMPARED, path) for path in (job.compared.files if job.compared else ())]
    of_visitors = [(number, shard) for number, run in enumerate(runs) for shard in range(run.user_shards)]
    parts = [read.rows]
    for label, inputs, step in (
        ("Lists", of_lists, _ReadLists(job)),
        ("Dataset", of_visitors, _ReadHad(job)),
    ):
        parts.append(pipeline | label >> beam.Create(inputs) | f"Read{label}" >> beam.ParDo(step))
    measure_all = beam.ParDo(_Measure(job)).with_outputs(_ITEMS, main="tallies")
    measured = parts | "All" >> beam.Flatten() | "ByShard" >> beam.GroupByKey() | "Measure" >> measure_all
    # Each is summed where it is made, before it is shuffled: a tally per shard of the visitors would grow with them.
    of_items = measured[_ITEMS] | "SumItems" >> beam.CombinePerKey(SumItems()) | "Items" >> beam.Map(_of_items)
    tallies = measured.tallies | "SumShards" >> beam.CombineGlobally(_Merge())
    (
        [tallies, read[_COUNTS], of_items]
        | "AllTallies" >> beam.Flatten()
        | "Sum" >> beam.CombineGlobally(_Merge())
        | "Finish" >> beam.Map(_finish, job)
    )


class _Reader(beam.DoFn):
    """Yields rows by shard of their visitors, as (shard, (name of the table, reference))."""

    def __init__(self, job: Job, step: str):
        self._job, self._counter = job, StepCounter(step)

    def _put(self, name: str, rows: pa.RecordBatch) -> Iterator[tuple[int, tuple[str, bytes]]]:
        for shard, part in columns.split(rows, columns.shard_of(rows.column(0), self._job.shards)):
            yield shard, (name, self._job.store.put(part, self._counter))

    def teardown(self) -> None:
        self._job.store.close()


class _ReadExport(_Reader):
    """path -> rows of views and of list events; a tally of counts on the side."""

    def __init__(self, job: Job):
        super().__init__(job, "read")
        source = job.settings.source
        self._source = job.source()
        self._read = source_of(reading.wide(source, job.asked), RatingSettings(), read=job.files.read).read
        self._lists = reading.module_of(source)
        self._rules = PageRules(source.page_rules)

    def process(self, path: str) -> Iterator[object]:
        tally, rules = Tally(), self._job.settings.privacy
        for raw in self._read(path):
            extracts = [(VIEWS, self._source.extract(raw, path))]
            if self._lists:
                rows = self._lists.rows(raw, self._source.settings, self._rules, self._job.asked)
                extracts.append((EVENTS, rows))
            for name, extract in extracts:
                # Ids are hashed, and deleted visitors left out, before anything else sees them.
                protected = privacy.protect(extract, rules, self._source.by_visit)
                tally.counts.update(protected.counts)
                yield from self._put(name, protected.table)
        yield beam.pvalue.TaggedOutput(_COUNTS, tally)


class _ReadLists(_Reader):
    """(number of a run, path) -> rows of its lists."""

    def __init__(self, job: Job):
        super().__init__(job, "lists")

    def process(self, element: tuple[int, str]) -> Iterator[object]:
        number, path = element
        for batch in lists.of_run(self._job.runs[number], number, path):
            yield from self._put(PREDICTED, batch)


class _ReadHad(_Reader):
    """(number of a run, shard of its dataset) -> rows of what visitors had."""

    def __init__(self, job: Job):
        super().__init__(job, "dataset")

    def process(self, element: tuple[int, int]) -> Iterator[object]:
        number, shard = element
        for batch in lists.had(self._job.runs[number], number, shard):
            yield from self._put(HAD, batch)


class _Measure(beam.DoFn):
    """(shard, references) -> a tally; sums of items by the shard of these on the side."""

    def __init__(self, job: Job):
        self._job, self._shared = job, Shared()

    def setup(self) -> None:
        self._items = self._shared.acquire(lambda: _All([Items(run) for run in self._job.runs]))

    def process(self, element: tuple[int, Iterable[tuple[str, bytes]]]) -> Iterator[object]:
        job, source = self._job, self._job.source()
        references: dict[str, list[bytes]] = {}
        for name, reference in element[1]:
            references.setdefault(name, []).append(reference)
        tables = {name: job.store.get(sorted(found)) for name, found in references.items()}
        tally = Tally()
        if VIEWS in tables:
            tables[VIEWS], account = source.interactions(tables[VIEWS])
            tally.counts.update(account)
        ks = tuple(sorted(set(job.settings.evaluation.k)))
        live = Live(job.runs, self._items.items, source, job.settings.outcome, ks, job.until_ms)
        measure(Tables.of(**tables), live, tally)
        if job.settings.outcome.unclicked_half_life_days is not None:
            tally.counts["unclicked.pairs"] += tally.unclicked.num_rows
            unclicked.write(job.staging, element[0], job.shards, tally.unclicked)
        tally.unclicked = tally.unclicked.slice(0, 0)
        for batch in tally.items:
            for shard, part in columns.split(batch, columns.shard_of(batch.column(items.CONTENT_ID), items.SHARDS)):
                yield beam.pvalue.TaggedOutput(_ITEMS, (shard, columns.to_bytes(part)))
        tally.items = []
        yield tally


class SumItems(beam.CombineFn):
    """Adds up the sums of items of a shard of them, as bytes of columns of ITEMS; those shown most remain."""

    def create_accumulator(self) -> list[bytes]:
        return []

    def add_input(self, accumulator: list[bytes], element: bytes) -> list[bytes]:
        return self.merge_accumulators([accumulator, [element]])

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        parts = [part for each in accumulators for part in each]
        if len(parts) < _PARTS:
            return parts
        whole = items.summed(columns.from_bytes(iter(parts)).to_batches())
        return [columns.to_bytes(whole.combine_chunks().to_batches()[0])]

    def extract_output(self, accumulator: list[bytes]) -> list[bytes]:
        batches = items.added_up(columns.from_bytes(iter(accumulator)).to_batches())
        return [columns.to_bytes(batch) for batch in batches]


def _of_items(element: tuple[int, list[bytes]]) -> Tally:
    """Return a tally with the sums of the items of a shard."""
    tally = Tally()
    tally.items = columns.from_bytes(iter(element[1])).to_batches()
    return tally


@dataclass
class _All:
    """The items of all runs, which the threads of a worker share."""

    items: list[Items]


def measure(tables: Tables, live: Live, tally: Tally) -> None:
    """Add all figures of some visitors to the tally."""
    shard = Shard(without_bots(tables, live, tally))
    next_days.measure(shard, live, tally)
    tracked.measure(shard, live, tally)


class _Merge(beam.CombineFn):
    """Adds up tallies."""

    def create_accumulator(self) -> Tally:
        return Tally()

    def add_input(self, accumulator: Tally, element: Tally) -> Tally:
        return accumulator.merge([element])

    def merge_accumulators(self, accumulators: Iterable[Tally]) -> Tally:
        return Tally().merge(accumulators)

    def extract_output(self, accumulator: Tally) -> Tally:
        return accumulator


def _finish(tally: Tally, job: Job) -> None:
    """Write the figures and the counts, once all rows are summed."""
    settings = job.settings
    by_exposure = settings.outcome.attribute_to == "exposure"
    outcome = figures.of_tally(tally, job.runs, settings.evaluation, by_exposure, job.compared)
    counts = Counter({name: number for name, number in tally.counts.items() if number})
    summary = {"outcome": outcome.model_dump(mode="json"), "counts": counts}
    finalize.write_summary(summary, join(job.staging, finalize.SUMMARY))
