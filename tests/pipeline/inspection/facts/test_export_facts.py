"""Facts of GA4 and GA360 exports, against DuckDB over Google's samples and plain Python over small ones."""

from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from pipeline.inspection.facts import ga4, ga360
from pipeline.inspection.sampling import files
from tests.support.exports import SHARED, event, hit, needs_shared, session, write_ndjson

GA4, GA360 = (SHARED / "google" / name for name in ("ga4_events.parquet", "ga360_sessions_20170801.parquet"))


@pytest.fixture(scope="module")
def google_ga4():
    return ga4.facts_of(files.take(str(GA4)))


@pytest.fixture(scope="module")
def google_ga360():
    return ga360.facts_of(files.take(str(GA360)))


def ask(sql: str, path) -> list[tuple]:
    return duckdb.connect().sql(sql.replace("$", f"'{path}'")).fetchall()


def read(path, *columns: str) -> list[dict]:
    """Return the rows of a file with some nested columns."""
    return pq.ParquetFile(path).read(columns=list(columns)).to_pylist()


@needs_shared
def test_visitors_and_days_of_googles_ga4_are_those_of_duckdb(google_ga4):
    facts = google_ga4
    expected = ask(
        "select count(*), count(distinct user_pseudo_id), count(distinct event_date), min(event_date), max(event_date),"
        " count(user_id) from $",
        GA4,
    )
    assert expected == [(facts.rows, facts.visitors, len(facts.days), facts.days[0], facts.days[-1], 0)]
    back = "select count(*) from (select 1 from $ group by user_pseudo_id having count(distinct event_date) > 1)"
    assert ask(back, GA4) == [(facts.returning,)]


@needs_shared
def test_events_and_parameters_of_googles_ga4_are_those_of_duckdb(google_ga4):
    engaged = "p -> p.key = 'engagement_time_msec' and p.value.int_value > 0"
    sql = (
        "select event_name, count(*), count(*) filter (len(items) > 0),"
        " floor(median(len(items)) filter (len(items) > 0)),"
        " count(*) filter (list_contains(list_transform(event_params, @), true)) from $ group by 1"
    ).replace("@", engaged)
    expected = {name: (count, items, typical or 0, engaged) for name, count, items, typical, engaged in ask(sql, GA4)}
    seen = {
        each.name: (each.events, each.with_items, each.typical_items, round(each.engaged * each.events))
        for each in google_ga4.events
    }
    assert seen == expected and len(seen) == 17
    shares = dict(ask("select p.key, count(*) / 24219 from $, unnest(event_params) t(p) group by 1", GA4))
    assert google_ga4.parameters == pytest.approx(shares)


@needs_shared
@pytest.mark.parametrize("name", ["item_id", "item_name"])
def test_candidates_of_googles_ga4_are_those_of_python(google_ga4, name):
    rows = enumerate(read(GA4, "user_pseudo_id", f"items.list.element.{name}"))
    ids = [(event, row["user_pseudo_id"], item[name]) for event, row in rows for item in row["items"] if item[name]]
    sound = [each for each in ids if each[2] != "(not set)"]
    items = {item for *_, item in sound}
    found = google_ga4.candidate(f"items.{name}")
    assert (found.carried, found.distinct) == (len({event for event, *_ in sound}), len(items))
    assert round(found.per_item * found.distinct) == len({each[1:] for each in sound})
    assert found.no_ids == {"(not set)": len(ids) - len(sound)}


@needs_shared
def test_googles_ga360_is_as_python_counts_it(google_ga360):
    fields = ["type", "page.pagePath", "eCommerceAction.action_type", "product.list.element.productSKU"]
    names = [f"hits.list.element.{name}" for name in (*fields, "product.list.element.isImpression")]
    rows = read(GA360, "fullVisitorId", *names)
    hits = [(row["fullVisitorId"], each) for row in rows for each in row["hits"]]
    facts = google_ga360
    assert (facts.rows, facts.hits) == (len(rows), len(hits))
    assert facts.visitors == len({row["fullVisitorId"] for row in rows})
    actions = Counter(each["eCommerceAction"]["action_type"] for _, each in hits)
    events = {each.name: (each.events, each.with_items) for each in facts.events}
    for action, name in {"2": "detail", "3": "add_to_cart", "6": "purchase"}.items():
        assert events[name] == (actions[action], actions[action])
    pages = [(visitor, each["page"]["pagePath"]) for visitor, each in hits if each["type"] == "PAGE"]
    page = facts.candidate("page")
    assert (page.carried, page.distinct) == (len(pages), len({path for _, path in pages}))
    assert round(page.per_item * page.distinct) == len(set(pages))
    interest = [each["product"] for _, each in hits if each["eCommerceAction"]["action_type"] != "0"]
    skus = {product["productSKU"] for products in interest for product in products if not product["isImpression"]}
    assert facts.candidate("product.productSKU").distinct == len(skus)


