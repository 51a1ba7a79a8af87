"""The amounts of GA4's signals, next to the same rule in plain Python, and to DuckDB over Google's sample."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.settings import RatingSettings, SourceSettings
from pipeline import sample
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.sources.events.schema import schema_of
from pipeline.sources.select import source_of
from tests.support.exports import SHARED, event, make_dataset, write_ndjson

SAMPLE = SHARED / "google" / "ga4_events.parquet"
needs_sample = pytest.mark.skipif(not SAMPLE.is_file(), reason="Google's sample is not on this machine")
VIEW, BUY = (
    {"event": "view_item", "item": "items.item_id"},
    {"event": "purchase", "item": "items.item_id", "weight": 10},
)

PAGE = {"event": "*", "item": "page", "dwell": True}


def read(path, **given_settings):
    """Return the amounts of the pairs above 0, the rejects' reasons, the counts, and the attributes of a file."""
    source = source_of(SourceSettings(kind="ga4", input="x", **given_settings), RatingSettings())
    counts, tables, rejects, values = Counter(), [], [], []
    for raw in source.read(str(path)):
        extract = source.extract(raw, "file")
        counts += extract.counts
        tables.append(to_bytes(source.shrink(extract.table)))
        rejects += [json.loads(line)["reason"] for line in extract.rejects]
        values += extract.attributes.to_pylist() if extract.attributes else []
    events, duplicates = source.interactions(from_bytes(iter(tables)))
    pairs, dropped = source.combine(events)
    amounts = {(row["visitorId"].decode(), row["contentId"].decode()): row["amount"] for row in pairs.to_pylist()}
    return amounts, rejects, counts + duplicates + dropped, values


def test_views_without_dwell_count_where_every_rating_is_one(tmp_path):
    path = write_ndjson(tmp_path / "e.json", [event("ann", "tea"), event("ann", "cup", 7), event("bob", "tea")])
    for kind, pairs in (("binary", 3), ("median", 1)):
        source = source_of(SourceSettings(kind="ga4"), RatingSettings(kind=kind))
        events, _ = source.interactions(
            pa.Table.from_batches([source.extract(raw, "e").table for raw in source.read(str(path))])
        )
        assert source.combine(events)[0].num_rows == pairs


def shown(counts: Counter) -> dict[str, int]:
    return {name: number for name, number in counts.items() if not name.startswith("seen.")}


def bought(name: str, *items, visitor: str = "a", **more) -> dict:
    return event(visitor, None, event_name=name, items=list(items), **more)


def with_param(row: dict, **params) -> dict:
    values = [{"key": key, "value": value} for key, value in params.items()]
    return row | {"event_params": [*row["event_params"], *values]}


def test_items_of_events_count_with_their_weight(tmp_path):
    rows = [
        bought("view_item", {"item_id": "x"}),
        bought("purchase", {"item_id": "x", "quantity": "3"}, {"item_id": "y"}, event_timestamp="1704067200000001"),
        bought("view_item", *({"item_id": name} for name in ("x", "y", "z")), event_timestamp="1704067200000002"),
        bought("purchase", {"item_id": "(not set)"}, {"item_id": ""}, {"item_name": "tea"}),
        bought("scroll", {"item_id": "x"}),
        bought(
            "purchase", {"item_id": "a\nb"}, {"item_id": "y", "quantity": "-1"}, {"item_id": "z", "quantity": "1.5"}
        ),
        bought("purchase", visitor="b"),
        bought("purchase", {"item_id": "x"}, visitor=None),
    ]
    path = write_ndjson(tmp_path / "in", rows)
    amounts, rejects, counts, _ = read(path, signals=[VIEW | {"max_items": 2}, BUY | {"amount": "quantity"}])
    assert amounts == {("a", "x"): 31.0, ("a", "y"): 10.0, ("a", "z"): 15.0}
    assert rejects == ["content_id_newline", "amount_invalid"]
    assert shown(counts) == {
        "records.read": 8,
        "records.skipped.no_signal": 1,
        "records.skipped.no_visitor_id": 1,
        "records.skipped.list_of_items": 1,
        "records.skipped.no_item": 2,
        "items.read": 12,
        "items.skipped.list_of_items": 3,
        "items.skipped.not_an_id.(not set)": 1,
        "items.skipped.no_item": 2,
        "items.rejected.content_id_newline": 1,
        "items.rejected.amount_invalid": 1,
    }
    assert (counts["seen.event.purchase"], counts["seen.event.view_item"], counts["seen.event.scroll"]) == (5, 2, 1)


