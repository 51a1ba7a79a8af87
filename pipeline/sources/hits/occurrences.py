"""Hits -> the occurrences of signals: each with its item and what it counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from configs.settings import SourceSettings
from configs.settings.signals import Signal
from pipeline.sources import columns
from pipeline.sources.extract import NO_SIGNAL, SEEN_EVENT, Ledger
from pipeline.sources.hits.events import Events
from pipeline.sources.hits.fields import Hits, Rows
from pipeline.sources.hits.schema import PAGE, SCREEN
from pipeline.sources.items.fates import Fate, fates
from pipeline.sources.items.missing import LIST, NO_AMOUNT
from pipeline.sources.items.pages import REASONS, Pages

HITS, ITEMS = "hits", "items"  # units of the account


class Occurrences(NamedTuple):
    """Occurrences [n] of the signals that share a field of items."""

    rows: Rows
    series: np.ndarray  # int16: series_of(signal, is_screen); a view lasts to the next one of its series
    amount: np.ndarray  # float64, before the weight; NaN for a view, which counts its dwell
    item: pa.DictionaryArray  # null: a view without item, which ends the one before

    def take(self, places: np.ndarray) -> Occurrences:
        rows, series, amount, item = self
        return Occurrences(rows.take(places), series[places], amount[places], item.take(pa.array(places)))


class _Candidates(NamedTuple):
    """The rows of one signal, or of several."""

    rows: Rows
    series: np.ndarray
    amount: np.ndarray  # below 0 where it is invalid
    is_list: np.ndarray  # bool[n]: the hit has more than max_items


def series_of(signal: int, is_screen: np.ndarray) -> np.ndarray:
    """Return the series of a signal's occurrences, int16[n]: its pages and its screens are two."""
    return (2 * signal + is_screen).astype(np.int16)


def signals_of(series: np.ndarray) -> np.ndarray:
    """Return the place of each occurrence's signal in source.all_signals, int64[n]."""
    return series.astype(np.int64) // 2


def find(
    hits: Hits, kept: np.ndarray, has_time: np.ndarray, numbers: np.ndarray, source: SourceSettings, ledger: Ledger
) -> list[Occurrences]:
    """Return the occurrences of a source's signals, a part per field of items; account for hits and items.

    Args:
        kept: bool[hits]: those of sound sessions. has_time: bool[hits]: the others are rejected.
        numbers: int64[sessions]: the records.
    """
    events = Events(hits.flat)
    matched = [kept & events.match(signal.event) for signal in source.all_signals]
    wanted = np.any(matched, axis=0)
    ledger.counts[f"{HITS}.read"] += int(kept.sum())
    ledger.counts.update({SEEN_EVENT + name: number for name, number in events.count(kept).items()})
    ledger.skip(HITS, NO_SIGNAL, (kept & ~wanted).sum())
    for hit in np.flatnonzero(wanted & ~has_time).tolist():
        ledger.reject(HITS, "hit_time_invalid", int(numbers[hits.session[hit]]), hitNumber=hits.number(hit))
    if any(signal.item.startswith("dimension.") for signal in source.all_signals):
        ledger.counts.update({f"seen.dimension.{index}": number for index, number in hits.seen(wanted).items()})
    parts = []
    for item in dict.fromkeys(signal.item for signal in source.all_signals):
        signals = [(place, signal) for place, signal in enumerate(source.all_signals) if signal.item == item]
        rows = hits.rows(item, [matched[place] & has_time for place, _ in signals])
        candidates = [
            _candidates(hits, events, *signal, of_signal) for signal, of_signal in zip(signals, rows, strict=True)
        ]
        parts.append(_occurrences(hits, item, _joined(candidates), numbers, source, ledger))
    return parts


def _candidates(hits: Hits, events: Events, place: int, signal: Signal, rows: Rows) -> _Candidates:
    """Return the rows of a signal with what they count."""
    size = len(rows.hit)
    is_screen = events.are_of(SCREEN)[rows.hit] if signal.dwell else np.zeros(size, bool)
    amounts = np.full(size, np.nan) if signal.dwell else hits.amounts(signal.amount, rows)
    is_list = np.zeros(size, bool)
    if signal.max_items is not None:
        is_list = np.bincount(rows.hit, minlength=len(hits))[rows.hit] > signal.max_items
    return _Candidates(rows, series_of(place, is_screen), amounts, is_list)


def _joined(parts: list[_Candidates]) -> _Candidates:
    if len(parts) == 1:
        return parts[0]
    rows = Rows(*(np.concatenate([part.rows[side] for part in parts]) for side in range(2)))
    return _Candidates(rows, *(np.concatenate([part[side] for part in parts]) for side in range(1, 4)))


def _occurrences(
    hits: Hits, item: str, found: _Candidates, numbers: np.ndarray, source: SourceSettings, ledger: Ledger
) -> Occurrences:
    """Return the candidates that have an item, and views without one; account for the others."""
    pages = hits.pages(found.rows) if item == PAGE else None
    ids = pages.ids if pages else columns.coded_ids(hits.values(item, found.rows))
    codes = ids.indices.fill_null(len(ids.dictionary)).to_numpy()
    kinds, of_id = fates(ids.dictionary, source.names_of_no_id)
    fate = of_id[codes]  # of each row, a place in `kinds`
    ledger.found_ids(signals_of(found.series[_is_id(kinds)[fate]]))
    for other, rows in _others(found, pages):
        fate[rows] = len(kinds)
        kinds.append(other)
    ledger.counts[f"{ITEMS}.read"] += len(fate)
    for kind, count in zip(kinds, np.bincount(fate, minlength=len(kinds)).tolist(), strict=True):
        if kind and not kind.is_rejected:
            ledger.skip(ITEMS, kind.reason, count)
    has_item = fate == 0
    for row in np.flatnonzero(_is_id(kinds)[fate] & ~has_item).tolist():
        hit = found.rows.hit[row]
        whole = {"contentId": ids[row].as_py(), "hitNumber": hits.number(hit)}
        ledger.reject(ITEMS, kinds[fate[row]].reason, int(numbers[hits.session[hit]]), **whole)

    coded = pa.array(np.where(has_item, codes, 0).astype(np.int32), mask=~has_item)
    occurrences = Occurrences(
        found.rows, found.series, found.amount, pa.DictionaryArray.from_arrays(coded, ids.dictionary, safe=False)
    )
    kept = has_item | np.isnan(found.amount)  # a view without item ends the one before
    return occurrences if kept.all() else occurrences.take(np.flatnonzero(kept))


def _is_id(kinds: list[Fate | None]) -> np.ndarray:
    """Return which kinds are of an item or of a rejected id, bool[kinds]."""
    return np.array([kind is None or kind.is_rejected for kind in kinds])


def _others(found: _Candidates, pages: Pages | None) -> Iterator[tuple[Fate, np.ndarray]]:
    """Yield reasons apart from the id, and the rows that have them, bool[n]; a later one counts."""
    yield Fate(True, "amount_invalid"), found.amount < 0
    yield Fate(False, NO_AMOUNT), np.isneginf(found.amount)
    if pages:
        for place, reason in enumerate(REASONS):
            if reason:
                yield Fate(False, reason), pages.left_out == place
    yield Fate(False, LIST), found.is_list
