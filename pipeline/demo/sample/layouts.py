"""Layouts without the magazine's ids: exports that have only pages, and a shop's with products.

Each is named for the preset that reads it: ga360_pages, ga4_pages, ga360_shop, ga4_shop.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa

from pipeline.demo.sample.catalogue import Catalogue
from pipeline.demo.sample.rows import GA4_SCHEMA, GA360_SCHEMA, SITE, SUFFIXES, Block, Ga4, Ga360, Number, Row, text
from pipeline.demo.sample.shop import ADD, BUY, LIST, NO_NAMES, REMOVE, VIEW, Shop

# The spellings of one page's address: hosts, and ends of the path.
_HOSTS = (SITE, "https://www.example.com", "https://m.example.com", "HTTP://WWW.EXAMPLE.COM:80")
_ENDS = ("", "", "/", "/index.html", "?gclid=Cj0")

# The fields of a product, and their names in both exports.
_FIELDS = ("id", "name", "category", "brand", "variant", "price", "quantity")
_GA4_FIELDS = ("item_id", "item_name", "item_category", "item_brand", "item_variant", "price", "quantity")
_GA360_FIELDS = (
    *("productSKU", "v2ProductName", "v2ProductCategory"),
    *("productBrand", "productVariant", "productPrice", "productQuantity"),
)
_ACTION_TYPES = {LIST: "0", VIEW: "2", ADD: "3", REMOVE: "4", BUY: "6"}
_NUMBERS = {"price": pa.float64(), "productPrice": pa.int64(), "quantity": pa.int64(), "productQuantity": pa.int64()}


def _products(names: Sequence[str], **more: pa.DataType) -> pa.ListType:
    return pa.list_(pa.struct({**{name: _NUMBERS.get(name, pa.string()) for name in names}, **more}))


_SHOP_HIT = {
    **{field.name: field.type for field in GA360_SCHEMA.field("hits").type.value_type},
    "eCommerceAction": pa.struct({"action_type": pa.string()}),
    "product": _products(_GA360_FIELDS, isImpression=pa.bool_()),
}


class Ga360Pages(Ga360):
    """Rows of ga_sessions_YYYYMMDD that tell items by pagePath alone."""

    def _timeline(self, block: Block, session: int) -> Iterator[tuple[int, Row]]:
        for time_ms, hit in super()._timeline(block, session):
            yield time_ms, {**hit, "customDimensions": []}

    def _page(self, block: Block, view: int) -> Row:
        page = self._pages[block.item[view]]
        path = _address(block, view, page["pagePath"], ("",))
        return _without_nulls({"pagePath": path and path.partition("#")[0], "pageTitle": page["pageTitle"]})


class Ga4Pages(Ga4):
    """Rows of events_YYYYMMDD that tell items by page_location alone."""

    def _page(self, block: Block, view: int) -> list[Row]:
        item = block.item[view]
        location = _address(block, view, self._paths[item], _HOSTS)
        return [*([] if location is None else [text("page_location", location)]), self._titles[item]]


class Ga360Shop(Ga360Pages):
    """Rows of ga_sessions_YYYYMMDD with products; an action is a hit of its own, as tag managers send it."""

    schema = GA360_SCHEMA.set(GA360_SCHEMA.get_field_index("hits"), pa.field("hits", pa.list_(pa.struct(_SHOP_HIT))))

    def __init__(self, catalogue: Catalogue, number: Number) -> None:
        self._shop = Shop(catalogue)
        super().__init__(self._shop.catalogue, number)

    @staticmethod
    def count(rows: Sequence[Row]) -> dict[str, int]:
        """Return the number of sessions and hits in the rows, and of products that have no id."""
        ids = (product.get("productSKU") for row in rows for hit in row["hits"] for product in hit["product"])
        return {**Ga360.count(rows), "products without id": sum(name in NO_NAMES for name in ids)}

    def _timeline(self, block: Block, session: int) -> Iterator[tuple[int, Row]]:
        none = {"eCommerceAction": {"action_type": "0"}, "product": []}
        pages = ((time_ms, {**hit, **none}) for time_ms, hit in super()._timeline(block, session))
        return heapq.merge(pages, self._actions(block, session), key=itemgetter(0))

    def _actions(self, block: Block, session: int) -> Iterator[tuple[int, Row]]:
        for time_ms, name, view, products in self._shop.actions(block, session):
            hit = self._hit("EVENT", self._home if view is None else self._page(block, view), [])
            shown = {"isImpression": True} if name == LIST else {}
            action = {"action_type": _ACTION_TYPES[name]}
            yield time_ms, {**hit, "eCommerceAction": action, "product": [self._row(each) | shown for each in products]}

    def _row(self, product: Row) -> Row:
        numbers = {"price": self._number(round(product["price"] * 100) * 10_000)}
        if "quantity" in product:
            numbers["quantity"] = self._number(product["quantity"])
        return _renamed({**product, **numbers}, _GA360_FIELDS)


class Ga4Shop(Ga4Pages):
    """Rows of events_YYYYMMDD with items."""

    schema = GA4_SCHEMA.append(pa.field("items", _products(_GA4_FIELDS)))

    def __init__(self, catalogue: Catalogue, number: Number) -> None:
        self._shop = Shop(catalogue)
        super().__init__(self._shop.catalogue, number)

    @staticmethod
    def count(rows: Sequence[Row]) -> dict[str, int]:
        """Return the number of events in the rows, of those without consent, and of items that have no id."""
        ids = (item.get("item_id") for row in rows for item in row["items"])
        return {**Ga4.count(rows), "items without id": sum(name in NO_NAMES for name in ids)}

    def _timeline(self, block: Block, session: int, session_id: list[Row]) -> Iterator[tuple[int, Row]]:
        pages = ((time_ms, {**event, "items": []}) for time_ms, event in super()._timeline(block, session, session_id))
        return heapq.merge(pages, self._actions(block, session, session_id), key=itemgetter(0))

    def _actions(self, block: Block, session: int, session_id: list[Row]) -> Iterator[tuple[int, Row]]:
        for time_ms, name, view, products in self._shop.actions(block, session):
            page = self._home if view is None else self._page(block, view)
            items = [self._row(product) for product in products]
            yield time_ms, {"event_name": name, "event_params": session_id + page, "items": items}

    def _row(self, product: Row) -> Row:
        if "quantity" in product:
            product = {**product, "quantity": self._number(product["quantity"])}
        return _renamed(product, _GA4_FIELDS)


def _address(block: Block, view: int, path: str, hosts: Sequence[str]) -> str | None:
    """Return a spelling of a page's address; a few are names of none."""
    draw, campaign = block.draw[view], block.campaign[view]
    if draw < len(NO_NAMES):
        return NO_NAMES[draw]
    end = SUFFIXES[campaign] if campaign >= 0 else _ENDS[draw // len(hosts) % len(_ENDS)]
    return hosts[draw % len(hosts)] + path + end


def _renamed(product: Row, names: Sequence[str]) -> Row:
    return _without_nulls({name: product.get(field) for field, name in zip(_FIELDS, names, strict=True)})


def _without_nulls(row: dict[str, Any]) -> Row:
    return {name: value for name, value in row.items() if value is not None}
