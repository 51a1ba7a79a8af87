"""Events -> the occurrences of signals: each with its item and what it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from configs.settings import SourceSettings
from configs.settings.signals import Signal
from pipeline.interactions.columns import ID
from pipeline.sources import columns
from pipeline.sources.columns import NOTHING
from pipeline.sources.events.fields import Fields, Rows
from pipeline.sources.extract import faults
from pipeline.sources.items.missing import LIST, NO_AMOUNT, without_missing


class Occurrences(NamedTuple):
    """The occurrences of signals in events [m].

    item: ID, null where there is none. amount: float64, before the weight. signal: int64, its place in
    source.all_signals. skips: why an occurrence counts nothing; faults: why it is invalid; object, None elsewhere.
    """

    rows: Rows
    item: pa.DictionaryArray
    amount: np.ndarray
    signal: np.ndarray
    skips: np.ndarray
    faults: np.ndarray

    def filter(self, kept: np.ndarray) -> Occurrences:
        if kept.all():
            return self
        at = np.flatnonzero(kept)
        return Occurrences(self.rows.take(at), self.item.take(pa.array(at)), *(column[at] for column in self[2:]))

    @property
    def of_items(self) -> np.ndarray:
        """Return bool[m]: the occurrence is of one of the event's items."""
        return self.rows.item != NOTHING


def find(fields: Fields, matched: list[np.ndarray], source: SourceSettings) -> Occurrences:
    """Return the occurrences of the signals of a source; matched: the events of each signal, bool[events]."""
    parts = []
    for item in dict.fromkeys(signal.item for signal in source.all_signals):
        signals = [(place, signal) for place, signal in enumerate(source.all_signals) if signal.item == item]
        parts.append(_of_item(fields, item, [(place, signal, matched[place]) for place, signal in signals], source))
    if len(parts) == 1:
        return parts[0]
    items = pa.chunked_array([part.item for part in parts], ID).unify_dictionaries().combine_chunks()
    rows = Rows(*(_joined([part.rows[side] for part in parts]) for side in (0, 1)))
    return Occurrences(rows, items, *(_joined(column) for column in zip(*(part[2:] for part in parts), strict=True)))


def _of_item(
    fields: Fields, item: str, signals: list[tuple[int, Signal, np.ndarray]], source: SourceSettings
) -> Occurrences:
    """Return the occurrences of the signals that share a field."""
    counted = [_counted(fields, signal, place, fields.rows(item, mask)) for place, signal, mask in signals]
    rows = Rows(*(_joined([each.rows[side] for each in counted]) for side in (0, 1)))
    amounts, places, skips, wrong = (_joined(column) for column in zip(*(each[1:] for each in counted), strict=True))
    if item == "page":
        pages = fields.pages(rows)
        ids, skips = pages.ids, _first(skips, pages.reasons)
    else:
        ids = columns.coded_ids(fields.values(item, rows))
    ids, missing = without_missing(ids, source.names_of_no_id)
    return Occurrences(rows, ids, amounts, places, _first(skips, missing), _first(wrong, faults("content_id", ids)))


class _Counted(NamedTuple):
    """The occurrences of a signal, without their items."""

    rows: Rows
    amounts: np.ndarray
    places: np.ndarray
    skips: np.ndarray
    faults: np.ndarray


def _counted(fields: Fields, signal: Signal, place: int, rows: Rows) -> _Counted:
    skips, wrong = np.full((2, len(rows.event)), None, object)
    amounts = fields.dwells(rows) if signal.dwell else fields.amounts(signal.amount, rows)
    skips[amounts.missing] = NO_AMOUNT
    wrong[amounts.invalid] = "engagement_invalid" if signal.dwell else "amount_invalid"
    if signal.max_items is not None:
        skips[fields.sizes(rows) > signal.max_items] = LIST
    return _Counted(rows, amounts.values, np.full(len(rows.event), place), skips, wrong)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _first(reasons: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return reasons, object[m], or others where there is none."""
    return np.where(reasons == None, others, reasons)  # noqa: E711 - elementwise
