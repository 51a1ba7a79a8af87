"""Rows of GA360's ga_sessions_YYYYMMDD of such a site, with impressions and clicks by productListName."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import groupby

import pyarrow as pa

from pipeline.demo.lists.deeds import BOUGHT, CARTED, CLICKED, PRICE, SHOWN, VIEWED, Deed, List, Site, deeds
from pipeline.demo.lists.habits import Draws
from pipeline.demo.sample.rows import GA360_SCHEMA, Row

VERSION_DIMENSION = 20  # the hit-scoped custom dimension with the version, if the site sends it
_PRODUCT = {
    "productSKU": pa.string(),
    "productListName": pa.string(),
    "productListPosition": pa.int64(),
    "isImpression": pa.bool_(),
    "isClick": pa.bool_(),
    "productQuantity": pa.int64(),
    "productRevenue": pa.int64(),
}
_HIT = {
    **{field.name: field.type for field in GA360_SCHEMA.field("hits").type.value_type},
    "eCommerceAction": pa.struct({"action_type": pa.string()}),
    "product": pa.list_(pa.struct(_PRODUCT)),
}
SCHEMA = GA360_SCHEMA.set(GA360_SCHEMA.get_field_index("hits"), pa.field("hits", pa.list_(pa.struct(_HIT))))
_ACTIONS = {SHOWN: "0", CLICKED: "1", VIEWED: "2", CARTED: "3", BOUGHT: "6"}


def rows(lists: Sequence[List], draws: Draws, start_s: int, site: Site) -> Iterator[tuple[int, Row]]:
    """Yield sessions with the time of each, in seconds since 1970; start_s: midnight of the first day."""
    dimensions = [{"index": VERSION_DIMENSION, "value": site.version}] if site.version_parameter else []
    for visitor, found in groupby(deeds(lists, draws, start_s, site), key=lambda deed: deed.visitor):
        in_order = sorted(found, key=lambda deed: (deed.visit, deed.at_s))
        for visit, of_visit in groupby(in_order, key=lambda deed: deed.visit):
            yield _session(visitor, visit, list(of_visit), dimensions, site)


def _session(visitor: str, visit: int, done: Sequence[Deed], dimensions: list[Row], site: Site) -> tuple[int, Row]:
    begin_s = done[0].at_s
    hits = [
        {
            "hitNumber": number,
            "time": 1000 * (deed.at_s - begin_s),
            "type": "PAGE" if deed.kind in (SHOWN, VIEWED) else "EVENT",
            "isInteraction": True,
            "page": {"pagePath": "/"},
            "customDimensions": dimensions,
            "eCommerceAction": {"action_type": _ACTIONS[deed.kind]},
            "product": [_product(deed, item, position, site) for item, position in deed.items],
        }
        for number, deed in enumerate(done, 1)
    ]
    row = {
        "fullVisitorId": visitor,
        "visitNumber": visit,
        "visitId": begin_s,
        "visitStartTime": begin_s,
        "date": f"{datetime.datetime.fromtimestamp(begin_s, datetime.UTC):%Y%m%d}",
        "totals": {"visits": 1, "hits": len(hits), "pageviews": sum(hit["type"] == "PAGE" for hit in hits)},
        "hits": hits,
        "channelGrouping": "Direct",
    }
    return begin_s, row


def _product(deed: Deed, item: str, position: int, site: Site) -> Row:
    if position:
        kind = "isImpression" if deed.kind == SHOWN else "isClick"
        return {"productSKU": item, "productListName": site.list_name, "productListPosition": position, kind: True}
    bought = {"productQuantity": 1, "productRevenue": round(PRICE * 1e6)} if deed.kind == BOUGHT else {}
    return {"productSKU": item} | bought
