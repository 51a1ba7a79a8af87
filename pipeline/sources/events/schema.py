"""The fields of a GA4 event that signals and attributes read."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from configs.settings import SourceSettings
from configs.settings.signals import GA4_ITEM_FIELDS, NUMBERS
from pipeline.readers.json_arrow import integer, price
from pipeline.sources.visitors.fields import PROPERTIES, PROPERTY, VISITOR_TYPE, nested

ITEM, QUANTITY, REVENUE = "items.", "quantity", "item_revenue"
VALUE_FIELDS = ("string_value", "int_value", "float_value", "double_value")


def schema_of(source: SourceSettings) -> pa.Schema:
    """Return the fields that the signals and attributes of a source need; others cost bytes and time."""
    signals = source.all_signals
    fields = {signal.item for signal in signals} | set(source.item_attributes.values())
    amounts = {signal.amount for signal in signals}
    of_items = {field.removeprefix(ITEM) for field in fields if field.startswith(ITEM)} | amounts & {QUANTITY}
    has_parameters = (
        any(signal.dwell for signal in signals)
        or any(not field.startswith(ITEM) for field in fields)
        or bool(amounts - {"count", QUANTITY})
    )
    of_visitors = source.visitor_attributes.values()
    return _schema(of_items, has_parameters or VISITOR_TYPE in of_visitors, of_visitors)


def _schema(of_items: Collection[str], has_parameters: bool, of_visitors: Collection[str] = ()) -> pa.Schema:
    value = pa.struct([_of_value(name) for name in VALUE_FIELDS])
    parameter = pa.struct([pa.field("key", pa.string()), pa.field("value", value)])
    fields = [
        pa.field("event_date", pa.string()),
        integer("event_timestamp"),
        pa.field("event_name", pa.string()),
        integer("event_bundle_sequence_id"),
        integer("batch_event_index"),
        pa.field("user_id", pa.string()),
        pa.field("user_pseudo_id", pa.string()),
    ]
    if has_parameters:
        fields.append(pa.field("event_params", pa.list_(parameter)))
    if of_items:
        fields.append(pa.field("items", pa.list_(pa.struct([_of_item(name) for name in sorted(of_items)]))))
    fields += nested(of_visitors)
    if any(field.startswith(PROPERTY) for field in of_visitors):
        fields.append(pa.field(PROPERTIES, pa.list_(parameter)))
    return pa.schema(fields)


def _of_value(name: str) -> pa.Field:
    if name == "int_value":
        return integer(name)
    return pa.field(name, pa.string() if name == "string_value" else pa.float64())


def _of_item(name: str) -> pa.Field:
    if name == QUANTITY:
        return integer(name)
    return price(name) if ITEM + name in NUMBERS or name == REVENUE else pa.field(name, pa.string())


SCHEMA = _schema((*GA4_ITEM_FIELDS, QUANTITY), has_parameters=True)
