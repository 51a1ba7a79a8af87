"""Draws of what visitors do -> rows of events_YYYYMMDD, from a site whose tags report its list of recommendations."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.names import DAY_SECONDS
from pipeline.demo.lists.habits import Draws
from pipeline.demo.sample.rows import GA4_SCHEMA, Row, text

LATE_S = 2 * DAY_SECONDS  # after the click
_CLICK_S, _VIEW_S, _CART_S, _BUY_S, _FOUND_S = 20, 21, 60, 600, 5400
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
PRICE = 10.0


class List(NamedTuple):
    """The recommendations of one visitor."""

    visitor: str
    rule: str
    items: Sequence[str]


class Site(NamedTuple):
    """The names that the site sends: of the list, and of the event parameter with the version, which may be missing."""

    list_name: str
    version_parameter: str | None = None
    version: str = ""
    catalogue: Sequence[str] = ()  # items that visitors find without the list


def rows(lists: Sequence[List], draws: Draws, start_s: int, site: Site) -> Iterator[tuple[int, Row]]:
    """Yield events with the time of each, in seconds since 1970, in no order; start_s: midnight of the first day."""
    sent = [text(site.version_parameter, site.version)] if site.version_parameter else []
    for place, day in zip(*np.nonzero(draws.comes), strict=True):
        shown, at = lists[place], start_s + int(day) * DAY_SECONDS + int(draws.second[place, day])

        def event(after_s: int, name: str, *items: Row, shown: List = shown, at: int = at) -> tuple[int, Row]:
            row = {"event_name": name, "user_pseudo_id": shown.visitor, "platform": "WEB", "event_params": sent}
            return at + after_s, _at(at + after_s) | row | {"items": list(items)}

        listed = [
            {"item_id": item, "item_list_name": site.list_name, "item_list_index": str(number)}
            for number, item in enumerate(shown.items, 1)
        ]
        yield event(0, "view_item_list", *listed)
        for number in np.flatnonzero(draws.clicks[place, day][: len(listed)]).tolist():
            own, apart = {"item_id": shown.items[number]}, 3 * number
            yield event(_CLICK_S + apart, "select_item", listed[number])
            yield event(_VIEW_S + apart, "view_item", own)
            if draws.carts[place, day, number]:
                yield event(_CART_S + apart, "add_to_cart", own)
            bought = own | {"quantity": 1, "price": PRICE, "item_revenue": PRICE}
            if draws.buys[place, day, number]:
                yield event(_BUY_S + apart, "purchase", bought)
            if draws.buys_late[place, day, number]:
                yield event(LATE_S + apart, "purchase", bought)
        if not np.isnan(draws.finds[place, day]):
            pool = shown.items if draws.listed[place, day] else site.catalogue
            yield event(_FOUND_S, "view_item", {"item_id": pool[int(draws.finds[place, day] * len(pool))]})


def _at(second: int) -> Row:
    date = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return {"event_date": f"{date:%Y%m%d}", "event_timestamp": second * 1_000_000}
