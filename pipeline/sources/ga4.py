"""GA4 events (events_YYYYMMDD, one row per event) -> what its signals count, by visitor and item."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from configs.settings import SourceSettings, SplitSettings
from pipeline.interactions import sessions, splits
from pipeline.readers.files import ExportReader
from pipeline.readers.records import RawBatch
from pipeline.sources.events import signals
from pipeline.sources.events.schema import schema_of
from pipeline.sources.extract import Extract
from pipeline.sources.items.pages import PageRules
from pipeline.sources.source import Source


class Ga4(Source):
    """GA4 events in export files."""

    def __init__(self, settings: SourceSettings, split: SplitSettings, reader: ExportReader | None = None):
        schema = schema_of(settings)
        super().__init__(settings, (reader or ExportReader(schema)).read, schema=schema)
        self._split, self._rules = split, PageRules(settings.page_rules)

    def _rows_of(self, raw: RawBatch, path: str) -> Extract:
        before_ms = self._split.time_ms if self._split.kind == "time" else None
        return signals.extract(raw, path, self.settings, self._rules, before_ms)

    def shrink(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Sum what each pair counts; bots and duplicates are found by single events."""
        if self.settings.filters_bots or self.settings.drop_duplicate_events or not rows.num_rows:
            return rows
        pairs = splits.on_each_side(pa.Table.from_batches([rows]), sessions.sum_pairs, self._split)
        return pairs.combine_chunks().to_batches()[0]

    def interactions(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """Return the events, without exact duplicates."""
        if not self.settings.drop_duplicate_events:
            return rows, Counter()
        events = sessions.distinct(rows)
        return events, Counter({"views.skipped.duplicate_event": rows.num_rows - events.num_rows})
