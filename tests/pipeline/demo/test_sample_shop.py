"""The shop and the pages of pipeline.sample: what the presets find in them is what the rows have, by plain Python."""

import hashlib
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean, stdev
from urllib.parse import urlsplit

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import RatingSettings, SourceSettings
from pipeline.demo.sample.catalogue import make_catalogue
from pipeline.demo.sample.generate import Plan, Report
from pipeline.demo.sample.rows import pseudo_id
from pipeline.demo.sample.shop import NO_NAMES, Shop
from pipeline.interactions.columns import to_bytes
from pipeline.sources.items.attributes import choose
from pipeline.sources.select import source_of
from tests.support.exports import interactions, settings
from tests.support.samples import items_of, lines, make

PRESETS = ("ga360_pages", "ga360_shop", "ga4_pages", "ga4_shop")
WEIGHTS = {"view_item": 1, "detail": 1, "add_to_cart": 4, "purchase": 10}
ACTIONS = {"2": "detail", "3": "add_to_cart", "4": "remove_from_cart", "6": "purchase"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> tuple[Path, Report]:
    root = tmp_path_factory.mktemp("shop") / "export"
    return root, make(root, visitors=400, days=2, plan=Plan(PRESETS, ("ndjson",), 1))


def events_with_visitor(root: Path, layout: str) -> list[tuple[str, dict]]:
    events = lines(root, f"{layout}/*")
    return [(event["user_pseudo_id"], event) for event in events if "user_pseudo_id" in event]


class Found:
    """Amounts of pairs, and the names that are not ids."""

    def __init__(self):
        self.amounts, self.no_ids = defaultdict(float), Counter()

    def add(self, visitor: str, item: str | None, amount: float) -> None:
        if item in NO_NAMES:
            self.no_ids["items.skipped." + (f"not_an_id.{item}" if item else "no_item")] += 1
        else:
            self.amounts[visitor, item] += amount


def in_ga4_shop(root: Path) -> Found:
    found = Found()
    for visitor, event in events_with_visitor(root, "ga4_shop"):
        for item in event["items"] if event["event_name"] in WEIGHTS else ():
            found.add(visitor, item.get("item_id"), WEIGHTS[event["event_name"]])
    return found


def in_ga360_shop(root: Path) -> Found:
    found = Found()
    for session in lines(root, "ga360_shop/*"):
        for hit in session["hits"]:
            weight = WEIGHTS.get(ACTIONS.get(hit["eCommerceAction"]["action_type"]))
            for product in hit["product"] if weight else ():
                found.add(session["fullVisitorId"], product.get("productSKU"), weight)
    return found


def in_ga4_pages(root: Path) -> Found:
    found = Found()
    for visitor, event in events_with_visitor(root, "ga4_pages"):
        params = {p["key"]: next(iter(p["value"].values())) for p in event["event_params"]}
        if event["event_name"] != "session_start":
            page = params.get("page_location")
            if page not in NO_NAMES:
                url = urlsplit(page)
                page = f"example.com{re.sub('(/index.html|/)$', '', url.path) or '/'}"
            found.add(visitor, page, int(params.get("engagement_time_msec", 0)))
    found.no_ids = Counter({name.replace("items.", "records."): n for name, n in found.no_ids.items()})
    return found


def in_ga360_pages(root: Path) -> Found:
    found = Found()
    for session in lines(root, "ga360_pages/*"):
        assert not any(hit["customDimensions"] for hit in session["hits"])
        views = [hit for hit in session["hits"] if hit["type"] == "PAGE"]
        for view, following in zip(views, [*views[1:], views[-1]], strict=True):
            path, mark, query = (view["page"].get("pagePath") or "").partition("?")
            path = re.sub("(/index.html|/)$", "", path) or (path and "/")
            found.add(session["fullVisitorId"], path + mark + query, int(following["time"]) - int(view["time"]))
    return found


HOME_PAGE = ("/", "example.com/")
ORACLES = {
    "ga360_pages": in_ga360_pages,
    "ga360_shop": in_ga360_shop,
    "ga4_pages": in_ga4_pages,
    "ga4_shop": in_ga4_shop,
}


@pytest.mark.parametrize("layout", PRESETS)
def test_presets_read_the_layouts_of_their_names(sample, tmp_path, layout):
    root, _ = sample
    expected = ORACLES[layout](root)
    kind = layout.partition("_")[0]
    pairs, counts = interactions(settings(tmp_path, root / layout / "*", kind, source={"preset": layout}))
    above = {pair: amount for pair, amount in expected.amounts.items() if amount > 0 and pair[1] not in HOME_PAGE}
    assert {(visitor.decode(), item.decode()): amount for (visitor, item), (amount, _) in pairs.items()} == above
    assert len({visitor for visitor, _ in above}) == 400
    assert {name: counts[name] for name in expected.no_ids} == expected.no_ids
    assert any(name.endswith(".page_excluded") for name in counts) == layout.endswith("_pages")
    assert len(expected.no_ids) == 4 and not any(".rejected." in name for name in counts)


def test_both_shops_have_the_same_visits(sample):
    root, report = sample
    ga360, ga4 = in_ga360_shop(root), in_ga4_shop(root)
    assert ga4.amounts == {(pseudo_id(visitor), item): n for (visitor, item), n in ga360.amounts.items()}
    products = [p for session in lines(root, "ga360_shop/*") for hit in session["hits"] for p in hit["product"]]
    items = [item for event in lines(root, "ga4_shop/*") for item in event["items"]]
    assert report.total["ga360_shop products without id"] == sum(p.get("productSKU") in NO_NAMES for p in products)
    assert report.total["ga4_shop items without id"] == sum(item.get("item_id") in NO_NAMES for item in items)
    assert 0.003 < report.total["ga4_shop items without id"] / len(items) < 0.03


def test_a_purchase_is_of_what_is_in_the_cart_and_lists_have_twelve_items(sample):
    root, _ = sample
    names = Counter()
    for session in lines(root, "ga360_shop/*"):
        cart = Counter()
        for hit in session["hits"]:
            products, action = hit["product"], ACTIONS.get(hit["eCommerceAction"]["action_type"])
            keys = [tuple(sorted(product.items())) for product in products]
            names[action or ("list" if products else "page"), len(products) == 12] += 1
            assert [p.get("isImpression", False) for p in products] == [action is None] * len(products)
            cart.update(keys if action == "add_to_cart" else ())
            cart.subtract(keys if action == "remove_from_cart" else ())
            if action == "purchase":
                assert +cart == Counter(keys)
    assert {name for name, _ in names} == {"page", "list", *ACTIONS.values()}
    assert names["list", False] == 0 and 0 < names["detail", True] < names["list", True] < names["detail", False]
    assert names["detail", False] > names["add_to_cart", False] > names["purchase", False] > 10


@pytest.mark.parametrize("layout", ["ga360_shop", "ga4_shop"])
def test_the_attributes_are_those_of_the_products(sample, layout):
    root, _ = sample
    source, values = SourceSettings(preset=layout, input=str(root / layout / "*")), []
    for path in sorted((root / layout).iterdir()):
        reading = source_of(source, RatingSettings())
        values += [to_bytes(reading.extract(raw, path.name).attributes) for raw in reading.read(str(path))]
    shop = Shop(make_catalogue(60, 1))
    expected = {p["id"]: p for p in shop.products}
    variants = dict(zip(expected, shop.variants, strict=True))
    table, counts = choose(values, pa.array([name.encode() for name in expected]), source.item_attributes, "last")
    for product, row in zip(expected.values(), table.to_pylist(), strict=True):
        attributes = [row[name] for name in ("title", "brand", "category", "price")]
        assert attributes == [product[name] for name in ("name", "brand", "category", "price")]
        assert row["variant"] in variants[product["id"]]
    assert counts["attributes.several_values.variant"] > 50


def test_prices_are_log_normal_by_category():
    shop = Shop(make_catalogue(3000, 1))
    prices = defaultdict(list)
    for product in shop.products:
        prices[product["category"]].append(math.log(product["price"]))
    assert all(stdev(logs) == pytest.approx(0.5, abs=0.1) for logs in prices.values())
    assert stdev(map(mean, prices.values())) > 0.3
    assert len(set(shop.catalogue.titles)) == len(set(shop.catalogue.content_ids)) == 3000


def test_formats_have_the_same_rows_and_the_same_flags_the_same_bytes(tmp_path):
    plan = Plan(PRESETS, ("ndjson", "avro", "parquet"), 1)
    for name in ("a", "b"):
        make(tmp_path / name, visitors=12, items=13, days=2, plan=plan)
    assert items_of(tmp_path / "a") == items_of(tmp_path / "b")

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if inner is not None}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return str(value) if type(value) is int else value

    for layout in PRESETS:
        (path, *_) = sorted((tmp_path / "a" / f"{layout}-avro").iterdir())
        rows = lines(tmp_path / "a", f"{layout}/{path.stem}.ndjson.gz")
        with open(path, "rb") as file:
            assert [plain(row) for row in fastavro.reader(file)] == rows
        table = pq.read_table(tmp_path / "a" / f"{layout}-parquet" / f"{path.stem}.parquet")
        assert [plain(row) for row in table.to_pylist()] == rows


def test_the_magazine_stays_as_it_was(tmp_path):
    make(tmp_path)
    rows = [lines(tmp_path, f"{layout}/*") for layout in ("ga360", "ga4")]
    assert (
        hashlib.sha256(repr(rows).encode()).hexdigest()
        == "f304b7cf13cbd077a3f13d0617c9ca97ab25bd5ad3691e6a01b4b59b4c2ca33b"
    )
