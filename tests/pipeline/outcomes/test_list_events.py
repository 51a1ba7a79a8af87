"""Exposures and clicks of exports: Google's public files against DuckDB, and events by hand."""

from __future__ import annotations

from collections import Counter

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs.settings import OutcomeSettings, RatingSettings, SourceSettings
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists import ga4, ga360
from pipeline.sources.lists.reading import wide as read_source
from pipeline.sources.lists.rows import Asked
from pipeline.sources.select import source_of
from tests.support.exports import SHARED, write_ndjson
from tests.support.outcomes import NAME, event, ms, shown

GA360 = SHARED / "google" / "ga360_sessions_20170801.parquet"
GA4 = SHARED / "google" / "ga4_events.parquet"
needs_google = pytest.mark.skipif(not GA360.is_file(), reason="Google's public data is not here (WALS_SHARED_DATA)")
PRODUCTS = """
    FROM (SELECT fullVisitorId AS visitor, visitStartTime AS start, unnest(hits) AS hit FROM sessions),
    LATERAL (SELECT unnest(hit.product) AS product)
"""
ITEMS = f"FROM (SELECT event_name AS name, user_pseudo_id AS visitor, unnest(items) AS item FROM '{GA4}')"  # noqa: S608


@pytest.fixture(scope="module")
def sessions():
    """The fields of the GA360 file that the queries need; DuckDB would unpack all of them."""
    fields = ("time", "product", "eCommerceAction")
    names = ["fullVisitorId", "visitStartTime", *(f"hits.list.element.{name}" for name in fields)]
    return pq.ParquetFile(GA360).read(columns=names)


def read(path, preset, **options) -> tuple[pa.Table, Counter]:
    """Return the rows of list events of a file, and their account."""
    source, module = SourceSettings(preset=preset), ga4 if preset.startswith("ga4") else ga360
    times = {name: options.pop(name) for name in ("start_ms", "end_ms") if name in options}
    asked, counts = Asked(OutcomeSettings(**options), **times), Counter()
    rules, tables = PageRules(source.page_rules), []
    for raw in source_of(read_source(source, asked), RatingSettings()).read(str(path)):
        extract = module.rows(raw, source, rules, asked)
        counts += extract.counts
        tables.append(extract.table)
    return pa.Table.from_batches(tables).unify_dictionaries(), counts


def by_list(counts: Counter, kind: str) -> dict[str, int]:
    prefix = f"lists.{kind}."
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}


@needs_google
def test_impressions_and_clicks_of_the_ga360_file_are_those_of_duckdb(sessions):
    table, counts = read(GA360, "ga360_shop")
    for kind, flag, total, visitors in (
        ("exposures", "isImpression", 42_796, 1_533),
        ("clicks", "isClick", 1_676, 395),
    ):
        query = f"SELECT product.productListName, count(*) {PRODUCTS} WHERE product.{flag} GROUP BY 1"
        expected = dict(duckdb.sql(query).fetchall())
        assert by_list(counts, kind) == expected and sum(expected.values()) == total
        kinds = {"exposures": 1, "clicks": 2}
        found = {
            visitor
            for visitor, number in zip(*columns(table, "visitorId", "kind"), strict=True)
            if number == kinds[kind]
        }
        expected = duckdb.sql(f"SELECT DISTINCT visitor {PRODUCTS} WHERE product.{flag}").fetchall()
        assert found == {visitor.encode() for (visitor,) in expected} and len(found) == visitors
    assert not [name for name in counts if ".skipped." in name]


@needs_google
def test_rows_of_one_list_of_the_ga360_file_are_those_of_duckdb(sessions):
    """Visitor, item, time, kind and position of the list, and the purchases with their revenue."""
    table, _ = read(GA360, "ga360_shop", list_name="Search Results")
    query = f"""
        SELECT visitor, product.productSKU, start * 1000 + hit.time, CASE WHEN product.isClick THEN 2 ELSE 1 END,
        product.productListPosition {PRODUCTS}
        WHERE product.productListName = 'Search Results' AND (product.isClick OR product.isImpression)
    """
    ours = table.filter(table["ours"])
    found = zip(*columns(ours, "visitorId", "contentId", "time_ms", "kind", "position"), strict=True)
    decoded = sorted((visitor.decode(), item.decode(), *rest) for visitor, item, *rest in found)
    assert decoded == sorted(duckdb.sql(query).fetchall()) and len(decoded) == 918 + 86
    bought = table.filter(pc.equal(table["kind"], 4))
    expected = duckdb.sql(
        f"SELECT count(*), sum(product.productRevenue) / 1e6 {PRODUCTS} WHERE hit.eCommerceAction.action_type = '6'"
    ).fetchone()
    assert bought.num_rows == expected[0] and np.nansum(bought["value"].to_numpy()) == pytest.approx(expected[1])


