"""GA360 by signals, against the same rules in plain Python, and against SQL on Google's public sample."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pytest

from configs.settings import RatingSettings, SourceSettings, SplitSettings
from pipeline.demo.sample.formats import FORMATS
from pipeline.interactions import sessions
from pipeline.interactions.columns import from_bytes, to_bytes
from pipeline.readers.files import ExportReader
from pipeline.sources import ga360
from pipeline.sources.hits.schema import schema_of
from pipeline.sources.items.attributes import add_up, choose
from pipeline.sources.select import source_of
from tests.support.exports import SHARED, interactions, session, settings, write_ndjson

SAMPLE = SHARED / "google" / "ga360_sessions_20170801.parquet"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="Google's public sample is not here (WALS_SHARED_DATA)")
ACTIONS = ["", "click", "detail", "add_to_cart", "remove_from_cart", "checkout", "purchase", "refund"]
SHOP_ATTRIBUTES = {b"title", b"price", b"category", b"variant"}  # the sample has no brands
NO_IDS = ("(not set)", "(other)", "not available in demo dataset", None, "")


def dimensions(**values: str) -> list[dict[str, str]]:
    return [{"index": name[1:], "value": value} for name, value in values.items()]


def product(sku: str | None, **more: Any) -> dict[str, Any]:
    return {"productSKU": sku, "isImpression": None} | more


def action(number: int, time: int, kind: int, *products: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a hit with an action on products."""
    return plain_hit(number, time, "PAGE" if kind == 2 else "EVENT", **more) | {
        "eCommerceAction": {"action_type": str(kind)},
        "product": list(products),
    }


def plain_hit(number: int, time: int, kind: str = "PAGE", **more: Any) -> dict[str, Any]:
    return {"hitNumber": str(number), "time": str(time), "type": kind} | more


def found(tmp_path, rows, *signals, **source) -> tuple[dict[tuple[str, str], float], Counter[str]]:
    """Return what each pair amounts to, and the counts."""
    path = write_ndjson(tmp_path / "sessions.json", rows)
    pairs, counts = interactions(settings(tmp_path / "out", path, source={"signals": list(signals), **source}))
    return {(visitor.decode(), item.decode()): amount for (visitor, item), (amount, _) in pairs.items()}, counts


