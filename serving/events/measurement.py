"""Requests of GA4's Measurement Protocol -> records of GA4's export, whose rules then apply.

https://developers.google.com/analytics/devguides/collection/protocol/ga4: client_id or user_id, timestamp_micros, and
events with name and params; items are in the params, or next to them. All sizes are bounded here. An error names the
place of a wrong value, never the value.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from artifacts.names import DAY_MS
from configs.settings import EventSettings, ServingSettings
from serving.errors import Refusal

_MAX_AHEAD_US = 600_000_000  # clocks differ; an event further in the future is not taken
_LARGEST = 1 << 63
ITEMS = "items"


class Received(NamedTuple):
    """The records of a request, and how many of its events, items and parameters are left out, by reason."""

    records: list[dict[str, Any]]
    left_out: Counter[str]
    events: int


class Reader:
    """Reads requests within limits."""

    def __init__(self, settings: EventSettings, limits: ServingSettings, schema: pa.Schema, by_user_id: bool):
        """Take the limits, the fields that the rules need, and whether visitors are known by user_id."""
        self._settings, self._limits, self._by_user_id = settings, limits, by_user_id
        kinds = schema.field(ITEMS).type.value_type if ITEMS in schema.names else pa.struct([])
        self._item_fields = {field.name: pa.types.is_string(field.type) for field in kinds}

    def read(self, body: bytes, now_us: int) -> Received:
        """Return the records of a body; raise Refusal if it is something else, or exceeds a limit."""
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"JSON Parse error: {error}") from None
        if not isinstance(request, dict):
            raise Refusal(400, "the body must be a JSON object with client_id and events")
        visitor = self._visitor(request)
        events = request.get("events")
        if not isinstance(events, list) or not events:
            raise Refusal(400, "'events' must be a list with at least one event")
        if len(events) > self._settings.max_events:
            raise Refusal(400, f"a request may have at most {self._settings.max_events} events, not {len(events)}")
        sent_us = _micros(request, "timestamp_micros", now_us)
        records, left_out = [], Counter[str]()
        for number, event in enumerate(events):
            record = self._record(event, f"events[{number}]", sent_us, left_out)
            reason = self._reason_of_time(int(record["event_timestamp"]), now_us)
            left_out[reason] += bool(reason)
            if not reason:
                records.append(record | visitor | {"batch_event_index": str(number + 1)})
        return Received(records, +left_out, len(events))

    def _visitor(self, request: dict[str, Any]) -> dict[str, str | None]:
        names = ("client_id", "app_instance_id", "user_id")
        browser, app, user = (_id(request, name, self._limits) for name in names)
        client = browser or app
        if not client and not (user and self._by_user_id):
            advice = ", or user_id" if self._by_user_id else ": the model knows visitors by it, not by user_id"
            raise Refusal(400, f"give client_id{advice}")
        return {"user_pseudo_id": client, "user_id": user}

    def _reason_of_time(self, time_us: int, now_us: int) -> str:
        """Return why an event is not taken for its time, or an empty text."""
        if time_us > now_us + _MAX_AHEAD_US:
            return "in_the_future"
        return "too_old" if time_us < now_us - self._settings.keep_days * DAY_MS * 1000 else ""

    def _record(self, event: Any, where: str, sent_us: int, left_out: Counter[str]) -> dict[str, Any]:
        name = event.get("name") if isinstance(event, dict) else None
        if not isinstance(name, str) or not name:
            raise Refusal(400, f"{where} must be an object with the name of the event")
        parameters = _or(event.get("params"), {})
        if not isinstance(parameters, dict):
            raise Refusal(400, f"{where}: params must be an object")
        own, of_parameters = (self._listed(holder.get(ITEMS), where) for holder in (event, parameters))
        return {
            "event_name": name,
            "event_timestamp": str(_micros(event, f"{where}: timestamp_micros", sent_us)),
            "event_params": _parameters(parameters, left_out),
            ITEMS: self._items(_or(own, _or(of_parameters, [])), left_out),
        }

    def _listed(self, items: Any, where: str) -> list[Any] | None:
        """Return a list of items, which may be missing; raise Refusal if it is not a list, or too long."""
        if items is not None and not isinstance(items, list):
            raise Refusal(400, f"{where}: items must be a list")
        if items and len(items) > self._settings.max_items:
            raise Refusal(400, f"{where}: an event may have at most {self._settings.max_items} items, not {len(items)}")
        return items

    def _items(self, items: list[Any], left_out: Counter[str]) -> list[dict[str, Any]]:
        """Return the items with the fields that the rules need."""
        fields, sound = self._item_fields.items(), [item for item in items if isinstance(item, dict)]
        left_out["item_not_an_object"] += len(items) - len(sound)
        return [
            {name: _text(item.get(name)) if is_text else _number(item.get(name)) for name, is_text in fields}
            for item in sound
        ]


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _id(request: dict[str, Any], name: str, limits: ServingSettings) -> str | None:
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Refusal(400, f"{name} must be a text")
    if len(value.encode()) > limits.max_id_bytes:
        raise Refusal(400, f"{name} may have at most {limits.max_id_bytes:,} bytes")
    return value


def _micros(holder: dict[str, Any], name: str, default: int) -> int:
    """Return the field timestamp_micros, a number or digits; name: how an error calls it."""
    value = holder.get("timestamp_micros")
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise Refusal(400, f"{name} must be a number of microseconds since 1970")
    return value


def _parameters(parameters: dict[str, Any], left_out: Counter[str]) -> list[dict[str, Any]]:
    """Return parameters as the export has them; a value that is neither a text nor a number is counted."""
    records = []
    for key, value in parameters.items():
        if key == ITEMS or value is None:
            continue
        field = {str: "string_value", int: "int_value", float: "double_value", bool: "string_value"}.get(type(value))
        if field is None:
            left_out["parameter_of_wrong_type"] += 1
        else:
            records.append({"key": key, "value": {field: value if type(value) is float else _text(value)}})
    return records


def _text(value: Any) -> str | None:
    """Return a text, or a number as the export writes it; None for what is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (int, float)) else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None
