"""The shop of the imaginary magazine: products in place of its articles, and what visitors do with them.

Product n has the category, the topic and the popularity of article n, so that a visit to the shop follows the tastes of
the visit to the magazine. Brand, price and variants are drawn from the product's id.
"""

from __future__ import annotations

import dataclasses
import random
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.demo.sample.catalogue import Catalogue
from pipeline.demo.sample.rows import Block, Row
from pipeline.demo.sample.titles import product
from pipeline.demo.sample.visits import HOME

# What real exports have in the place of a value.
NO_NAMES = ("(not set)", "(other)", "not available in demo dataset", "", None)
LIST, VIEW, ADD, REMOVE, BUY = "view_item_list", "view_item", "add_to_cart", "remove_from_cart", "purchase"
LISTED = 12

_BRANDS = ("Northwind", "Acorn & Daughters", "Halden", "Mistral", "Old Mill", "Papillon", "Quarry Lane", "Tern")
_VARIANTS = ("Black", "Blue", "Green", "Large", "Medium", "Natural", "Red", "Small", "White")
_PRICE_SPREAD = 0.5
_LONG_MS = 300_000  # who looks at a product for so long puts it into the cart
_MOST_CARTED = 0.35
# Shares: products put in the cart that are taken out again or bought by twos, carts that are bought, lists that the
# site's tag names view_item, and products whose id or another field is missing in a visit.
_REMOVED, _TWO, _BOUGHT, _MISNAMED, _NO_ID, _NO_FIELD = 0.15, 0.2, 0.6, 0.05, 0.01, 0.02


class Action(NamedTuple):
    """An event of a shop: ms since the visit's start, the view it is on (None: the home page), and its products.

    A product has id, name, brand, category, variant, price, and quantity once it is in the cart.
    """

    time_ms: int
    name: str
    view: int | None
    products: list[Row]


class Shop:
    """The products, and their catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Make a product of each item of the magazine's catalogue."""
        begins, names = catalogue.topic_begin, list[str]()
        for (group, topic), begin in np.ndenumerate(begins[:, :-1]):
            numbers = range(int(begins[group, topic + 1] - begin))
            names += [product(catalogue.categories[begin], topic, number) for number in numbers]
        ids = [f"SKU{content_id}" for content_id in catalogue.content_ids]
        self.catalogue = dataclasses.replace(catalogue, content_ids=ids, titles=names)
        self.products = list(map(_product, ids, names, catalogue.categories))
        self.variants = [_random(product_id, "variants").sample(_VARIANTS, 3) for product_id in ids]
        self._cumulative = catalogue.cumulative.tolist()

    def actions(self, block: Block, session: int) -> Iterator[Action]:
        """Yield what happens in a visit, in the order of time."""
        rng = _random(*block.seed, session)
        cart: list[Row] = []
        time_ms, place = 0, None
        for view in block.views(session):
            item, time_ms, dwell_ms = block.item[view], block.page_ms[view], block.dwell_ms[view]
            place = None if item == HOME else view
            if item == HOME or block.home_ms[view]:
                name = VIEW if rng.random() < _MISNAMED else LIST
                yield Action(time_ms - block.home_ms[view], name, None, self._list(rng))
            if item == HOME:
                continue
            seen = self._seen(rng, item)
            yield Action(time_ms, VIEW, view, [seen])
            if rng.random() < min(dwell_ms / _LONG_MS, _MOST_CARTED):
                seen = {**seen, "quantity": 1 + (rng.random() < _TWO)}
                yield Action(time_ms + dwell_ms // 2, ADD, view, [seen])
                if rng.random() < _REMOVED:
                    yield Action(time_ms + dwell_ms, REMOVE, view, [seen])
                else:
                    cart.append(seen)
        if cart and rng.random() < _BOUGHT:
            yield Action(time_ms, BUY, place, cart)

    def _list(self, rng: random.Random) -> list[Row]:
        """Return a list of neighbours, which share a category or two; popular ones are in more lists."""
        size = len(self.products)
        first = bisect_right(self._cumulative, rng.random()) - 1
        return [self._seen(rng, (first + nth) % size) for nth in range(min(LISTED, size))]

    def _seen(self, rng: random.Random, item: int) -> Row:
        """Return a product as one visit sees it: with its variant, and sometimes without an id or another field."""
        seen = {**self.products[item], "variant": rng.choice(self.variants[item])}
        if rng.random() < _NO_ID:
            seen["id"] = rng.choice(NO_NAMES)
        if rng.random() < _NO_FIELD:
            seen[rng.choice(("name", "brand", "category", "variant"))] = rng.choice(NO_NAMES)
        return seen


def _product(product_id: str, name: str, category: str) -> Row:
    rng, typical = _random(product_id), _random(category).uniform(2, 4)
    price = round(rng.lognormvariate(typical, _PRICE_SPREAD), 2)
    return {"id": product_id, "name": name, "brand": rng.choice(_BRANDS), "category": category, "price": price}


def _random(*seed: object) -> random.Random:
    return random.Random(f"{seed}")  # noqa: S311 - not for secrets