def drawn_session(rng: random.Random, number: int) -> dict[str, Any]:
    """Draw a session of any hits."""
    hits, time = [], 0
    ids = ["x", "y", "z", "(not set)", "(other)", "", None]
    for place in range(rng.randrange(6)):
        time += rng.choice([0, 5, 40])
        kind = rng.choice(["PAGE", "PAGE", "APPVIEW", "EVENT"])
        hit = plain_hit(place + 1, time, kind, page={"pagePath": rng.choice(["/a", "/b?c=1", "/", None])})
        hit["appInfo"] = {"screenName": rng.choice(ids)}
        hit["eCommerceAction"] = {"action_type": str(rng.randrange(9))}
        hit["product"] = [
            product(
                rng.choice(ids),
                isImpression=rng.choice([None, False, True]),
                productQuantity=rng.choice([None, "1", "3"]),
                customDimensions=dimensions(**{f"d{rng.randrange(1, 3)}": rng.choice(["p", "q"])}),
            )
            for _ in range(rng.randrange(3))
        ]
        hit["customDimensions"] = dimensions(**{f"d{rng.randrange(1, 3)}": rng.choice(["h", "(not set)"])})
        hit["contentGroup"] = {"contentGroup2": rng.choice(ids)}
        if kind == "EVENT":
            label, value = rng.choice(ids), rng.choice([None, "2", "0"])
            hit["eventInfo"] = {
                "eventCategory": rng.choice(["Video", "Scroll"]),
                "eventLabel": label,
                "eventValue": value,
            }
        hits.append(hit)
    day = dimensions(d1="s") if rng.random() < 0.5 else []
    return session(f"v{rng.randrange(3)}", 1_500_000_000 + number // 2, hits, customDimensions=day)


def names_of(hit: dict[str, Any]) -> set[str]:
    """Return the events of a hit."""
    names = {ACTIONS[int(hit["eCommerceAction"]["action_type"]) % 8]} - {""}
    kind = {"PAGE": "page", "APPVIEW": "screen"}.get(hit["type"])
    return names | {kind or hit["eventInfo"]["eventCategory"]}


def of_dimension(owner: dict[str, Any], index: str) -> str | None:
    return max((d["value"] for d in owner["customDimensions"] if d["index"] == index), default=None)


def items_of(hit: dict[str, Any], row: dict[str, Any], field: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Return the items of a hit with what has their quantity."""
    kind, _, name = field.partition(".")
    products = [one for one in hit["product"] if not one["isImpression"]]
    if kind == "product":
        return [(one[name], one) for one in products] or [(None, {})]
    if kind == "dimension":
        own = [(of_dimension(one, name), one) for one in products if of_dimension(one, name)]
        return own or [(of_dimension(hit, name) or of_dimension(row, name), {})]
    value = {
        "page": hit["page"]["pagePath"],
        "screen": hit["appInfo"]["screenName"],
        "content_group": hit["contentGroup"].get(f"contentGroup{name}"),
        "event": hit.get("eventInfo", {}).get(name),
    }[kind]
    return [(value, {})]


def plainly(rows: list[dict[str, Any]], signals: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return what each pair amounts to: one hit and one signal after the other."""
    sums: dict[tuple[str, str], float] = defaultdict(float)
    by_visit = defaultdict(list)
    for row in rows:
        by_visit[row["fullVisitorId"], row["visitId"]] += [(row, hit) for hit in row["hits"]]
    mixed = len({bool(signal.get("dwell")) for signal in signals}) > 1
    for (visitor, _), hits in by_visit.items():
        for signal in signals:
            for row, hit in hits:
                if not names_of(hit) & set(signal["event"]) and "*" not in signal["event"]:
                    continue
                items = items_of(hit, row, signal["item"])
                if len(items) > signal.get("max_items", math.inf):
                    continue
                for item, owner in items:
                    if item in NO_IDS:
                        continue
                    amount: float = {
                        "count": 1,
                        "quantity": int(owner.get("productQuantity") or 1),
                        "event.eventValue": int(hit.get("eventInfo", {}).get("eventValue") or 0),
                    }[signal.get("amount", "count")]
                    if signal.get("dwell"):
                        place = (int(hit["time"]), int(hit["hitNumber"]))
                        later = [(int(h["time"]), int(h["hitNumber"])) for _, h in hits if h["type"] == hit["type"]]
                        amount = min([at[0] for at in later if at > place], default=place[0]) - place[0]
                        amount /= 60_000 if mixed else 1
                    sums[visitor, item] += amount * signal.get("weight", 1)
    return {pair: total for pair, total in sums.items() if total > 0}


SIGNALS = [
    [{"event": ["page"], "item": "page", "dwell": True}],
    [{"event": ["page", "screen"], "item": "dimension.1", "dwell": True, "weight": 2}],
    [{"event": ["page"], "item": "product.productSKU", "dwell": True}],
    [
        {"event": ["purchase"], "item": "product.productSKU", "amount": "quantity", "weight": 10},
        {"event": ["detail", "click"], "item": "product.productSKU", "max_items": 1},
        {"event": ["remove_from_cart", "refund"], "item": "product.productSKU", "weight": -3},
    ],
    [
        {"event": ["screen"], "item": "screen", "dwell": True},
        {"event": ["Video"], "item": "event.eventLabel", "amount": "event.eventValue"},
        {"event": ["*"], "item": "content_group.2", "weight": 0.25},
        {"event": ["add_to_cart", "Scroll"], "item": "dimension.2"},
    ],
]


@pytest.mark.parametrize("signals", SIGNALS)
def test_pairs_are_those_of_the_plain_rule(tmp_path, signals):
    rng = random.Random(7)
    rows = [drawn_session(rng, number) for number in range(150)]
    expected = plainly(rows, signals)
    assert len(expected) > 5
    has_pages = any(signal["item"] == "page" for signal in signals)
    pairs, counts = found(tmp_path, rows, *signals, page={"keep_parameters": "all"} if has_pages else {})
    assert pairs == pytest.approx(expected, abs=1e-4)
    assert counts["hits.read"] == sum(len(row["hits"]) for row in rows)


def test_events_are_counted_by_name_and_the_others_of_a_hit_too(tmp_path):
    hits = [
        action(1, 0, 2, product("x")),
        action(2, 5, 3, product("x"), eventInfo={"eventCategory": "page"}),
        plain_hit(3, 9, "APPVIEW"),
        plain_hit(4, 9, "TRANSACTION"),
    ]
    pairs, counts = found(tmp_path, [session("a", 1, hits)], {"event": ["page", "Video"], "item": "product.productSKU"})
    assert pairs == {("a", "x"): 1}, "a category that is called page is not a page"
    seen = {name.removeprefix("seen.event."): n for name, n in counts.items() if name.startswith("seen.event.")}
    assert seen == {"page": 2, "detail": 1, "add_to_cart": 1, "screen": 1}
    assert (counts["hits.skipped.no_signal"], counts["items.read"]) == (3, 1)


def test_lists_impressions_and_names_that_are_no_ids_are_counted(tmp_path):
    hits = [
        action(1, 0, 2, product("x"), product("y")),
        action(2, 5, 2, product("x"), product("y", isImpression=True)),
        action(3, 6, 2, product("(not set)")),
        action(4, 7, 2, product("")),
        action(5, 8, 2),
        action(6, 9, 2, product("a\nb")),
        action(7, 9, 2, product("z", productQuantity="many")),
    ]
    signal = {"event": "detail", "item": "product.productSKU", "max_items": 1, "amount": "quantity"}
    pairs, counts = found(tmp_path, [session("a", 1, hits)], signal)
    assert pairs == {("a", "x"): 1}
    assert {name: n for name, n in counts.items() if name.startswith("items.")} == {
        "items.read": 8,
        "items.skipped.list_of_items": 2,
        "items.skipped.not_an_id.(not set)": 1,
        "items.skipped.no_item": 2,
        "items.rejected.content_id_newline": 1,
        "items.rejected.amount_invalid": 1,
    }
    assert counts["seen.signal.1"] == 5  # of lists and of rejected items too


def test_a_rejected_hit_or_item_names_its_record(tmp_path):
    good, odd = action(1, 0, 2, product("x")), action(2, 5, 2, product("a\nb"))
    rows = [session("a", 1, [good, good]), session("b", 1, []), session("c", 1, [good, odd])]
    rows.append(session("d", 1, [good, odd | {"time": "late"}]))
    source = source_of(SourceSettings(preset="ga360_shop", input="x"), RatingSettings())
    (raw,) = source.read(str(write_ndjson(tmp_path / "in", rows)))
    rejects = [json.loads(line) for line in source.extract(raw, "in").rejects]
    assert {(row["reason"], row["record"], row["hitNumber"]) for row in rejects} == {
        ("content_id_newline", 3, "2"),
        ("hit_time_invalid", 4, "2"),
    }


def test_events_without_a_number_are_counted(tmp_path):
    values = [{"eventValue": "3"}, {}, {"eventValue": "-1"}, {"eventValue": "0"}]
    hits = [
        plain_hit(n, n, "EVENT", eventInfo={"eventCategory": "Video", "eventLabel": "x"} | value)
        for n, value in enumerate(values)
    ]
    signal = {"event": "Video", "item": "event.eventLabel", "amount": "event.eventValue", "weight": 2}
    pairs, counts = found(tmp_path, [session("a", 1, hits)], signal)
    assert pairs == {("a", "x"): 6}
    assert counts["items.skipped.no_amount"] == counts["items.rejected.amount_invalid"] == 1


def test_pages_that_the_rules_leave_out_are_counted(tmp_path):
    paths = ["/a", "/basket", "/b", "/search?q=1", None]
    hits = [plain_hit(n, n * 10, page={"pagePath": path}) for n, path in enumerate(paths)]
    rules = {"exclude": ["/basket"], "include": ["^/[a-b]"]}
    pairs, counts = found(
        tmp_path, [session("a", 1, hits)], {"event": "page", "item": "page", "dwell": True}, page=rules
    )
    assert pairs == {("a", "/a"): 10, ("a", "/b"): 10}
    assert counts["items.skipped.page_excluded"] == counts["items.skipped.page_not_included"] == 1
    assert counts["items.skipped.no_item"] == 1


def test_sums_before_the_shuffle_change_nothing(tmp_path):
    rng = random.Random(3)
    rows = [drawn_session(rng, number) for number in range(100)]
    path = write_ndjson(tmp_path / "in", rows)
    made = SourceSettings(kind="ga360", input="x", signals=SIGNALS[3])
    source = source_of(made, RatingSettings(), SplitSettings(kind="time", time="2017-07-14T02:40:20"))
    (raw,) = source.read(str(path))
    table = source.extract(raw, "in").table
    small = source.shrink(table)
    assert small.num_rows < table.num_rows and small.schema == sessions.INTERACTIONS
    both = [sessions.sum_pairs(from_bytes(iter([to_bytes(some)]))).to_pylist() for some in (table, small)]
    assert both[0] == both[1]
    bots = source_of(made.model_copy(update={"max_views_a_day": 9}), RatingSettings())
    assert bots.shrink(table) is table, "bots are found by single rows"


def test_only_the_fields_that_are_needed_are_read():
    def leaves(kind: pa.DataType, prefix: str = "") -> list[str]:
        if pa.types.is_list(kind):
            return leaves(kind.value_type, prefix)
        if not pa.types.is_struct(kind):
            return [prefix.removeprefix(".")]
        return [leaf for item in kind for leaf in leaves(item.type, f"{prefix}.{item.name}")]

    visit = ["fullVisitorId", "visitNumber", "visitId", "visitStartTime", "date"]
    hit = ["hits.hitNumber", "hits.time", "hits.type"]
    pages = leaves(pa.struct(list(schema_of(SourceSettings(preset="ga360_pages")))))
    assert sorted(pages) == sorted([*visit, *hit, "hits.page.pagePath", "hits.page.pageTitle"])
    shop = leaves(pa.struct(list(schema_of(SourceSettings(preset="ga360_shop", attributes={})))))
    actions = ["hits.eCommerceAction.action_type", "hits.product.productSKU", "hits.product.isImpression"]
    assert sorted(shop) == sorted([*visit, *hit, *actions])
    watched = [{"event": "Video", "item": "product.productSKU"}]
    videos = leaves(pa.struct(list(schema_of(SourceSettings(kind="ga360", signals=watched, attributes={})))))
    assert sorted(videos) == sorted([*shop, "hits.eventInfo.eventCategory"]), "perhaps it is another misspelt"
    bought = [{"event": "purchase", "item": "product.productSKU", "amount": "quantity"}]
    counted = leaves(pa.struct(list(schema_of(SourceSettings(kind="ga360", signals=bought, attributes={})))))
    assert sorted(counted) == sorted([*shop, "hits.product.productQuantity"])
    assert set(shop) | set(pages) < set(leaves(pa.struct(list(ga360.SCHEMA))))


PAGES = """
    SELECT visitor, page, sum(dwell), max(at_ms) FROM (
      SELECT visitor, hit.page.pagePath AS page, start * 1000 + hit.time AS at_ms,
             coalesce(lead(hit.time) OVER (PARTITION BY visitor, visit ORDER BY hit.time, hit.hitNumber) - hit.time, 0)
               AS dwell
      FROM hits WHERE hit.type = 'PAGE')
    GROUP BY visitor, page HAVING sum(dwell) > 0"""
SHOP = """
    SELECT visitor, product.productSKU AS sku,
           sum(CASE hit.eCommerceAction.action_type WHEN '2' THEN 1 WHEN '3' THEN 4 ELSE 10 END), max(at_ms)
    FROM (SELECT visitor, hit, start * 1000 + hit.time AS at_ms, unnest(hit.product) AS product FROM hits)
    WHERE hit.eCommerceAction.action_type IN ('2', '3', '6') AND product.isImpression IS NOT TRUE
      AND product.productSKU NOT IN ('', '(not set)')
    GROUP BY visitor, sku"""


@needs_sample
@pytest.mark.parametrize(
    ("preset", "query", "figures"), [("ga360_pages", PAGES, (5347, 1186, 294)), ("ga360_shop", SHOP, (1033, 418, 265))]
)
def test_google_s_sample_has_the_pairs_that_sql_finds(tmp_path, preset, query, figures):
    duckdb = pytest.importorskip("duckdb")
    hits = f"""
        WITH hits AS (SELECT fullVisitorId AS visitor, visitId AS visit, visitStartTime AS start, unnest(hits) AS hit
                      FROM read_parquet('{SAMPLE}'))"""  # noqa: S608 - a path of our own
    expected = {
        (visitor.encode(), item.replace(" ", "%20").encode()): (float(amount), at)
        for visitor, item, amount, at in duckdb.connect().execute(hits + query).fetchall()
    }
    pairs, _ = interactions(settings(tmp_path, SAMPLE, source={"preset": preset}))
    assert pairs == expected
    assert (len(pairs), len({visitor for visitor, _ in pairs}), len({item for _, item in pairs})) == figures


def decoded(kind: pa.DataType) -> pa.DataType:
    """Return a type without dictionaries, which the writers of the sample do not know."""
    if pa.types.is_struct(kind):
        return pa.struct([item.with_type(decoded(item.type)) for item in kind])
    if pa.types.is_list(kind):
        return pa.list_(decoded(kind.value_type))
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@pytest.fixture(scope="module")
def sample_by_format(tmp_path_factory):
    """The paths of Google's sample in each format."""
    root = tmp_path_factory.mktemp("formats")
    batches = [raw.columns for raw in ExportReader(ga360.SCHEMA).read(str(SAMPLE))]
    schema = pa.schema(list(decoded(pa.struct(list(batches[0].schema)))))
    paths = {name: str(root / name) + suffix for name, (_, suffix) in FORMATS.items()}
    writers = [make(paths[name], schema) for name, (make, _) in FORMATS.items()]
    for batch in batches:
        rows = batch.to_pylist()
        for writer in writers:
            writer.write(rows)
    for writer in writers:
        writer.close()
    return paths


@needs_sample
@pytest.mark.parametrize("preset", ["ga360_pages", "ga360_shop"])
def test_google_s_sample_gives_the_same_bytes_in_every_format(sample_by_format, preset):
    source = source_of(SourceSettings(preset=preset, input="x"), RatingSettings())
    found = {}
    for name, path in sample_by_format.items():
        extracts = [source.extract(raw, "sample") for raw in source.read(path)]
        views, _ = source.interactions(from_bytes(to_bytes(one.table) for one in extracts))
        pairs, _ = source.combine(views)
        values = from_bytes(to_bytes(one.attributes) for one in extracts if one.attributes)
        table = add_up(values)
        rows = sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))
        counts = sum((one.counts for one in extracts), Counter())
        found[name] = (pairs.to_pylist(), rows, counts)
    assert found["ndjson"] == found["avro"] == found["parquet"]
    assert {name for _, name, *_ in found["avro"][1]} == ({b"title"} if preset == "ga360_pages" else SHOP_ATTRIBUTES)


