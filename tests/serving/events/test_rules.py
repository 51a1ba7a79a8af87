"""One rule for batch and online: a request counts what the same events in an export count."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from artifacts.manifests import TrainedOn
from configs.errors import UserError
from configs.settings import RatingSettings, Settings, SourceSettings
from pipeline.dataset import ratings as graph
from pipeline.interactions import ratings
from pipeline.sources.select import source_of
from serving.events.intake import Intake
from serving.events.measurement import Reader
from serving.events.rules import Entry, Rules
from serving.events.stores import View
from tests.support.exports import write_ndjson

NOW_US = 1_704_100_000_000_000
PAGES = {
    "signals": [{"event": ["page_view", "user_engagement"], "item": "page", "dwell": True}],
    "page": {"pattern": "/article/([0-9]+)", "exclude": ["draft"]},
}
SOURCES = {
    "shop": {"preset": "ga4_shop"},
    "articles": {},
    "pages": PAGES,
    "amounts": {
        "signals": [
            {"event": "purchase", "item": "items.item_id", "amount": "quantity", "weight": 3, "max_items": 2},
            {"event": "refund", "item": "items.item_id", "weight": -1},
            {"event": "page_view", "item": "param.content_id", "dwell": True, "recommend_again": True},
        ]
    },
    "all events": {"preset": "ga4_shop", "drop_duplicate_events": False, "max_views_a_day": 5},
}
EVENTS = [
    {"name": "view_item", "params": {"items": [{"item_id": "tea"}, {"item_id": "cup"}, {"item_id": "(not set)"}]}},
    {"name": "purchase", "items": [{"item_id": "tea", "quantity": 2}, {"item_id": "cup", "quantity": 1.0}]},
    {"name": "purchase", "items": [{"item_id": "tea", "quantity": 2}, {"item_id": "a"}, {"item_id": "b"}]},
    {"name": "refund", "items": [{"item_id": "cup"}]},
    {"name": "page_view", "params": {"page_location": "https://www.x.org/article/12?utm=1", "content_id": "a1"}},
    {"name": "user_engagement", "params": {"page_location": "http://x.org/article/12/", "engagement_time_msec": 900}},
    {"name": "page_view", "params": {"page_location": "https://x.org/article/13", "engagement_time_msec": "2000"}},
    {"name": "page_view", "params": {"page_location": "https://x.org/draft/article/13", "engagement_time_msec": 5}},
    {"name": "scroll", "params": {"content_id": "a1", "engagement_time_msec": 1500}},
    {"name": "scroll", "params": {"content_id": "a\nb", "engagement_time_msec": 1500}},
    {"name": "add_to_cart", "items": [{"item_id": 108}]},
]


def rules_of(source: dict, **sections) -> tuple[Rules, Reader]:
    settings = Settings.model_validate({"source": {"kind": "ga4"} | source} | sections)
    rules = Rules(settings)
    return rules, Reader(settings.events, settings.serving, rules.schema, by_user_id=False)


def viewed(*items: str) -> dict:
    return {"name": "view_item", "params": {"items": [{"item_id": item} for item in items]}}


def records_of(reader: Reader, visitor: str, *events: dict) -> list:
    return reader.read(json.dumps({"client_id": visitor, "events": events}).encode(), NOW_US).records


def exported(number: int, event: dict, time_us: int) -> dict:
    """Return the row of GA4's export for an event of a request."""
    given = event.get("params", {})
    kinds = {str: "string_value", int: "int_value"}
    params = [{"key": k, "value": {kinds[type(v)]: v}} for k, v in given.items() if k != "items"]
    items = [{k: str(v) for k, v in item.items()} for item in event.get("items", given.get("items", []))]
    items = [item | ({"quantity": item["quantity"].removesuffix(".0")} if "quantity" in item else {}) for item in items]
    return {
        "event_date": "20240101",
        "event_timestamp": str(time_us),
        "event_name": event["name"],
        "batch_event_index": str(number),
        "user_pseudo_id": "ann",
        "event_params": params,
        "items": items,
    }


