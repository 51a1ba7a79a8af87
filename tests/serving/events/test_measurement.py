"""Bodies of the Measurement Protocol: what is refused, what is counted, and what reaches the rules."""

from __future__ import annotations

import json

import pytest

from configs.settings import Settings
from serving.errors import Refusal
from serving.events.measurement import Reader
from serving.events.rules import Rules

NOW_US = 1_700_000_000_000_000
DAY_US = 86_400_000_000
VIEW = {"name": "view_item", "params": {"items": [{"item_id": "tea"}]}}
SETTINGS = Settings.model_validate(
    {
        "source": {"kind": "ga4", "preset": "ga4_shop"},
        "events": {"max_events": 3, "max_items": 2, "keep_days": 2},
        "serving": {"max_id_bytes": 8},
    }
)
RULES = Rules(SETTINGS)


def read(body, by_user_id=False):
    reader = Reader(SETTINGS.events, SETTINGS.serving, RULES.schema, by_user_id)
    return reader.read(body if isinstance(body, bytes) else json.dumps(body).encode(), NOW_US)


def of(*events, **more):
    return read({"client_id": "ann", "events": list(events)} | more)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "JSON Parse error"),
        (b'{"client_id": "ann", "events": [', "JSON Parse error"),
        (b'{"client_id": "\\ud800", "events": []}', "JSON Parse error"),
        ([], "must be a JSON object"),
        ({"events": [VIEW]}, "give client_id"),
        ({"client_id": None, "events": [VIEW]}, "give client_id"),
        ({"client_id": 7, "events": [VIEW]}, "client_id must be a text"),
        ({"client_id": "", "events": [VIEW]}, "client_id must be a text"),
        ({"client_id": "ä" * 5, "events": [VIEW]}, "at most 8 bytes"),
        ({"user_id": "ann", "events": [VIEW]}, "by it, not by user_id"),
        ({"client_id": "ann"}, "'events' must be a list"),
        ({"client_id": "ann", "events": []}, "at least one event"),
        ({"client_id": "ann", "events": {"0": VIEW}}, "'events' must be a list"),
        ({"client_id": "ann", "events": [VIEW] * 4}, "at most 3 events, not 4"),
        ({"client_id": "ann", "events": [VIEW, 7]}, r"events\[1\] must be an object with the name"),
        ({"client_id": "ann", "events": [{"params": {}}]}, r"events\[0\] must be an object with the name"),
        ({"client_id": "ann", "events": [{"name": ["view"]}]}, r"events\[0\] must be"),
        ({"client_id": "ann", "events": [VIEW | {"params": [1]}]}, r"events\[0\]: params must be an object"),
        ({"client_id": "ann", "events": [VIEW | {"items": {}}]}, r"events\[0\]: items must be a list"),
        ({"client_id": "ann", "events": [VIEW | {"items": [{}] * 3}]}, "at most 2 items, not 3"),
        ({"client_id": "ann", "events": [{"name": "x", "items": [], "params": {"items": 1}}]}, "items must be a list"),
        ({"client_id": "ann", "events": [VIEW], "timestamp_micros": 1.5}, "^timestamp_micros must be a number"),
        ({"client_id": "ann", "events": [VIEW | {"timestamp_micros": "now"}]}, r"events\[0\]: timestamp_micros must"),
        ({"client_id": "ann", "events": [VIEW], "timestamp_micros": -1}, "timestamp_micros must be a number"),
    ],
)
def test_a_request_that_is_not_valid_is_refused_in_one_line(body, reason):
    with pytest.raises(Refusal, match=reason) as refused:
        read(body)
    assert refused.value.status == 400 and "ann" not in refused.value.reason and "\n" not in refused.value.reason


def test_a_clock_that_is_off_costs_the_event_alone():
    year = 365 * DAY_US
    events = [VIEW | {"timestamp_micros": str(NOW_US + shift)} for shift in (-year, year, -DAY_US)]
    received = of(*events)
    assert received.left_out == {"too_old": 1, "in_the_future": 1} and received.events == 3
    assert [record["event_timestamp"] for record in received.records] == [str(NOW_US - DAY_US)]
    assert of(VIEW, timestamp_micros=NOW_US - 5).records[0]["event_timestamp"] == str(NOW_US - 5)
    assert of(VIEW).records[0]["event_timestamp"] == str(NOW_US)


def test_a_malformed_item_or_parameter_costs_itself_alone():
    event = {"name": "view_item", "items": ["tea", {"item_id": 7, "price": [1]}]}
    received = of(event | {"params": {"a": {}, "b": "x", "c": None, "d": 2, "e": 1.5, "f": True}})
    assert received.left_out == {"item_not_an_object": 1, "parameter_of_wrong_type": 1}
    (record,) = received.records
    assert record["items"] == [{"item_id": "7"}]
    values = {each["key"]: each["value"] for each in record["event_params"]}
    texts = {"b": {"string_value": "x"}, "d": {"int_value": "2"}, "f": {"string_value": "true"}}
    assert values == texts | {"e": {"double_value": 1.5}}


def test_visitors_are_known_by_user_id_where_the_source_says_so():
    (record,) = read({"user_id": "ann", "events": [VIEW]}, by_user_id=True).records
    assert (record["user_id"], record["user_pseudo_id"]) == ("ann", None)
    with pytest.raises(Refusal, match="give client_id, or user_id"):
        read({"events": [VIEW]}, by_user_id=True)
