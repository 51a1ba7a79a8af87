"""The rules of the pipeline for single requests: what an event counts, and what a visitor's views are worth together.

As for a dataset, pipeline.sources.events.signals decides what an event counts, pipeline.interactions.sessions what is
a pair of visitor and item, and pipeline.interactions.ratings its rating.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.manifests import TrainedOn
from artifacts.names import AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from configs.errors import UserError
from configs.settings import Settings, SourceSettings
from pipeline.interactions import bots, ratings, sessions
from pipeline.interactions.columns import ID
from pipeline.interactions.sessions import EVENT, INTERACTIONS
from pipeline.readers.records import RawBatch
from pipeline.sources.events import signals
from pipeline.sources.events.schema import schema_of
from pipeline.sources.extract import NO_SIGNAL
from pipeline.sources.items.pages import PageRules
from serving.events.stores import View

Records = Sequence[Mapping[str, Any]]
_SKIPPED, _REJECTED = ".skipped.", ".rejected."
# Of a source, what is about the days of an export, or needs more of an event than views do.
_OF_EXPORTS: dict[str, Any] = {
    "start_date": None,
    "end_date": None,
    "window_days": None,
    "attributes": {},
    "user_attributes": {},
}


class Counted(NamedTuple):
    """The views of one visitor in some records: the visitor, null without any; and what is left out, by reason."""

    visitor: bytes | None
    views: list[View]
    left_out: Counter[str]


class Entry(NamedTuple):
    """A pair: its rating, its weight in the loss, and whether its item may be recommended again."""

    rating: float
    weight: float
    again: bool = False


class History(NamedTuple):
    """A visitor's items, with ratings and weights in the loss float32[n]: the trained items first, then new ones.

    again: bool[n], items that may be recommended again. changed: how many of the trained ones changed. added: how many
    are new.
    """

    items: list[bytes]
    ratings: np.ndarray
    weights: np.ndarray
    again: np.ndarray
    changed: int
    added: int


class Rules:
    """The rules of a source for events that come one request at a time."""

    def __init__(self, settings: Settings):
        """Take the settings; raise UserError if they do not say what an event counts."""
        self.source = _source(settings)
        self.schema = schema_of(self.source)
        self._pages = PageRules(self.source.page_rules)
        self._keeps_views = settings.rating.kind == "binary"

    def views(self, records: Records) -> Counted:
        """Return what the signals count in records of one visitor (serving.events.measurement)."""
        (counted,), left_out = self._counted([records])
        return counted._replace(left_out=counted.left_out + left_out)

    def together(self, requests: Sequence[Records]) -> list[Counted] | None:
        """Return what `views` does of each request, in one pass, which costs as much for a hundred records as for one.

        None if the rules leave out something: its number is that of all requests.
        """
        if len(requests) == 1:
            return [self.views(requests[0])]
        counted, left_out = self._counted(requests)
        return None if left_out else counted

    def _counted(self, requests: Sequence[Records]) -> tuple[list[Counted], Counter[str]]:
        """Return what counts in each request, and what the rules leave out of all of them."""
        named = [self._named(records) for records in requests]
        records = [record for each in named for record in each]
        counted = [Counted(None, [], _without_signal(*pair)) for pair in zip(requests, named, strict=True)]
        if not records:
            return counted, Counter()
        raw = RawBatch(pa.RecordBatch.from_pylist(records, self.schema), np.arange(len(records)))
        extract = signals.extract(raw, "POST /events", self.source, self._pages)
        table = extract.table
        hashes = table[EVENT] if EVENT in table.schema.names else pa.array(_unlike(table.num_rows))
        columns = (table[CONTENT_ID], table[AMOUNT], table[TIME_MS], hashes)
        views = [View(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
        # Rows are in the order of their records, and these in that of the requests.
        edges = np.searchsorted(cast(np.ndarray, extract.records), np.cumsum([0, *map(len, named)])).tolist()
        for place, (first, last) in enumerate(itertools.pairwise(edges)):
            if first < last:
                visitor = table[VISITOR_ID][first].as_py()
                counted[place] = counted[place]._replace(visitor=visitor, views=views[first:last])
        return counted, _left_out(extract.counts)

    def _named(self, records: Records) -> Records:
        """Return the records that a signal may name: most events of a site have none, and are not worth a table."""
        names = self.source.events
        return records if names is None else [record for record in records if record["event_name"] in names]

    def history(self, views: Sequence[View], trained: Mapping[bytes, Entry], dataset: TrainedOn) -> History:
        """Return the trained items of a visitor, with ratings and weights, and what came since.

        Views up to the last one of the dataset are in it already. A pair of the dataset grows by its new views; where
        it is not known which are new, the greater of both counts. What is viewed since is not recommended again.
        """
        last_ms = dataset.last_view_ms
        since = [view for view in views if last_ms is None or view.time_ms > last_ms]
        pairs = self._pairs(since)
        is_old = np.array([item in trained for item in pairs[CONTENT_ID].to_pylist()], bool)
        old, new = pairs.filter(pa.array(is_old)), self._bounded(pairs.filter(pa.array(~is_old)))
        before = [trained[item] for item in old[CONTENT_ID].to_pylist()]
        given = np.array([entry[:2] for entry in before], np.float32).reshape(-1, 2)
        amounts = old[AMOUNT].to_numpy()
        grew = np.maximum(given, _entries(amounts, dataset)) if last_ms is None else _grown(given, amounts, dataset)
        of_old, of_new = (
            dict(zip(pairs[CONTENT_ID].to_pylist(), itertools.starmap(Entry, values.tolist()), strict=True))
            for pairs, values in ((old, grew), (new, _entries(new[AMOUNT].to_numpy(), dataset)))
        )
        changed = sum(entry[:2] != was[:2] for entry, was in zip(of_old.values(), before, strict=True))
        whole = {item: entry for item, entry in ({**trained} | of_old).items() if entry.rating > 0} | of_new
        numbers = np.array([entry[:2] for entry in whole.values()], np.float32).reshape(-1, 2)
        again = np.array([entry.again for entry in whole.values()], bool)
        return History(list(whole), numbers[:, 0], numbers[:, 1], again, changed, len(of_new))

    def _pairs(self, views: Sequence[View]) -> pa.Table:
        """Return one row per item, ordered by item, as pipeline.interactions.sessions has it; none of a bot."""
        if not views:
            return INTERACTIONS.empty_table()
        items, amounts, times, _ = zip(*views, strict=True)
        visitor = pa.DictionaryArray.from_arrays(pa.array([0] * len(views), pa.int32()), pa.array([b""], pa.binary()))
        ids = pc.dictionary_encode(pa.array(items, pa.binary())).cast(ID)
        rows = {VISITOR_ID: visitor, CONTENT_ID: ids, AMOUNT: pa.array(amounts, pa.float64())}
        table = pa.table(rows | {TIME_MS: pa.array(times, pa.int64())}, schema=INTERACTIONS)
        return sessions.sum_pairs(bots.leave_out(table, self.source).rows)

    def _bounded(self, pairs: pa.Table) -> pa.Table:
        """Return the pairs that count: pipeline.sources.source.Source.combine."""
        if not self.source.counts_dwell:
            return sessions.above_zero(pairs)[0]
        return sessions.bound_dwell(pairs, self.source.min_dwell_ms, self.source.max_dwell_ms, self._keeps_views)[0]


def _entries(amounts: np.ndarray, dataset: TrainedOn) -> np.ndarray:
    """Return the ratings and weights of amounts, float32[n, 2]; the weights are 1 in a dataset without."""
    rated = ratings.rate(amounts, dataset.median, dataset.rating)
    weights = ratings.weigh(amounts / dataset.median) if _weighs(dataset) else np.ones(len(amounts))
    return np.stack([rated, weights], axis=1).astype(np.float32)


def _grown(given: np.ndarray, amounts: np.ndarray, dataset: TrainedOn) -> np.ndarray:
    """Return the ratings and weights float32[n, 2] of pairs that had `given` and grew by amounts."""
    rated, weights = ratings.grown(given[:, 0], amounts, dataset.median, dataset.rating), given[:, 1]
    if _weighs(dataset):
        weights = ratings.grown_weights(weights, amounts / dataset.median)
    return np.stack([rated, weights], axis=1)


def _weighs(dataset: TrainedOn) -> bool:
    return dataset.rating.weight == "log" and bool(dataset.median)


def can_rate(dataset: TrainedOn) -> bool:
    """Return whether a model's manifest has what the ratings of its dataset need."""
    return dataset.median is not None or dataset.rating.kind != "median"