def test_what_is_taken_away_leaves_pairs_above_0(tmp_path):
    rows = [
        bought(name, {"item_id": item}) for name, item in [("add", "x"), ("add", "y"), ("remove", "y"), ("add", "z")]
    ]
    rows += [bought("remove", {"item_id": item}, event_timestamp="1704067200000009") for item in "yz"]
    signals = [
        {"event": "add", "item": "items.item_id", "weight": 2},
        {"event": "remove", "item": "items.item_id", "weight": -1},
    ]
    amounts, _, counts, _ = read(write_ndjson(tmp_path / "in", rows), signals=signals)
    assert amounts == {("a", "x"): 2.0, ("a", "z"): 1.0}
    assert counts["pairs.skipped.not_above_0"] == 1


def test_two_signals_of_one_event_count_both(tmp_path):
    row = with_param(bought("rate", {"item_id": "x"}, {"item_id": "y"}), stars={"int_value": "4"})
    signals = [
        {"event": "rate", "item": "items.item_id"},
        {"event": "*", "item": "items.item_id", "amount": "param.stars"},
    ]
    rows = [row, bought("rate", {"item_id": "y"}, event_timestamp="1704067200000009")]
    amounts, _, counts, _ = read(write_ndjson(tmp_path / "in", rows), signals=signals)
    assert amounts == {("a", "x"): 5.0, ("a", "y"): 6.0}
    assert counts["items.skipped.no_amount"] == 1 and "records.skipped.no_amount" not in counts


@pytest.mark.parametrize(
    ("params", "item", "ids"),
    [
        ({"firebase_screen": "Home", "firebase_screen_class": "A"}, "screen", ["Home"]),
        ({"firebase_screen": "(not set)", "firebase_screen_class": "A"}, "screen", ["A"]),
        ({"firebase_screen_class": "A"}, "screen", ["A"]),
        ({"page_title": "Tea & co"}, "page_title", ["Tea & co"]),
        ({"sku": "007"}, "param.sku", ["007"]),
        ({}, "page", ["example.com/None"]),
        ({}, "param.sku", []),
    ],
)
def test_fields_of_an_event(tmp_path, params, item, ids):
    row = with_param(event("a", None, 50), **{key: {"string_value": value} for key, value in params.items()})
    amounts, _, _, _ = read(write_ndjson(tmp_path / "in", [row]), signals=[{"event": "*", "item": item, "dwell": True}])
    assert amounts == {("a", name): 50.0 for name in ids}


def test_pages_that_are_no_items_are_counted(tmp_path):
    rows = [event("a", name, 50) for name in ("article/1", "article/x", "search", "cart")]
    page = {"include": ["/article/", "/cart"], "exclude": ["/cart"], "pattern": "/article/([0-9]+)"}
    amounts, _, counts, _ = read(write_ndjson(tmp_path / "in", rows), preset="ga4_pages", page=page)
    assert (amounts, counts["records.skipped.no_signal"]) == ({}, 4)
    signals = [{"event": "*", "item": "page", "dwell": True}]
    amounts, _, counts, _ = read(write_ndjson(tmp_path / "in", rows), signals=signals, page=page)
    assert amounts == {("a", "1"): 50.0}
    reasons = ["page_excluded", "page_not_included", "page_without_pattern"]
    assert [counts[f"records.skipped.{reason}"] for reason in reasons] == [1, 1, 1]