@pytest.mark.parametrize("name", SOURCES)
def test_a_request_counts_what_the_export_counts(name, tmp_path):
    rules, reader = rules_of(SOURCES[name], rating={"kind": "linear"})
    times = [NOW_US - 1_000_000 * number for number in range(len(EVENTS))]
    path = write_ndjson(
        tmp_path / "e.json", [exported(n, *each) for n, each in enumerate(zip(EVENTS, times, strict=True), 1)]
    )
    source = source_of(SourceSettings(kind="ga4", input="x", **SOURCES[name]), RatingSettings(kind="linear"))
    extracts = [source.extract(raw, "file") for raw in source.read(str(path))]
    events, _ = source.interactions(pa.Table.from_batches([extract.table for extract in extracts]))
    pairs, _ = source.combine(source.without_bots(events).rows)
    expected = {row["contentId"]: row["amount"] for row in pairs.to_pylist()}
    assert expected or name == "all events"

    sent = [event | {"timestamp_micros": time} for event, time in zip(EVENTS, times, strict=True)]
    records = reader.read(json.dumps({"client_id": "ann", "events": sent}).encode(), NOW_US).records
    counted = rules.views(records)
    assert counted.visitor == b"ann" and {view.time_ms for view in counted.views} <= {time // 1000 for time in times}
    assert sum(counted.left_out.values()) > 0
    dataset = TrainedOn(root="", fingerprint="", rating=RatingSettings(kind="linear"), last_view_ms=0)
    history = rules.history(counted.views, {}, dataset)
    assert dict(zip(history.items, history.ratings.tolist(), strict=True)) == pytest.approx(expected)
    again = rules.views(records).views
    is_same = [view.event for view in again] == [view.event for view in counted.views]
    assert is_same == rules.source.drop_duplicate_events


@pytest.mark.parametrize("kind", ["median", "log", "linear", "binary"])
def test_a_pair_that_grew_has_the_rating_of_its_whole_amount(kind):
    settings = RatingSettings(kind=kind, epsilon=2)
    before, added = np.array([0.5, 1, 3, 40], "f"), np.array([0.25, 7, 1, 2])
    given = ratings.rate(before, np.float32(9), settings)
    grew = ratings.grown(given, added, 9.0, settings)
    whole = ratings.rate((before + added).astype("f"), np.float32(9), settings)
    np.testing.assert_allclose(grew, whole, rtol=1e-5)
    if kind != "binary":
        assert (ratings.grown(given, -before.astype(float), 9.0, settings)[:3] <= 1e-6).all()


def test_the_history_is_that_of_the_training_and_what_came_since():
    rules, _ = rules_of({"preset": "ga4_shop"})
    dataset = TrainedOn(root="", fingerprint="", rating=RatingSettings(kind="linear"), last_view_ms=1000)
    trained = {b"tea": Entry(2.0, 1.0, True), b"cup": Entry(1.0, 1.0, True), b"pot": Entry(3.0, 1.0)}
    views = [View(b"tea", 4.0, 1001, 1), View(b"tea", 1.0, 1000, 2), View(b"new", 1.0, 1002, 3)]
    views += [View(b"new", 10.0, 1003, 4), View(b"pot", -3.0, 1004, 5), View(b"gone", -1.0, 1005, 6)]
    history = rules.history(views, trained, dataset)
    whole = dict(zip(history.items, history.ratings.tolist(), strict=True))
    assert whole == {b"tea": 6.0, b"cup": 1.0, b"new": 11.0}, "the view at 1000 is in the dataset; of pot none is left"
    assert (history.changed, history.added) == (2, 1)
    again = dict(zip(history.items, history.again.tolist(), strict=True))
    assert again == {b"tea": False, b"cup": True, b"new": False}, "tea was viewed since"
    undated = rules.history(views, trained, dataset.model_copy(update={"last_view_ms": None}))
    assert dict(zip(undated.items, undated.ratings.tolist(), strict=True))[b"tea"] == 5.0, "the greater of both"


def test_weights_are_those_of_a_dataset_of_the_whole_amounts():
    """The ratings and weights of amounts of training, and of what came since, by the graph of TF-Transform."""
    rules, _ = rules_of({"preset": "ga4_shop"})
    rating, median = RatingSettings(weight="log"), 4.0
    dataset = TrainedOn(root="", fingerprint="", rating=rating, median=median, last_view_ms=1000)
    before = {b"tea": 11.0, b"cup": 1.0, b"pot": 4.0}
    after = before | {b"tea": 21.0, b"cup": 2.0, b"new": 14.0}

    def entries(amounts: dict) -> dict:
        values = tf.constant(list(amounts.values()))
        rated, weights = graph.rate(values, tf.constant(median), rating), graph.weigh(values, tf.constant(median))
        pairs = zip(rated.numpy().tolist(), weights.numpy().tolist(), strict=True)
        return {item: Entry(*pair) for item, pair in zip(amounts, pairs, strict=True)}

    views = [View(b"tea", 10.0, 1001, 1), View(b"cup", 1.0, 1001, 2), View(b"new", 4.0, 1, 4)]
    views += [View(b"new", amount, 1002 + number, 5) for number, amount in enumerate((4.0, 10.0))]
    history = rules.history(views, entries(before), dataset)
    columns = history.items, history.ratings.tolist(), history.weights.tolist()
    found = {item: Entry(rating, weight) for item, rating, weight in zip(*columns, strict=True)}
    assert found.keys() == after.keys() and (history.changed, history.added) == (2, 1)
    for item, entry in entries(after).items():
        assert found[item] == pytest.approx(entry, rel=1e-6)
    rules_without = rules.history(views, entries(before), dataset.model_copy(update={"rating": RatingSettings()}))
    assert rules_without.weights[-1] == 1


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"source": {"kind": "ga360"}}, "name the events that count in events.signals"),
        ({"source": {"kind": "table"}}, "name the events that count in events.signals"),
        ({"source": {"kind": "table", "rating_column": "r"}, "rating": {"kind": "linear"}}, "cannot be ratings"),
    ],
)
def test_a_source_that_has_no_events_says_what_to_set(sections, reason):
    with pytest.raises(UserError, match=reason):
        Rules(Settings.model_validate(sections))


