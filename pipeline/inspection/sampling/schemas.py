"""The fields of exports that are looked at: more than a source reads, as any of them may have the item's id."""

from __future__ import annotations

import pyarrow as pa

from configs.settings.signals import GA4_ITEM_FIELDS, GA360_PRODUCT_FIELDS
from pipeline.readers.json_arrow import integer

_NUMBERS = ("price", "price_in_usd")
_INTEGERS = ("productPrice", "localProductPrice")


def _field(name: str) -> pa.Field:
    if name in _INTEGERS:
        return integer(name)
    return pa.field(name, pa.float64() if name in _NUMBERS else pa.string())


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


def _list(name: str, *fields: pa.Field) -> pa.Field:
    return pa.field(name, pa.list_(pa.struct(fields)))


def _struct(name: str, *fields: pa.Field) -> pa.Field:
    return pa.field(name, pa.struct(fields))


_VALUE = _struct(
    "value",
    *_texts("string_value"),
    integer("int_value"),
    pa.field("float_value", pa.float64()),
    pa.field("double_value", pa.float64()),
)
GA4 = pa.schema(
    [
        *_texts("event_date", "event_name", "user_id", "user_pseudo_id", "platform"),
        integer("event_timestamp"),
        integer("event_bundle_sequence_id"),
        integer("batch_event_index"),
        _list("event_params", *_texts("key"), _VALUE),
        _struct("privacy_info", *_texts("analytics_storage", "ads_storage")),
        _list("items", *(_field(name) for name in GA4_ITEM_FIELDS), integer("quantity")),
    ]
)

_DIMENSIONS = _list("customDimensions", integer("index"), *_texts("value"))
_PRODUCT = [_field(name) for name in GA360_PRODUCT_FIELDS]
_HIT = [
    *_texts("type"),
    integer("hitNumber"),
    integer("time"),
    _struct("page", *_texts("pagePath", "hostname", "pageTitle")),
    _struct("appInfo", *_texts("screenName")),
    _struct("eventInfo", *_texts("eventCategory", "eventAction", "eventLabel"), integer("eventValue")),
    _struct("eCommerceAction", *_texts("action_type")),
    _struct("contentGroup", *_texts(*(f"contentGroup{number}" for number in range(1, 6)))),
    _list("product", *_PRODUCT, integer("productQuantity"), pa.field("isImpression", pa.bool_()), _DIMENSIONS),
    _DIMENSIONS,
]
GA360 = pa.schema(
    [
        *_texts("fullVisitorId", "userId", "date"),
        integer("visitNumber"),
        integer("visitId"),
        integer("visitStartTime"),
        _DIMENSIONS,
        _list("hits", *_HIT),
    ]
)
