"""Marks of what may be recommended again, by the signals that found it, against plain Python over the same export."""

from __future__ import annotations

import random

import pyarrow.parquet as pq
import pytest

from configs.settings import RatingSettings, SourceSettings
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.sources.select import source_of
from tests.support.exports import SHARED, event, hit, session, write_ndjson

SAMPLE = SHARED / "google" / "ga4_events.parquet"
NAMES = ("look", "cart", "uncart", "buy")
AGAIN = {"look": True, "cart": True}


def signals(item: str, **more) -> list[dict]:
    return [{"event": name, "item": item, "recommend_again": AGAIN.get(name, False)} | more for name in NAMES]


def pairs_of(path, **given) -> dict[tuple[str, str], bool]:
    """Return the pairs of a file, and whether each may be recommended again."""
    source = source_of(SourceSettings(input="x", **given), RatingSettings())
    tables = [to_bytes(source.shrink(source.extract(raw, "file").table)) for raw in source.read(str(path))]
    rows, _ = source.interactions(from_bytes(iter(tables)))
    pairs, _ = source.combine(rows)
    return {(row["visitorId"].decode(), row["contentId"].decode()): row["again"] for row in pairs.to_pylist()}


def expected(occurrences) -> dict[tuple[str, str], bool]:
    """Return each pair of (visitor, item, event): whether none of its events leaves the item out."""
    pairs: dict[tuple[str, str], bool] = {}
    for visitor, item, name in occurrences:
        pairs[visitor, item] = pairs.get((visitor, item), True) and AGAIN.get(name, False)
    return pairs


@pytest.mark.parametrize("more", [{}, {"drop_duplicate_events": False}, {"max_views_a_day": 10_000}])
def test_an_item_may_be_recommended_again_if_every_signal_of_the_visitor_allows_it(tmp_path, more):
    rng = random.Random(1)
    seen = [(f"v{rng.randrange(9)}", f"i{rng.randrange(30)}", rng.choice(NAMES)) for _ in range(400)]
    rows = [event(v, i, event_name=name, event_timestamp=str(10**15 + n)) for n, (v, i, name) in enumerate(seen)]
    path = write_ndjson(tmp_path / "in", rows + rows[:50])
    pairs = pairs_of(path, kind="ga4", signals=signals("param.content_id"), **more)
    assert pairs == expected(seen) and 0 < sum(pairs.values()) < len(pairs)


def test_lines_of_one_event_and_signals_of_one_event_are_taken_together(tmp_path):
    lines = [{"item_id": item} for item in ("a", "b", "a")]
    path = write_ndjson(tmp_path / "in", [event("v", "a", event_name="buy", items=lines)])
    both = [
        {"event": "buy", "item": "items.item_id", "recommend_again": True},
        {"event": "buy", "item": "param.content_id"},
    ]
    assert pairs_of(path, kind="ga4", signals=both) == {("v", "a"): False, ("v", "b"): True}


@pytest.mark.parametrize("dwell", [False, True])
def test_hits_of_ga360_are_marked_with_and_without_dwell(tmp_path, dwell):
    """Pages may be recommended again, events of the category `buy` may not."""
    rng, rows, seen = random.Random(2), [], []
    for number in range(60):
        visitor, hits = f"v{number % 9}", []
        for n in range(6):
            item, is_page = f"i{rng.randrange(8)}", n == 5 or rng.random() < 0.8
            hits.append(hit(n + 1, n * 1000, item, "PAGE" if is_page else "EVENT"))
            if not is_page:
                hits[-1]["eventInfo"] = {"eventCategory": "buy"}
            seen.append((visitor, item, "look" if is_page else "buy"))
        rows.append(session(visitor, 1704067200 + number * 60, hits))
    page = {"event": "page", "item": "dimension.10", "dwell": dwell, "recommend_again": True}
    given = [page, {"event": "buy", "item": "dimension.10"}]
    pairs = pairs_of(write_ndjson(tmp_path / "in", rows), kind="ga360", signals=given)
    assert pairs == expected(seen) and 0 < sum(pairs.values()) < len(pairs)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="Google's sample is not on this machine (WALS_SHARED_DATA)")
def test_a_shop_leaves_out_what_was_bought_and_keeps_what_was_viewed():
    events = ("purchase", "add_to_cart", "view_item")
    given = [
        {"event": name, "item": "items.item_id", "weight": weight, "recommend_again": name != "purchase"}
        for name, weight in zip(events, (10, 4, 1), strict=True)
    ]
    bought, either = set(), set()
    for row in pq.read_table(SAMPLE, columns=["event_name", "user_pseudo_id", "items"]).to_pylist():
        for line in row["items"] or () if row["event_name"] in events else ():
            if line["item_id"] not in (None, "", "(not set)"):
                either.add((row["user_pseudo_id"], line["item_id"]))
                if row["event_name"] == "purchase":
                    bought.add((row["user_pseudo_id"], line["item_id"]))
    assert len(either) == 19_506 and len(bought) == 1_743
    assert pairs_of(SAMPLE, kind="ga4", signals=given) == {pair: pair not in bought for pair in either}


def test_without_the_setting_there_is_no_mark(tmp_path):
    path = write_ndjson(tmp_path / "in", [event("v", "a", event_name="buy")])
    source = source_of(SourceSettings(kind="ga4", input="x"), RatingSettings())
    (raw,) = source.read(str(path))
    assert source.extract(raw, "in").table.schema.names == ["visitorId", "contentId", "amount", "time_ms", "event"]
    assert not SourceSettings(kind="table").recommends_again