@needs_google
def test_lists_and_promotions_of_the_ga4_file_are_those_of_duckdb():
    table, counts = read(GA4, "ga4_shop")
    names = "coalesce(nullif(item.item_list_name, '(not set)'), nullif(item.item_list_id, '(not set)'), "
    names += "nullif(item.promotion_name, '(not set)'), nullif(item.promotion_id, '(not set)'), '(not set)')"
    for kind, events in (
        ("exposures", "'view_item_list', 'view_promotion'"),
        ("clicks", "'select_item', 'select_promotion'"),
    ):
        query = f"SELECT {names}, count(*) {ITEMS} WHERE name IN ({events}) GROUP BY 1"
        assert by_list(counts, kind) == dict(duckdb.sql(query).fetchall())
    bought = table.filter(pc.equal(table["kind"], 4))
    assert not bought.num_rows  # without a list of ours, nothing can be due to it
    table, counts = read(GA4, "ga4_shop", list_name="Reach New Heights")
    query = f"SELECT count(*) {ITEMS} WHERE name = 'purchase' AND item.item_id != '(not set)'"
    bought = table.filter(pc.equal(table["kind"], 4))
    assert bought.num_rows == duckdb.sql(query).fetchone()[0] > 0


def test_events_by_hand(tmp_path):
    """Name, id and parameter of the list; positions; the version; what has no visitor, no item, or another time."""
    later = ms(3)
    rows = [
        event("a", "view_item_list", ms(2), shown("x", 1), shown("y", 2), shown("(not set)", 3), shown("z")),
        event("a", "view_item_list", ms(2, 1), {"item_id": "x", "item_list_id": NAME}, version="monday"),
        event("b", "view_promotion", ms(2, 2), {"item_id": "y", "promotion_name": NAME}),
        event("b", "select_item", ms(2, 3), {"item_id": "y"}, item_list_name=NAME),
        event("b", "select_item", ms(2, 3), {"item_id": "y"}, item_list_name="Others"),
        event("b", "view_item_list", ms(2, 3), *[shown(f"o{n}", n, "Others") for n in range(5)]),
        event(None, "view_item_list", ms(2), shown("x", 1)),
        event("a", "view_item_list", ms(1), shown("x", 1)),
        event("a", "view_item_list", later, shown("x", 1)),
        event("a", "purchase", later, {"item_id": "x", "item_revenue": 12.5}),
        event("a", "purchase", ms(5), {"item_id": "x"}),
        event("a", "view_item", ms(2), {"item_id": "x"}),
    ]
    path = write_ndjson(tmp_path / "events_20240102.ndjson", rows)
    options = {"list_name": NAME, "version_field": "param.version", "start_ms": ms(2), "end_ms": later}
    table, counts = read(path, "ga4_shop", **options)
    found = list(zip(*columns(table, *table.column_names), strict=True))
    ours = [row[:7] for row in found if row[4]]
    assert ours == [
        (b"a", b"x", ms(2), 1, True, 1, None),
        (b"a", b"y", ms(2), 1, True, 2, None),
        (b"a", b"z", ms(2), 1, True, -1, None),
        (b"a", b"x", ms(2, 1), 1, True, -1, b"monday"),
        (b"b", b"y", ms(2, 2), 1, True, -1, None),
        (b"b", b"y", ms(2, 3), 2, True, -1, None),
    ]
    others = [(row[0], row[1], row[3]) for row in found if not row[4]]
    assert sorted(others, key=str) == sorted([(b"a", b"x", 4), (b"b", None, 1), (b"b", None, 2)], key=str)
    assert [row[7] for row in found if row[3] == 4] == [12.5]
    skipped = {name.removeprefix("lists.skipped."): n for name, n in counts.items() if ".skipped." in name}
    assert skipped == {"not_an_id.(not set)": 1, "no_visitor_id": 1, "before_first_run": 1, "after_window": 2}
    assert by_list(counts, "exposures") == {NAME: 5, "Others": 5} and by_list(counts, "clicks") == {
        NAME: 1,
        "Others": 1,
    }


def columns(table: pa.Table, *names: str) -> list[list]:
    return [table[name].to_pylist() for name in names]