def test_a_price_that_is_text_is_counted_and_costs_nothing_else(tmp_path):
    prices = {"a": "9500000", "b": "9 EUR", "c": None}
    hits = [action(1, 0, 6, *(product(sku, productPrice=price) for sku, price in prices.items()))]
    source = source_of(SourceSettings(preset="ga360_shop", input="x"), RatingSettings())
    (raw,) = source.read(str(write_ndjson(tmp_path / "in", [session("v", 1, hits)])))
    extract = source.extract(raw, "in")
    chosen = choose(
        [to_bytes(extract.attributes)], pa.array([b"a", b"b", b"c"]), {"price": "product.productPrice"}, "last"
    )
    assert (extract.table.num_rows, chosen.table["price"].to_pylist()) == (3, [9.5, None, None])
    assert chosen.counts["attributes.not_a_number.price"] == 1


def test_a_product_describes_the_page_of_its_hit_if_it_is_the_only_one(tmp_path):
    tea, pot = (product(name, v2ProductName=name, customDimensions=dimensions(_3=name)) for name in ("tea", "pot"))
    hits = [
        action(1, 0, 2, tea, page={"pagePath": "/tea"}, customDimensions=dimensions(_3="hot")),
        action(2, 5, 2, tea, pot, page={"pagePath": "/both"}),
        action(3, 9, 2, pot, tea | {"isImpression": True}, page={"pagePath": "/pot"}),
    ]
    pages = [{"event": "page", "item": "page"}]
    fields = {"title": "product.v2ProductName", "heat": "dimension.3"}
    source = source_of(SourceSettings(kind="ga360", signals=pages, attributes=fields, input="x"), RatingSettings())
    (raw,) = source.read(str(write_ndjson(tmp_path / "in", [session("v", 1, hits)])))
    values = source.extract(raw, "in").attributes.to_pylist()
    assert {(row["owner"], row["name"], row["value"]) for row in values} == {
        (b"/tea", b"title", b"tea"),
        (b"/pot", b"title", b"pot"),
        (b"/tea", b"heat", b"hot"),
    }, "a hit's dimension is not one of its product"