def test_attributes_are_those_of_items_that_count(tmp_path):
    rows = [
        bought(
            "purchase", {"item_id": "x", "item_name": "Tea", "price": 9.5}, {"item_id": "(not set)", "item_name": "no"}
        ),
        bought("scroll", {"item_id": "y", "item_name": "not seen"}),
    ]
    _, _, _, values = read(write_ndjson(tmp_path / "in", rows), preset="ga4_shop")
    found = {(row["owner"], row["name"], row["value"]) for row in values}
    assert found == {(b"x", b"title", b"Tea"), (b"x", b"price", b"9.5")}


def test_a_column_of_another_kind_is_one_line(tmp_path):
    rows = [event("a", None, event_name="purchase", items='[{"item_id": "x"}]'), bought("purchase", {"item_id": "x"})]
    amounts, rejects, _, _ = read(write_ndjson(tmp_path / "in", rows), signals=[BUY])
    assert (amounts, rejects) == ({("a", "x"): 10.0}, ["malformed"])


def test_ids_are_counted_by_their_signal(tmp_path):
    rows = [bought("view_item", {"item_id": "x"}, {"item_id": "(not set)"}), bought("purchase", {"item_id": "y"})]
    signals = [VIEW | {"max_items": 1}, BUY | {"item": "param.nope"}, VIEW | {"event": "*"}]
    _, _, counts, _ = read(write_ndjson(tmp_path / "in", rows), signals=signals)
    assert [counts[f"seen.signal.{number}"] for number in (1, 2, 3)] == [1, 0, 2]


def test_a_price_that_is_text_costs_the_price_and_not_the_purchase(tmp_path):
    prices = ["9,99 EUR", "", "7.5", 3, math.nan, None]
    rows = [bought("purchase", {"item_id": str(place), "price": price}) for place, price in enumerate(prices)]
    amounts, rejects, _, values = read(write_ndjson(tmp_path / "in", rows), preset="ga4_shop")
    assert (len(amounts), rejects) == (len(prices), [])
    # The first one is counted as attributes.not_a_number.
    assert {(row["owner"], row["value"]) for row in values} == {
        (b"0", b"nan"),
        (b"2", b"7.5"),
        (b"3", b"3"),
        (b"4", b"nan"),
    }


FIELDS = ["items.item_id", "items.item_name", "param.sku", "page"]
events = st.builds(
    lambda name, visitor, user, time, items, params, engaged: with_param(
        event(visitor, None, engaged, event_name=name, user_id=user, event_timestamp=str(time), items=items), **params
    ),
    st.sampled_from(["buy", "view", "other"]),
    st.sampled_from(["a", "b", None]),
    st.sampled_from([None, "u"]),
    st.integers(1704067200000001, 1704067200000002),
    st.lists(
        st.fixed_dictionaries(
            {"item_id": st.sampled_from(["x", "y", "", "(not set)", None])},
            optional={"item_name": st.sampled_from(["x", "tea"]), "quantity": st.sampled_from(["0", "2", None])},
        ),
        max_size=3,
    ),
    st.fixed_dictionaries({}, optional={"sku": st.sampled_from([{"string_value": "x"}, {"int_value": "7"}, {}])}),
    st.sampled_from([None, 0, 60_000, 90_000]),
)
signals_of = st.lists(
    st.builds(
        lambda event, item, weight, many, amount: (
            {"event": event, "item": item, "weight": weight}
            | ({"max_items": 1} if many and item[0] == "i" else {})
            | (
                {"dwell": True}
                if amount == "dwell" and weight > 0
                else {"amount": amount}
                if item[0] == "i" and amount != "dwell"
                else {}
            )
        ),
        st.sampled_from(["buy", "view", "*", ["buy", "view"]]),
        st.sampled_from(FIELDS),
        st.sampled_from([1, 4, -1]),
        st.booleans(),
        st.sampled_from(["count", "quantity", "dwell"]),
    ),
    min_size=1,
    max_size=3,
).filter(lambda signals: any(signal["weight"] > 0 for signal in signals))


