"""Bots are left out with all they viewed, and accounted for."""

import json
from collections import Counter, defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.settings import SourceSettings
from pipeline.interactions import bots
from pipeline.interactions.sessions import INTERACTIONS
from tests.support.exports import event, make_dataset, ratings, rejected, write_ndjson

DAY_MS = 86_400_000

views = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"x", b"y", b"z"]), st.integers(-3, 3)),
    min_size=1,
    max_size=60,
)
bounds = st.one_of(st.none(), st.integers(1, 4))


@given(views, bounds, bounds)
def test_bots_are_those_of_the_plain_rule(rows, most_views, most_items):
    by_day = defaultdict(list)
    for visitor, content, half_day in rows:
        by_day[visitor, half_day * DAY_MS // 2 // DAY_MS].append(content)
    expected = {
        visitor
        for (visitor, _), seen in by_day.items()
        if len(seen) > (most_views or 99) or len(set(seen)) > (most_items or 99)
    }
    visitors, items, days = zip(*rows, strict=True)
    times = [day * DAY_MS // 2 for day in days]
    columns = [
        pa.array(c, f.type) for c, f in zip((visitors, items, [1.0] * len(rows), times), INTERACTIONS, strict=True)
    ]
    source = SourceSettings(kind="ga4", max_views_a_day=most_views, max_items_a_day=most_items)
    kept, lines, counts = bots.leave_out(pa.table(columns, schema=INTERACTIONS), source)
    assert kept["visitorId"].to_pylist() == [visitor for visitor in visitors if visitor not in expected]
    found = [json.loads(line) for line in lines]
    assert sorted(row["visitorId"].encode() for row in found) == sorted(expected)
    for row in found:
        most = max(len(seen) for (visitor, _), seen in by_day.items() if visitor == row["visitorId"].encode())
        assert row["views"] <= most
        assert row["views"] > (most_views or 99) or row["items"] > (most_items or 99)
    dropped = Counter(visitors)
    assert counts["views.rejected.bot"] == sum(dropped[visitor] for visitor in expected)
    assert counts["visitors.skipped.bot"] == len(expected)


def test_a_bot_leaves_a_line_and_its_views_are_counted(tmp_path):
    rows = [event("person", name, 1000) for name in "xy"] + [event("bot", "x", 1000 + more) for more in range(5)]
    path = write_ndjson(tmp_path / "events.ndjson", rows)
    manifest = make_dataset(tmp_path / "out", path, "ga4", source={"max_views_a_day": 4})
    assert set(ratings(tmp_path / "out")) == {(b"person", b"x"), (b"person", b"y")}
    assert manifest["rejected"] == {"views.bot": 5} and manifest["skipped"] == {"visitors.bot": 1}
    line = {"reason": "bot", "unit": "visitors", "visitorId": "bot", "day": "2024-01-01", "views": 5, "items": 1}
    assert rejected(tmp_path / "out") == [line]
    make_dataset(tmp_path / "all", path, "ga4", source={"max_views_a_day": 5})
    assert (b"bot", b"x") in ratings(tmp_path / "all")


def test_a_table_without_times_has_no_days():
    with pytest.raises(ValidationError, match="need time_column if the source is a table"):
        SourceSettings(kind="table", max_items_a_day=100)