def test_other_sources_take_signals_of_their_own():
    signals = [{"event": "view", "item": "param.sku"}]
    rules, reader = rules_of({"kind": "table"}, events={"signals": signals})
    body = {"client_id": "ann", "events": [{"name": "view", "params": {"sku": "tea"}}]}
    counted = rules.views(reader.read(json.dumps(body).encode(), NOW_US).records)
    assert [(view.item, view.amount) for view in counted.views] == [(b"tea", 1.0)]


def test_requests_that_share_a_pass_count_what_each_does_alone():
    rules, reader = rules_of({"preset": "ga4_shop"})
    scroll = {"name": "scroll"}
    sent = [("ann", viewed("tea"), viewed("cup", "tea", "pot")), ("bob", scroll)]
    sent += [("cid", viewed("tea")), ("dan", scroll, viewed("pot"), scroll)]
    requests = [records_of(reader, *request) for request in sent]
    alone = [rules.views(records) for records in requests]
    assert rules.together(requests) == alone
    assert [len(counted.views) for counted in alone] == [4, 0, 1, 1]
    assert [counted.visitor for counted in alone] == [b"ann", None, b"cid", b"dan"]
    assert [counted.left_out["no_signal"] for counted in alone] == [0, 1, 0, 2]
    unclear = records_of(reader, "eve", viewed(""))
    assert rules.together([*requests, unclear]) is None and rules.views(unclear).left_out


@pytest.mark.parametrize("most", [1, 3, 256])
def test_each_request_has_its_own_answer_whatever_others_send(most):
    rules, reader = rules_of({"preset": "ga4_shop"})
    sent = {name: [viewed(f"item of {name}")] * (1 + number % 3) for number, name in enumerate("abcdefgh")}
    sent["c"], sent["e"] = [viewed("")], [{"name": "scroll"}]
    requests = {name: records_of(reader, name, *events) for name, events in sent.items()}
    broken = [{"event_name": "view_item", "items": "no list"}]

    async def ask() -> list:
        intake = Intake(rules, rest_s=0, most=most)
        async with intake.running():
            return await asyncio.gather(*map(intake.views, [*requests.values(), broken]), return_exceptions=True)

    *answers, failed = asyncio.run(ask())
    assert answers == [rules.views(records) for records in requests.values()]
    assert isinstance(failed, pa.ArrowException)