def of_event(row: dict, signals: list[dict]) -> dict[str, float]:
    """Return what the signals of one event count, by item."""
    mixed = len({signal.get("dwell", False) for signal in signals}) > 1
    params = {param["key"]: next(iter(param["value"].values()), None) for param in row["event_params"]}
    found = defaultdict(float)
    for signal in signals:
        field, names = signal["item"], signal["event"]
        is_list = field.startswith("items.") and len(row["items"]) > signal.get("max_items", 99)
        if is_list or not {row["event_name"], "*"} & set([names] if isinstance(names, str) else names):
            continue
        for line in row["items"] if field.startswith("items.") else [params | {"page": "example.com/None"}]:
            amount = 1.0
            if signal.get("dwell"):
                amount = float(params.get("engagement_time_msec") or 0) / (60_000 if mixed else 1)
            elif signal.get("amount") == "quantity":
                amount = float(line.get("quantity") or 1)
            found[line.get(field.rpartition(".")[2])] += amount * signal["weight"]
    return {str(item): amount for item, amount in found.items() if item not in (None, "", "(not set)")}


def by_hand(rows: list[dict], signals: list[dict], source: SourceSettings) -> dict[tuple[str, str], float]:
    """Return the pairs above 0 by the rule as docs/ga4.md has it, one event at a time."""
    found, seen = defaultdict(float), set()
    for row in rows:
        visitor = (row["user_id"] if source.prefer_user_id else None) or row["user_pseudo_id"]
        key = (row["user_id"], row["user_pseudo_id"], row["event_name"], row["event_timestamp"])
        for item, amount in of_event(row, signals).items() if visitor else ():
            if not (source.drop_duplicate_events and (key, item, amount) in seen):
                found[visitor, item] += amount
            seen.add((key, item, amount))
    return {pair: amount for pair, amount in found.items() if amount > 0}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(events, max_size=6), signals_of, st.booleans(), st.booleans())
def test_pairs_are_those_of_the_rule_by_hand(tmp_path_factory, rows, signals, prefer_user_id, drop):
    path = write_ndjson(tmp_path_factory.getbasetemp() / "by_hand", rows or [{}])
    more = {"signals": signals, "prefer_user_id": prefer_user_id, "drop_duplicate_events": drop}
    amounts, rejects, counts, _ = read(path, **more)
    assert rejects == [] and amounts == by_hand(rows, signals, SourceSettings(kind="ga4", **more))
    assert counts["records.read"] == max(len(rows), 1)


@needs_sample
@pytest.mark.parametrize(
    ("event", "pairs", "visitors", "items"),
    [
        ("purchase", 1743, 552, 534),
        ("add_to_cart", 3453, 295, 388),
        ("view_item", 14532, 1263, 378),
        (None, 19506, 2013, 953),
    ],
)
def test_google_s_sample_gives_the_pairs_of_duckdb(event, pairs, visitors, items):
    import duckdb

    weights = {"purchase": 10, "add_to_cart": 4, "view_item": 1}
    amounts, rejects, counts, _ = read(
        SAMPLE, **({"signals": [{"event": event, "item": "items.item_id"}]} if event else {"preset": "ga4_shop"})
    )
    weight = "CASE event_name WHEN 'purchase' THEN 10 WHEN 'add_to_cart' THEN 4 ELSE 1 END" if event is None else "1"
    names = [event] if event else list(weights)
    query = f"""
        WITH lines AS (
          SELECT user_pseudo_id AS visitor, event_name, event_timestamp, event_bundle_sequence_id,
                 unnest(items).item_id AS item
          FROM read_parquet($file) WHERE list_contains($names, event_name)
        ), events AS (
          SELECT visitor, item, {weight} * count(*) AS amount FROM lines
          WHERE item NOT IN ('', '(not set)')
          GROUP BY visitor, item, event_name, event_timestamp, event_bundle_sequence_id
        )
        SELECT visitor, item, sum(amount) FROM events GROUP BY ALL"""  # noqa: S608 - of this test
    rows = duckdb.connect().execute(query, {"file": str(SAMPLE), "names": names}).fetchall()
    assert amounts == {(visitor, item): float(amount) for visitor, item, amount in rows}
    assert (len(rows), len({row[0] for row in rows}), len({row[1] for row in rows})) == (pairs, visitors, items)
    assert rejects == [] and counts["records.read"] == 24_219


