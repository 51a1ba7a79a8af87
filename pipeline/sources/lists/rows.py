"""The rows of list events, one per item of an event, and their account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import CONTENT_ID, TIME_MS, VISITOR_ID
from configs.settings import OutcomeSettings, SourceSettings
from pipeline.interactions.columns import ID
from pipeline.sources import columns
from pipeline.sources.extract import Extract
from pipeline.sources.items.fates import fates

KIND, OURS, POSITION, VERSION, VALUE = "kind", "ours", "position", "version", "value"
NOTHING, EXPOSURE, CLICK, CART, PURCHASE = range(5)
KINDS = {EXPOSURE: "exposures", CLICK: "clicks", CART: "carts", PURCHASE: "purchases"}
NO_POSITION = -1
# One row per exposure, click, addition to the cart or purchase of an item. `ours`: in the list of recommendations. Of
# other lists, only who has been shown one is kept: the item is null. position: as the site sends it.
ROWS = pa.schema(
    {
        VISITOR_ID: ID,
        CONTENT_ID: ID,
        TIME_MS: pa.int64(),
        KIND: pa.int8(),
        OURS: pa.bool_(),
        POSITION: pa.int32(),
        VERSION: ID,
        VALUE: pa.float64(),  # revenue; NaN where the export has none
    }
)
LISTS, UNNAMED = "lists", "(not set)"  # the unit of the account; a list without a name
_SHOWN = 100  # characters of a list's name


@dataclass(frozen=True)
class Asked:
    """Options of what is looked for, and the times of exposures and clicks, in ms since 1970; null is any time."""

    options: OutcomeSettings = OutcomeSettings()  # noqa: RUF009 - frozen
    start_ms: int | None = None
    end_ms: int | None = None

    def inside(self, times_ms: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are too early and which too late, bool[n] each; purchases may follow the last click."""
        late_ms = np.where(kinds >= CART, round(self.options.touch_hours * 3_600_000), 0)
        early = np.zeros(len(times_ms), bool) if self.start_ms is None else times_ms < self.start_ms
        late = np.zeros(len(times_ms), bool) if self.end_ms is None else times_ms - late_ms >= self.end_ms
        return early, late


class Found(NamedTuple):
    """The rows of some records [n]. visitor, item: null where there is none; names: of the list, in each field."""

    visitor: pa.DictionaryArray
    item: pa.DictionaryArray
    times_ms: np.ndarray
    kinds: np.ndarray  # int8, NOTHING for a row of another event
    names: Sequence[pa.Array]
    positions: pa.Array
    version: pa.Array
    value: np.ndarray


def item_field(source: SourceSettings, prefixes: tuple[str, ...], default: str) -> str:
    """Return the field of an event's items with the contentId: that of the signals, if one is of items."""
    return next((signal.item for signal in source.all_signals if signal.item.startswith(prefixes)), default)


def extract(found: Found, asked: Asked, source: SourceSettings) -> Extract:
    """Return the rows that count, columns of ROWS, and their account; `lists.exposures.NAME` counts those of a list."""
    counts: Counter[str] = Counter()
    ours = _are_ours(found.names, asked.options.list_name)
    early, late = asked.inside(found.times_ms, found.kinds)
    reasons = np.full(len(found.kinds), None, object)
    _mark(reasons, found, ours, source)
    reasons[late], reasons[early] = "after_window", "before_first_run"
    reasons[~found.visitor.is_valid().to_numpy(zero_copy_only=False)] = "no_visitor_id"
    is_event = found.kinds != NOTHING
    counts[f"{LISTS}.read"] = int(is_event.sum())
    skipped = is_event & (reasons != None)  # noqa: E711 - elementwise
    counts.update({f"{LISTS}.skipped.{reason}": number for reason, number in Counter(reasons[skipped]).items()})
    kept = is_event & ~skipped
    _count_lists(found, kept, counts)
    return Extract(_table(found, kept, ours, asked), [], counts)


def _are_ours(names: Sequence[pa.Array], wanted: str | None) -> np.ndarray:
    ours = np.zeros(len(names[0]), bool)
    for values in names if wanted else ():
        ours |= pc.equal(values, pa.scalar((wanted or "").encode())).fill_null(False).to_numpy(zero_copy_only=False)
    return ours


def _mark(reasons: np.ndarray, found: Found, ours: np.ndarray, source: SourceSettings) -> None:
    """Set the reasons of rows whose item counts and is not one; an item's account is that of the source."""
    kinds, of_id = fates(found.item.dictionary, source.names_of_no_id)
    fate = of_id[found.item.indices.fill_null(len(found.item.dictionary)).to_numpy()]
    needed = ours | (found.kinds >= CART)
    for place, kind in enumerate(kinds):
        if kind:
            reasons[needed & (fate == place)] = kind.reason


def _count_lists(found: Found, kept: np.ndarray, counts: Counter[str]) -> None:
    """Count exposures and clicks by the name of their list."""
    names = columns.coded_ids(pc.coalesce(*found.names))
    codes = names.indices.fill_null(len(names.dictionary)).to_numpy()
    shown = [name.decode("utf-8", "backslashreplace")[:_SHOWN] for name in names.dictionary.to_pylist()] + [UNNAMED]
    for kind in (EXPOSURE, CLICK):
        numbers = np.bincount(codes[kept & (found.kinds == kind)], minlength=len(shown)).tolist()
        for name, number in zip(shown, numbers, strict=True):
            counts[f"{LISTS}.{KINDS[kind]}.{name}"] += number
    for name in [name for name, number in counts.items() if not number]:
        del counts[name]


def _table(found: Found, kept: np.ndarray, ours: np.ndarray, asked: Asked) -> pa.RecordBatch:
    """Return the rows of our list and of purchases; of the other lists, each visitor once per kind."""
    whole = kept & (ours | ((found.kinds >= CART) & bool(asked.options.list_name)))
    others = np.flatnonzero(kept & ~whole & (found.kinds < CART))
    keys = found.visitor.indices.fill_null(0).to_numpy()[others].astype(np.int64) * len(KINDS) + found.kinds[others]
    at = np.sort(np.concatenate([np.flatnonzero(whole), others[np.unique(keys, return_index=True)[1]]]))
    taken = pa.array(at)
    positions, has_position = columns.integers(found.positions.take(taken))
    positions = np.where(has_position & (positions >= 0) & (positions < 1 << 31), positions, NO_POSITION)
    item, version = (_where(column.take(taken), whole[at]) for column in (found.item, columns.coded_ids(found.version)))
    arrays = [
        found.visitor.take(taken),
        item,
        pa.array(found.times_ms[at]),
        pa.array(found.kinds[at], pa.int8()),
        pa.array(ours[at]),
        pa.array(positions.astype(np.int32)),
        version,
        pa.array(found.value[at]),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ROWS)


def _where(ids: pa.DictionaryArray, kept: np.ndarray) -> pa.DictionaryArray:
    """Return ids, null where they are not kept."""
    missing = ~kept | ids.is_null().to_numpy(zero_copy_only=False)
    return pa.DictionaryArray.from_arrays(pa.array(ids.indices.fill_null(0).to_numpy(), mask=missing), ids.dictionary)
