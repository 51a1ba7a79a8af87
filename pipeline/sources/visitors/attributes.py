"""Attributes of visitors, such as device and country, in the records of an export.

They are collected as those of items are (`pipeline.sources.items.attributes`), by visitorId.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import SourceSettings
from pipeline.sources import columns
from pipeline.sources.extract import column, faults
from pipeline.sources.items import attributes
from pipeline.sources.items.attributes import Located
from pipeline.sources.visitors.fields import VISITOR_TYPE, is_column


def collect(
    records: pa.RecordBatch,
    visitors: pa.DictionaryArray,
    times_ms: np.ndarray,
    source: SourceSettings,
    special: Callable[[str], pa.Array],
) -> pa.RecordBatch:
    """Return the values of the visitors' attributes in some records.

    Args:
        records: with the columns of `pipeline.sources.visitors.fields.nested`.
        visitors: pipeline.interactions.columns.ID [n]; null in a record that does not count. Ids that cannot be in a
            vocabulary do not count either.
        times_ms: int64 [n].
        special: the values [n] of a field that is not a column; of VISITOR_TYPE the numbers of the sessions.

    Returns:
        columns of pipeline.sources.items.attributes.VALUES.
    """
    is_sound = faults("visitor_id", visitors) == None  # noqa: E711 - elementwise
    visitors = visitors.take(pa.array(np.arange(len(visitors)), mask=~is_sound))
    located = {}
    for name, field in source.visitor_attributes.items():
        values = _column(records, field) if is_column(field) else special(field)
        located[name] = Located.of_rows(new_or_returning(values) if field == VISITOR_TYPE else values)
    return attributes.collect(visitors, times_ms, located, source.names_of_no_id)


def new_or_returning(numbers: pa.Array) -> pa.Array:
    """Return `new` for the session of number 1, else `returning`; null without a number."""
    values, is_number = columns.integers(numbers)
    kinds = pc.if_else(pa.array(values == 1), "new", "returning")
    return pc.if_else(pa.array(is_number), kinds, pa.scalar(None, pa.string()))


def _column(records: pa.RecordBatch, field: str) -> pa.Array:
    name, *parts = field.split(".")
    values = column(records, name)
    for part in parts:
        values = columns.field(values, part)
    return values
