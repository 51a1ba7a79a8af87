"""The windows of an inspection, against DuckDB over Google's sample and plain Python over a small export."""

import duckdb
import pytest

from configs.settings import Settings, resolve
from pipeline.inspection.sampling import files
from pipeline.inspection.windows import interest_of
from tests.support.exports import SHARED, event, needs_shared, write_ndjson

GA4 = SHARED / "google" / "ga4_events.parquet"
DAY_US = 86_400_000_000


def interest(path, days: int, **source):
    settings = resolve(Settings.model_validate({"source": {"input": str(path)} | source}))
    return interest_of(files.take(str(path)), settings, days)


@needs_shared
def test_windows_of_googles_sample_are_those_of_duckdb():
    sql = """
        WITH pairs AS (
            SELECT DISTINCT user_pseudo_id u, i.item_id i FROM $, UNNEST(items) t(i)
            WHERE event_name IN ('purchase', 'add_to_cart', 'view_item') AND i.item_id NOT IN ('(not set)', '')
            AND event_timestamp // 86400000000 > (SELECT MAX(event_timestamp) // 86400000000 FROM $
                WHERE event_name IN ('purchase', 'add_to_cart', 'view_item') AND len(items) > 0) - @
        )
        SELECT COUNT(*), COUNT(DISTINCT u), COUNT(DISTINCT i),
            (SELECT COUNT(*) FROM (SELECT 1 FROM pairs GROUP BY u HAVING COUNT(*) > 1)) FROM pairs
    """
    windows = interest(GA4, 92, preset="ga4_shop").windows
    assert [window.days for window in windows] == [7, 30, 90, 92]
    for window in windows:
        (expected,) = duckdb.sql(sql.replace("$", f"'{GA4}'").replace("@", str(window.days))).fetchall()
        assert expected == (*window[1:4], round(window.several * window.visitors))


@pytest.mark.parametrize("days", [5, 7, 8, 31])
def test_a_window_has_the_last_days_in_utc(tmp_path, days):
    rows = [
        event(f"v{day}", f"i{item}", 100, event_name="page_view", event_timestamp=str((20_000 + day) * DAY_US + 1))
        for day in range(days)
        for item in range(1 + day % 2)
    ]
    found = interest(write_ndjson(tmp_path / "events_1.json", rows), days, kind="ga4")
    assert [window.days for window in found.windows] == [each for each in (7, 30) if each < days] + [days]
    for length, pairs, visitors, _, several in found.windows:
        last = range(max(0, days - length), days)
        assert (pairs, visitors) == (sum(1 + day % 2 for day in last), len(last))
        assert several == sum(day % 2 for day in last) / len(last)


def test_bots_and_duplicates_are_counted(tmp_path):
    busy = [event("bot", f"i{n}", 100, event_name="view", event_timestamp=str(20_000 * DAY_US + n)) for n in range(501)]
    quiet = [event("v", f"i{n}", 100, event_name="view", event_timestamp=str(20_000 * DAY_US + n)) for n in range(500)]
    found = interest(write_ndjson(tmp_path / "events_1.json", [*busy, *quiet, *quiet[:7]]), 1, kind="ga4")
    assert (found.bots, found.bot_views, found.counts["views.skipped.duplicate_event"]) == (1, 501, 7)
