"""The rules that turn views into interactions.

An interaction is (visitorId, contentId, amount, time of the last view), one per pair. The amount is the summed dwell in
ms, what the signals of a pair count, or the rating of a table. Everything here is a function of columns.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import AGAIN, AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from pipeline.interactions.columns import ID, sorted_with_order

INTERACTIONS = pa.schema({VISITOR_ID: ID, CONTENT_ID: ID, AMOUNT: pa.float64(), TIME_MS: pa.int64()})

# Of a source that marks the items that may be recommended again; the last column of its tables.
MARK = pa.field(AGAIN, pa.bool_())

# The same with a hash of what tells one event from another, of the same visitor and item.
EVENT = "event"
EVENTS = INTERACTIONS.append(pa.field(EVENT, pa.uint64()))

# A GA360 page view: contentId is null on pages without item, which end the dwell of the page before. A view lasts to
# the next one of its series; an occurrence of another kind has an amount, which is null for a view.
VISIT_ID, HIT_TIME_MS, HIT_NUMBER, START_MS, SERIES = "visitId", "hit_time_ms", "hitNumber", "start_ms", "series"
VIEWS = pa.schema(
    {
        VISITOR_ID: ID,
        VISIT_ID: pa.int64(),
        HIT_TIME_MS: pa.int64(),
        HIT_NUMBER: pa.int64(),
        START_MS: pa.int64(),
        CONTENT_ID: ID,
        SERIES: pa.int16(),
        AMOUNT: pa.float64(),
    }
)


def dwell(views: pa.Table) -> pa.Table:
    """Return the dwell of each view of an item: the time to the next page of the same session.

    LEAD(hits.time) OVER (PARTITION BY fullVisitorId, visitId ORDER BY hits.time, hits.hitNumber) - hits.time

    From columns of VIEWS, all pages of a visitor in any order, come columns of INTERACTIONS and SERIES, one row per
    item of a view. The amount is 0 on a session's last page; several items of one page are seen as long as the page;
    rows that have an amount keep it.
    """
    visitors = views[VISITOR_ID].combine_chunks().indices.to_numpy()
    names = (VISIT_ID, SERIES, HIT_TIME_MS, HIT_NUMBER)
    visits, series, times, numbers = (views[name].to_numpy() for name in names)
    order = np.lexsort((numbers, times, series, visits, visitors))
    visitors, visits, series, times, numbers = (keys[order] for keys in (visitors, visits, series, times, numbers))
    same_session = _repeats(visitors) & _repeats(visits) & _repeats(series)
    page = np.cumsum(~(same_session & _repeats(times) & _repeats(numbers))) - 1  # of each row
    firsts = np.flatnonzero(np.diff(page, prepend=-1))
    to_next = np.append(np.where(same_session[firsts[1:]], np.diff(times[firsts]), 0), 0)
    views = views.take(pa.array(order))
    given = views[AMOUNT].to_numpy()
    table = pa.table(
        {
            VISITOR_ID: views[VISITOR_ID],
            CONTENT_ID: views[CONTENT_ID],
            AMOUNT: np.where(np.isnan(given), to_next[page], given),
            TIME_MS: pc.add(views[START_MS], views[HIT_TIME_MS]),
            SERIES: views[SERIES],
        },
        schema=INTERACTIONS.append(VIEWS.field(SERIES)),
    )
    return table.filter(pc.is_valid(table[CONTENT_ID]))


def _repeats(keys: np.ndarray) -> np.ndarray:
    """Return whether each key equals the one before, bool[n]."""
    return np.append(False, keys[1:] == keys[:-1])[: len(keys)]


def distinct(events: pa.Table) -> pa.Table:
    """Return columns of INTERACTIONS, and the mark if there is one, without exact duplicates.

    events: columns of EVENTS, one row per event; all of some visitors.
    """
    visitors, items = (events[name].combine_chunks() for name in (VISITOR_ID, CONTENT_ID))
    pairs = visitors.indices.to_numpy().astype(np.int64) * len(items.dictionary) + items.indices.to_numpy()
    hashes = events[EVENT].to_numpy()
    order = np.lexsort((hashes, pairs))
    is_repeated = (pairs[order][1:] == pairs[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    rows = events.drop_columns([EVENT])
    if not is_repeated.any():
        return rows
    is_first = np.ones(len(order), bool)
    is_first[order[1:]] = ~is_repeated
    return rows.filter(pa.array(is_first))


def sum_pairs(table: pa.Table) -> pa.Table:
    """Return one row per pair of visitor and item: summed amounts, the latest time; ordered by visitor and item.

    An item may be recommended again if each row of the pair allows it.
    """
    if not table.num_rows:
        return table
    visitors, of_visitor = _ranks(table[VISITOR_ID])
    items, of_item = _ranks(table[CONTENT_ID])
    pairs = of_visitor * len(items) + of_item  # below 2^63: each factor is a number of rows in memory
    pairs, order = sorted_with_order(pairs)  # stable: sums of fractions do not depend on the processor's sort
    starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
    firsts = pairs[starts]
    summed = pa.table(
        {
            VISITOR_ID: _coded(firsts // len(items), visitors),
            CONTENT_ID: _coded(firsts % len(items), items),
            AMOUNT: np.add.reduceat(table[AMOUNT].to_numpy()[order], starts),
            TIME_MS: np.maximum.reduceat(table[TIME_MS].to_numpy()[order], starts),
        },
        schema=INTERACTIONS,
    )
    if AGAIN not in table.schema.names:
        return summed
    again = np.logical_and.reduceat(table[AGAIN].to_numpy()[order], starts)
    return summed.append_column(MARK, pa.array(again))


def last_of_pairs(table: pa.Table) -> pa.Table:
    """Return one row per pair: the amount of the latest row, the greatest of several; ordered by visitor and item."""
    if not table.num_rows:
        return table
    _, of_visitor = _ranks(table[VISITOR_ID])
    items, of_item = _ranks(table[CONTENT_ID])
    pairs = of_visitor * len(items) + of_item
    order = np.lexsort((table[AMOUNT].to_numpy(), table[TIME_MS].to_numpy(), pairs))
    last = np.flatnonzero(np.append(pairs[order][1:] != pairs[order][:-1], True))
    return table.take(pa.array(order[last]))


def above_zero(pairs: pa.Table) -> tuple[pa.Table, Counter[str]]:
    """Return the pairs with an amount above 0, and how many others signals with a weight below 0 left nothing of."""
    kept = pairs.filter(pc.greater(pairs[AMOUNT], 0))
    return kept, Counter({"pairs.skipped.not_above_0": pairs.num_rows - kept.num_rows})


def bound_dwell(
    pairs: pa.Table, least_ms: float, greatest_ms: float | None, keeps_views: bool = False
) -> tuple[pa.Table, Counter[str]]:
    """Keep pairs with a dwell above 0, or of 0 too if `keeps_views`, and at least `least_ms`; cap it at `greatest_ms`.

    Return the kept pairs, and how many were dropped and capped.
    """
    amounts = pairs[AMOUNT].to_numpy()
    dwelt = amounts >= 0 if keeps_views else amounts > 0
    kept = dwelt & (amounts >= least_ms)
    counts = Counter(
        {
            "pairs.skipped.no_dwell": int(len(amounts) - dwelt.sum()),
            "pairs.skipped.below_min_dwell": int(dwelt.sum() - kept.sum()),
        }
    )
    if not kept.all():
        pairs = pairs.filter(pa.array(kept))
    if greatest_ms is not None:
        amounts = pairs[AMOUNT].to_numpy()
        counts["pairs.capped_at_max_dwell"] = int((amounts > greatest_ms).sum())
        index = pairs.schema.get_field_index(AMOUNT)
        pairs = pairs.set_column(index, AMOUNT, pa.array(np.minimum(amounts, greatest_ms)))
    return pairs, counts


def _ranks(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct ids, ascending, and the code of each row, int64[n]."""
    encoded = column.combine_chunks()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), rank[encoded.indices.to_numpy()]


def _coded(places: np.ndarray, ids: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), ids)
