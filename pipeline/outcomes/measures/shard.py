"""All that is known of some visitors: views, list events, lists, and what they had; with ids as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import CONTENT_ID, DAY_MS, TIME_MS, VISITOR_ID
from configs.settings import OutcomeSettings, SourceSettings
from pipeline.interactions import sessions, splits
from pipeline.interactions.columns import ID
from pipeline.outcomes.live.items import Items
from pipeline.outcomes.live.lists import HAD, PREDICTED
from pipeline.outcomes.live.runs import Run
from pipeline.outcomes.measures.tally import BUCKETS, Tally
from pipeline.sources.lists.rows import EXPOSURE, KIND, ROWS
from pipeline.sources.source import Source

_SEED = 7  # of the buckets


@dataclass(frozen=True)
class Live:
    """All that a measure needs next to the rows: the runs with their items, the source, and the options."""

    runs: Sequence[Run]
    items: Sequence[Items]
    source: Source
    options: OutcomeSettings
    ks: tuple[int, ...]
    until_ms: int | None = None  # the time at which an exposure counts whole; None is the end of the last run

    @property
    def settings(self) -> SourceSettings:
        return self.source.settings


@dataclass(frozen=True)
class Tables:
    """The rows of some visitors, all of them. views: interactions of the source, before they are summed by pair."""

    views: pa.Table
    events: pa.Table
    predicted: pa.Table
    had: pa.Table

    @classmethod
    def of(
        cls,
        views: pa.Table | None = None,
        events: pa.Table | None = None,
        predicted: pa.Table | None = None,
        had: pa.Table | None = None,
    ) -> Tables:
        """Return the tables; those that are missing are empty."""
        empty = (sessions.INTERACTIONS, ROWS, PREDICTED, HAD)
        tables = zip((views, events, predicted, had), empty, strict=True)
        return cls(*(table if table is not None else schema.empty_table() for table, schema in tables))


class Shard:
    """The same with visitors and items as codes, which all tables share."""

    def __init__(self, tables: Tables):
        self.tables = tables
        each = (tables.views, tables.events, tables.predicted, tables.had)
        self.visitors, self._visitor = _together([table[VISITOR_ID] for table in each])
        self.items, self._item = _together([table[CONTENT_ID] for table in each[:3]])

    @cached_property
    def buckets(self) -> np.ndarray:
        """The bucket of each visitor, int64 [visitors]."""
        coded = self.visitors.dictionary_encode()
        return (splits.hash_ids(coded, _SEED) % np.uint64(BUCKETS)).astype(np.int64)

    def visitors_of(self, table: str) -> np.ndarray:
        """Return the visitor of each row of a table, int64 [n], by the name of its field in `Tables`."""
        return self._visitor[("views", "events", "predicted", "had").index(table)]

    def items_of(self, table: str) -> np.ndarray:
        """Return the item of each row of a table, int64 [n]; -1 for a null."""
        return self._item[("views", "events", "predicted").index(table)]

    def codes(self, ids: pa.ChunkedArray, known: pa.BinaryArray) -> np.ndarray:
        """Return the codes of ids that are all among the visitors or the items."""
        encoded = ids.combine_chunks()
        places = pc.index_in(encoded.dictionary, value_set=known).to_numpy(zero_copy_only=False)
        return places.astype(np.int64)[encoded.indices.to_numpy()]


def without_bots(tables: Tables, live: Live, tally: Tally) -> Tables:
    """Return the rows of all but bots: those of the source's limits, and those of `max_exposures_a_day`; count them."""
    kept = live.source.without_bots(tables.views)
    bots = set(pc.unique(tables.views[VISITOR_ID].cast(pa.binary())).to_pylist())
    bots -= set(pc.unique(kept.rows[VISITOR_ID].cast(pa.binary())).to_pylist())
    if (limit := live.options.max_exposures_a_day) is not None and tables.events.num_rows:
        shown = tables.events.filter(pc.and_(pc.equal(tables.events[KIND], EXPOSURE), tables.events["ours"]))
        days = pa.table({"visitor": shown[VISITOR_ID].cast(pa.binary()), "day": shown[TIME_MS].to_numpy() // DAY_MS})
        counted = days.group_by(["visitor", "day"]).aggregate([([], "count_all")])
        bots |= set(counted.filter(pc.greater(counted["count_all"], limit))["visitor"].to_pylist())
    if not bots:
        return tables
    names = pa.array(sorted(bots), pa.binary())
    tally.counts["visitors.skipped.bot"] += len(bots)
    found = {}
    for name, unit in (("views", "views"), ("events", "lists")):
        table = getattr(tables, name)
        human = pc.invert(pc.is_in(table[VISITOR_ID].cast(pa.binary()), value_set=names))
        found[name] = table.filter(human)
        tally.counts[f"{unit}.skipped.bot"] += table.num_rows - found[name].num_rows
    return Tables(found["views"], found["events"], tables.predicted, tables.had)


def _together(columns: Sequence[pa.ChunkedArray]) -> tuple[pa.BinaryArray, list[np.ndarray]]:
    """Return the distinct ids of several columns of ID, and the codes of each column's rows, int64; -1 for a null."""
    chunks = [pa.array([], ID), *(chunk for column in columns for chunk in column.chunks)]
    whole = pa.chunked_array(chunks, ID).unify_dictionaries().combine_chunks()
    codes = whole.indices.fill_null(-1).to_numpy().astype(np.int64)
    ends = np.cumsum([len(column) for column in columns])
    return whole.dictionary, np.split(codes, ends[:-1])