def _without_signal(records: Records, named: Records) -> Counter[str]:
    return +Counter({NO_SIGNAL: len(records) - len(named)})


def _left_out(counts: Counter[str]) -> Counter[str]:
    """Return the counts of what the rules skipped or rejected, by reason."""
    left_out = Counter[str]()
    for name, count in counts.items():
        for mark in (_SKIPPED, _REJECTED):
            if mark in name:
                left_out[name.partition(mark)[2]] += count
    return left_out


def _source(settings: Settings) -> SourceSettings:
    source, own_signals = settings.source, settings.events.signals
    if source.kind == "table" and source.rating_column:
        raise UserError("events.accept: events cannot be ratings; source.rating_column has ratings")
    if source.kind != "ga4" and not own_signals:
        raise UserError(f"events.accept: source.kind is {source.kind}; name the events that count in events.signals")
    if source.kind == "ga4":
        return source.model_copy(update=_OF_EXPORTS | ({"signals": own_signals} if own_signals else {}))
    shared = {"page", "min_dwell_ms", "max_dwell_ms", "max_views_a_day", "max_items_a_day", "missing_ids"}
    own = {name: getattr(source, name) for name in shared}
    return SourceSettings(kind="ga4", signals=own_signals).model_copy(update=own)


def _unlike(count: int) -> np.ndarray:
    """Return numbers that no other event has, uint64[count]: the source counts equal events each time."""
    return np.random.default_rng().integers(0, 1 << 64, count, np.uint64)
