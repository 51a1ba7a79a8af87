"""Interest after a click on a recommendation: told from other interest, counted, and weighed down."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from artifacts.names import AMOUNT, CONTENT_ID, TIME_MS, VISITOR_ID
from configs.settings import RecommendedSettings
from pipeline.interactions.columns import ID
from pipeline.interactions.matching import Moments, last_before
from pipeline.interactions.sessions import SERIES, START_MS

_HOUR_MS = 3_600_000
_STEPS = 1 << 20  # as in pipeline.sources.items.strengths, so that sums of weighed amounts stay exact
_MARK = -1  # the series of a click among views; other rows have an amount of NaN
_CLICKS = pa.schema({VISITOR_ID: ID, CONTENT_ID: ID, TIME_MS: pa.int64()})
CLICKS, WHOLE, AFTER = "recommended.clicks", "recommended.interest", "recommended.after_clicks"


def as_rows(clicks: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return clicks as rows of a source's columns, so that they meet the rows of their visitors in a shuffle."""
    size = clicks.num_rows
    given = {VISITOR_ID: clicks[VISITOR_ID], CONTENT_ID: clicks[CONTENT_ID]}
    times = clicks[TIME_MS]
    given |= {START_MS: times, SERIES: pa.array(np.full(size, _MARK, np.int16))} if SERIES in schema.names else {}
    given |= {TIME_MS: times, AMOUNT: pa.array(np.full(size, np.nan))}
    arrays = [given[field.name] if field.name in given else _zeros(size, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _zeros(size: int, kind: pa.DataType) -> pa.Array:
    return pa.array(np.zeros(size, bool if pa.types.is_boolean(kind) else kind.to_pandas_dtype()), kind)


def apart(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of a source without the clicks among them, and the clicks."""
    has_series = SERIES in rows.schema.names
    is_click = rows[SERIES].to_numpy() == _MARK if has_series else np.isnan(rows[AMOUNT].to_numpy())
    clicks = rows.filter(pa.array(is_click))
    times = clicks[START_MS if has_series else TIME_MS]
    return rows.filter(pa.array(~is_click)), pa.table([clicks[VISITOR_ID], clicks[CONTENT_ID], times], _CLICKS)


def weigh(interactions: pa.Table, clicks: pa.Table, settings: RecommendedSettings) -> tuple[pa.Table, Counter[str]]:
    """Return interactions of some visitors, those that are due to a click weighed, and how many there are of both."""
    earlier, later = (
        Moments(pairs, table[TIME_MS].to_numpy())
        for pairs, table in zip(_pairs(clicks, interactions), (clicks, interactions), strict=True)
    )
    due = last_before(earlier, later, settings.hours * _HOUR_MS) >= 0
    counts = Counter({WHOLE: len(due), AFTER: int(due.sum())})
    if settings.weight == 1 or not due.any():
        return interactions, counts
    if not settings.weight:
        return interactions.filter(pa.array(~due)), counts
    amounts, place = interactions[AMOUNT].to_numpy(), interactions.schema.get_field_index(AMOUNT)
    weighed = np.where(due, np.round(amounts * settings.weight * _STEPS) / _STEPS, amounts)
    return interactions.set_column(place, interactions.schema.field(place), pa.array(weighed)), counts


def _pairs(*tables: pa.Table) -> list[np.ndarray]:
    """Return the pair of visitor and item of each row of two tables, int64, by codes that both share."""
    columns = []
    for name in (VISITOR_ID, CONTENT_ID):
        chunks = [pa.array([], ID), *(chunk for table in tables for chunk in table[name].chunks)]
        whole = pa.chunked_array(chunks, ID).unify_dictionaries().combine_chunks()
        columns.append((whole.indices.to_numpy().astype(np.int64), len(whole.dictionary)))
    (visitors, _), (items, size) = columns
    return np.split(visitors * size + items, [len(tables[0])])
