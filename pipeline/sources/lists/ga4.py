"""GA4's list events -> rows: view_item_list and view_promotion, select_item and select_promotion, carts, purchases."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from configs.settings import SourceSettings
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.events.fields import Fields
from pipeline.sources.events.schema import ITEM, REVENUE
from pipeline.sources.events.signals import visitors_of
from pipeline.sources.extract import Extract, column, known_ids
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists.rows import CART, CLICK, EXPOSURE, NOTHING, PURCHASE, Asked, Found, extract, item_field

_KINDS = {
    b"view_item_list": EXPOSURE,
    b"view_promotion": EXPOSURE,
    b"select_item": CLICK,
    b"select_promotion": CLICK,
    b"add_to_cart": CART,
    b"purchase": PURCHASE,
}
# Those of an item win over those of its event, as Google's reports have it.
_NAMES = (
    *("items.item_list_name", "items.item_list_id", "param.item_list_name", "param.item_list_id"),
    *("items.promotion_name", "items.promotion_id"),
)
_POSITION = "items.item_list_index"


def fields(source: SourceSettings, asked: Asked) -> tuple[str, ...]:
    """Return the fields that are read next to those of the signals."""
    version = asked.options.version_field
    return (*_NAMES, _POSITION, ITEM + REVENUE, _item(source), *([version] if version else []))


def rows(raw: RawBatch, source: SourceSettings, rules: PageRules, asked: Asked) -> Extract:
    """Return the rows of list events among records, with their account."""
    names = columns.coded_ids(column(raw.columns, "event_name"))
    of_name = np.array([*(_KINDS.get(name, NOTHING) for name in names.dictionary.to_pylist()), NOTHING], np.int8)
    kinds = of_name[names.indices.fill_null(len(names.dictionary)).to_numpy()]
    stamps, has_stamp = times.since_1970(column(raw.columns, "event_timestamp"), "us")
    wanted = (kinds != NOTHING) & has_stamp  # those without a time are rejected with the account of the signals
    batch, kinds, times_ms = raw.columns.filter(pa.array(wanted)), kinds[wanted], stamps[wanted] // 1000
    of_events = Fields(batch, source, rules)
    at = of_events.rows(ITEM, np.ones(batch.num_rows, bool))
    missing = pa.nulls(len(at.event), pa.binary())
    version = asked.options.version_field
    found = Found(
        visitor=visitors_of(batch, source).take(pa.array(at.event)),
        item=columns.coded_ids(of_events.values(_item(source), at)),
        times_ms=times_ms[at.event],
        kinds=kinds[at.event],
        names=[known_ids(columns.ids(of_events.values(name, at)), source) for name in _NAMES],
        positions=of_events.values(_POSITION, at),
        version=columns.ids(of_events.values(version, at)) if version else missing,
        value=_revenue(of_events.values(ITEM + REVENUE, at)),
    )
    return extract(found, asked, source)


def _item(source: SourceSettings) -> str:
    return item_field(source, (ITEM,), "items.item_id")


def _revenue(values: pa.Array) -> np.ndarray:
    numbers, sound = columns.floats(values)
    return np.where(sound, numbers, np.nan)
