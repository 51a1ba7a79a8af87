"""The fields of a GA360 session that signals and attributes read."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from configs.settings import SourceSettings
from configs.settings.signals import GA360_PRODUCT_FIELDS
from pipeline.readers.json_arrow import integer
from pipeline.sources.visitors.fields import DIMENSION, nested

HITS, PRODUCT, DIMENSIONS = "hits", "product", "customDimensions"
PAGE, SCREEN = "page", "screen"
IS_IMPRESSION, IS_CLICK, QUANTITY, VALUE = "isImpression", "isClick", "productQuantity", "eventValue"
LIST_POSITION, REVENUE = "productListPosition", "productRevenue"  # the revenue times 10^6
TYPES = {b"PAGE": PAGE, b"APPVIEW": SCREEN}  # the events of a hit's type
# The events of eCommerceAction.action_type; 0 is unknown, and 8 a step of the checkout.
ACTIONS = {
    b"1": "click",
    b"2": "detail",
    b"3": "add_to_cart",
    b"4": "remove_from_cart",
    b"5": "checkout",
    b"6": "purchase",
    b"7": "refund",
}
MICROS = ("productPrice", "localProductPrice")  # times 10^6
_INTEGERS = (*MICROS, QUANTITY, VALUE, LIST_POSITION, REVENUE)
_GROUPS = tuple(f"contentGroup{number}" for number in range(1, 6))
_EVENT_FIELDS = ("eventCategory", "eventAction", "eventLabel", VALUE)


def schema_of(source: SourceSettings) -> pa.Schema:
    """Return the fields that the signals and attributes of a source need; others cost bytes and time.

    A hit's events are read as far as the signals name events of that kind: its type always, its action, its category.
    """
    events = {event for signal in source.all_signals for event in signal.event}
    categories = {"eventCategory"} if events - {*TYPES.values(), *ACTIONS.values()} else set()
    fields = {signal.item for signal in source.all_signals} | set(source.item_attributes.values())
    fields |= {f"product.{QUANTITY}" if s.amount == "quantity" else s.amount for s in source.all_signals}
    of_visitors = source.visitor_attributes.values()
    has_dimensions = any(field.startswith(DIMENSION) for field in (*fields, *of_visitors))
    products = [field.partition(".")[2] for field in fields if field.startswith("product.")]
    return _schema(
        dimensions=has_dimensions,
        page=[name for name, field in (("pagePath", PAGE), ("pageTitle", "page_title")) if field in fields],
        products=[*sorted(products), IS_IMPRESSION] if products or has_dimensions else [],
        groups=[f"contentGroup{field[-1]}" for field in sorted(fields) if field.startswith("content_group.")],
        event=sorted(categories | {field.partition(".")[2] for field in fields if field.startswith("event.")}),
        actions=not events <= {*TYPES.values()},
        screen=SCREEN in fields,
        visitor=nested(of_visitors),
    )


def _schema(
    *,
    dimensions: bool,
    page: Collection[str],
    products: Collection[str],
    groups: Collection[str],
    event: Collection[str],
    actions: bool,
    screen: bool,
    visitor: Collection[pa.Field] = (),
) -> pa.Schema:
    own = [pa.field(DIMENSIONS, pa.list_(pa.struct([integer("index"), pa.field("value", pa.string())])))]
    own = own if dimensions else []
    hit = [integer("hitNumber"), integer("time"), pa.field("type", pa.string()), *own]
    hit += [pa.field(PAGE, _texts(page))] if page else []
    hit += [pa.field(PRODUCT, pa.list_(pa.struct([*_texts(products), *own])))] if products else []
    hit += [pa.field("eCommerceAction", _texts(["action_type"]))] if actions else []
    hit += [pa.field("eventInfo", _texts(event))] if event else []
    hit += [pa.field("contentGroup", _texts(groups))] if groups else []
    hit += [pa.field("appInfo", _texts(["screenName"]))] if screen else []
    return pa.schema(
        [
            pa.field("fullVisitorId", pa.string()),
            integer("visitNumber"),
            integer("visitId"),
            integer("visitStartTime"),
            pa.field("date", pa.string()),
            *own,
            *visitor,
            pa.field(HITS, pa.list_(pa.struct(hit))),
        ]
    )


def _texts(names: Collection[str]) -> pa.StructType:
    return pa.struct([_leaf(name) for name in names])


def _leaf(name: str) -> pa.Field:
    if name in (IS_IMPRESSION, IS_CLICK):
        return pa.field(name, pa.bool_())
    return integer(name) if name in _INTEGERS else pa.field(name, pa.string())


SCHEMA = _schema(
    dimensions=True,
    page=("pagePath", "pageTitle"),
    products=(*GA360_PRODUCT_FIELDS, QUANTITY, IS_IMPRESSION),
    groups=_GROUPS,
    event=_EVENT_FIELDS,
    actions=True,
    screen=True,
)