@needs_sample
def test_google_s_sample_names_its_products(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    query = f"""
        SELECT product.productSKU, max_by(product.v2ProductName, at_ms), max_by(product.productPrice, at_ms)
        FROM (SELECT hit, visitStartTime * 1000 + hit.time AS at_ms, unnest(hit.product) AS product
              FROM (SELECT visitStartTime, unnest(hits) AS hit FROM read_parquet('{SAMPLE}')))
        WHERE hit.eCommerceAction.action_type IN ('2', '3', '6') AND product.productSKU <> '(not set)'
        GROUP BY 1"""  # noqa: S608 - a path of our own
    expected = {sku.encode(): (name, price / 1e6) for sku, name, price in duckdb.connect().execute(query).fetchall()}
    settings_ = SourceSettings(preset="ga360_shop", input="x")
    source = source_of(settings_, RatingSettings())
    batches = [source.extract(raw, "sample").attributes for raw in source.read(str(SAMPLE))]
    ids = pa.array(sorted(expected), pa.binary())
    chosen = choose(map(to_bytes, filter(None, batches)), ids, settings_.item_attributes, "last").table
    found = dict(
        zip(ids.to_pylist(), zip(*(chosen[c].to_pylist() for c in ("title", "price")), strict=True), strict=True)
    )
    same = sum(found[sku] == expected[sku] for sku in expected)
    assert len(found) == 265 and same >= 260, "several names at one time are told apart in another way"