def as_extract(value):
    """Return a value as bq extract writes it in JSON: integers as text, no nulls."""
    if isinstance(value, dict):
        return {name: as_extract(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [as_extract(part) for part in value]
    return str(value) if isinstance(value, int) else value


def avro_type(kind: pa.DataType, name: str) -> dict | list:
    if pa.types.is_list(kind):
        return {"type": "array", "items": avro_type(kind.value_type, name)}
    if pa.types.is_struct(kind):
        fields = [{"name": field.name, "type": avro_type(field.type, f"{name}_{field.name}")} for field in kind]
        return {"type": "record", "name": name, "fields": fields}
    return ["null", "long" if pa.types.is_integer(kind) else "double" if pa.types.is_floating(kind) else "string"]


def write_renderings(folder, row_group_size=None):
    """Write 900 events of Google's sample in each format."""
    wanted = schema_of(SourceSettings(preset="ga4_shop")).names + ["event_params"]
    table = pq.read_table(SAMPLE, columns=[name for name in wanted if name != "batch_event_index"])
    table = table.filter(pc.is_in(table["event_name"], value_set=pa.array(["purchase", "add_to_cart", "view_item"])))
    rows = table.slice(0, 900).to_pylist()
    pq.write_table(table.slice(0, 900), folder / "parquet", row_group_size=row_group_size)
    write_ndjson(folder / "json", [as_extract(row) for row in rows])
    write_ndjson(folder / "numbers.gz", rows)
    with (folder / "avro").open("wb") as file:
        fastavro.writer(file, avro_type(pa.struct(list(table.schema)), "event"), rows, codec="deflate")


def test_datasets_of_all_renderings_are_the_same_bytes(tmp_path):
    """Compare datasets of Google's sample, or without it of the made shop."""
    if SAMPLE.exists():
        write_renderings(tmp_path, row_group_size=400)
        globs = [tmp_path / name for name in ("parquet", "json", "avro")]
    else:
        flags = ["--visitors", "40", "--items", "30", "--days", "1", "--layouts", "ga4_shop"]
        sample.main(["--output_dir", str(tmp_path / "in"), *flags, "--formats", "ndjson", "avro", "parquet"])
        globs = [tmp_path / "in" / f"ga4_shop{form}" / "*" for form in ("", "-avro", "-parquet")]
    made = []
    for number, pattern in enumerate(globs):
        root = tmp_path / str(number)
        manifest = make_dataset(root, pattern, "ga4", source={"preset": "ga4_shop"})
        account = {name: manifest[name] for name in ("counts", "skipped", "rejected", "median", "attributes")}
        made.append((account, {name: (root / name).read_bytes() for name in manifest["files"]}))
    names = set(made[0][1])
    assert {"items.parquet"} < names and sum("_for_" in name for name in names) == 2
    assert made[0][0]["counts"]["interactions"] > 100
    assert made[0] == made[1] == made[2]


@needs_sample
def test_renderings_of_google_s_sample_give_the_same(tmp_path):
    write_renderings(tmp_path)
    for given_settings in ({"preset": "ga4_shop"}, {"preset": "ga4_pages", "signals": [VIEW, PAGE]}):
        first = read(tmp_path / "parquet", **given_settings)
        assert len(first[0]) > 100 and not first[1]
        for name in ("json", "numbers.gz", "avro"):
            amounts, rejects, counts, values = read(tmp_path / name, **given_settings)
            assert (amounts, rejects, counts) == first[:3]
            assert sorted(map(str, values)) == sorted(map(str, first[3]))
