"""Rows of GA4's events_YYYYMMDD of a site whose tags report its list of recommendations."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline.demo.lists.deeds import (
    BOUGHT,
    CARTED,
    CLICKED,
    PRICE,
    SHOWN,
    VIEWED,
    Deed,
    List,
    Site,
    deeds,
)
from pipeline.demo.lists.habits import Draws
from pipeline.demo.sample.rows import GA4_SCHEMA, Row, text

_ITEM = {
    "item_id": pa.string(),
    "item_list_id": pa.string(),
    "item_list_name": pa.string(),
    "item_list_index": pa.string(),
    "quantity": pa.int64(),
    "price": pa.float64(),
    "item_revenue": pa.float64(),
}
SCHEMA = GA4_SCHEMA.append(pa.field("items", pa.list_(pa.struct(_ITEM))))
_NAMES = {
    SHOWN: "view_item_list",
    CLICKED: "select_item",
    VIEWED: "view_item",
    CARTED: "add_to_cart",
    BOUGHT: "purchase",
}


def rows(lists: Sequence[List], draws: Draws, start_s: int, site: Site) -> Iterator[tuple[int, Row]]:
    """Yield events with the time of each, in seconds since 1970, in no order; start_s: midnight of the first day."""
    sent = [text(site.version_parameter, site.version)] if site.version_parameter else []
    for deed in deeds(lists, draws, start_s, site):
        date = datetime.datetime.fromtimestamp(deed.at_s, datetime.UTC)
        yield (
            deed.at_s,
            {
                "event_date": f"{date:%Y%m%d}",
                "event_timestamp": deed.at_s * 1_000_000,
                "event_name": _NAMES[deed.kind],
                "user_pseudo_id": deed.visitor,
                "platform": "WEB",
                "event_params": sent,
                "items": [_item(deed, item, position, site) for item, position in deed.items],
            },
        )


def _item(deed: Deed, item: str, position: int, site: Site) -> Row:
    if position:
        return {"item_id": item, "item_list_name": site.list_name, "item_list_index": str(position)}
    bought = {"quantity": 1, "price": PRICE, "item_revenue": PRICE} if deed.kind == BOUGHT else {}
    return {"item_id": item} | bought