def ga4_facts(tmp_path, rows):
    return ga4.facts_of(files.take(str(write_ndjson(tmp_path / "events_20240101.json", rows))))


def test_consent_users_and_visitors_of_several_days(tmp_path):
    yes, no = ({"privacy_info": {"analytics_storage": answer}} for answer in ("Yes", "No"))
    rows = [
        event("v1", "i1", 5, event_name="page_view", user_id="u1", **yes),
        event("v1", "i1", 0, event_name="page_view", event_date="20240102", user_id="0", **yes),
        event(None, "i2", 5, event_name="page_view", user_id="undefined", **no),
        event("", "i2", None, event_name="page_view", user_id="", **yes),
    ]
    facts = ga4_facts(tmp_path, rows)
    assert (facts.rows, facts.visitors, facts.returning, facts.anonymous, facts.users) == (4, 1, 1, 0.5, 0.25)
    assert facts.consent == {"Yes": 0.75, "No": 0.25} and facts.days == ["20240101", "20240102"]
    assert facts.events[0].engaged == 0.5


def test_an_example_needs_several_visitors_and_no_address(tmp_path):
    rows = [event(f"v{n}", "secret-of-one" if n == 0 else "shared", 5, event_name="e") for n in range(4)]
    rows += [event(f"v{n}", "jane@example.com", 5, event_name="e") for n in range(4)]
    found = ga4_facts(tmp_path, rows).candidate("param.content_id")
    assert found.distinct == 3 and found.examples == ("shared",)


def test_names_that_are_no_ids_are_counted_by_name(tmp_path):
    ids = ["(not set)", "(not set)", "undefined", "", "<Other>", "a"]
    rows = [event(f"v{n}", each, 5, event_name="e") for n, each in enumerate(ids)]
    found = ga4_facts(tmp_path, rows).candidate("param.content_id")
    assert found.no_ids == {"(not set)": 2, "undefined": 1} and found.unknown == {"<Other>": 1}
    assert (found.carried, found.distinct) == (2, 2)


def test_items_that_are_text_are_refused(tmp_path):
    table = pa.table({"event_name": ["purchase"], "user_pseudo_id": ["v"], "items": ['[{"item_id": "a"}]']})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="items is string, and not a list of records as Google exports it"):
        files.take(str(tmp_path / "a.parquet"))


def test_dimensions_of_sessions_count_for_each_page_of_theirs(tmp_path):
    dimensions = [{"index": "7", "value": "gold"}]
    rows = [
        session("v1", 1, [hit(1, 0, "a"), hit(2, 5, None), hit(3, 9, "b", kind="EVENT")], customDimensions=dimensions),
        session("v2", 2, [hit(1, 0, "a")]),
        session("v2", 2, [hit(1, 0, "a")]),
    ]
    facts = ga360.facts_of(files.take(str(write_ndjson(tmp_path / "ga_sessions_20240101.json", rows))))
    found = {each.field: (each.carried, each.of, each.distinct) for each in facts.candidates}
    assert found["dimension.7"] == (2, 4, 1) and found["dimension.10"] == (3, 4, 1)
    assert (facts.hits, facts.duplicates, facts.visitors) == (5, 1, 2)


def test_products_in_lists_are_not_of_interest(tmp_path):
    """Those of no action, and impressions next to an action."""
    shown = {"productSKU": "shown", "isImpression": True}
    hits = [
        hit(1, 0) | {"eCommerceAction": {"action_type": "0"}, "product": [{"productSKU": "listed"}]},
        hit(2, 1) | {"product": [{"productSKU": "listed"}]},
        hit(3, 2) | {"eCommerceAction": {"action_type": "2"}, "product": [{"productSKU": "seen"}, shown]},
    ]
    path = write_ndjson(tmp_path / "ga_sessions_20240101.json", [session("v1", 1, hits)])
    facts = ga360.facts_of(files.take(str(path)))
    assert (facts.candidate("product.productSKU").carried, facts.candidate("product.productSKU").distinct) == (1, 1)
    events = {each.name: (each.events, each.with_items) for each in facts.events}
    assert events == {"page": (3, 1), "detail": (1, 1), "(lists of products)": (3, 3)}
