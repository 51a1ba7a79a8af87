"""Look up what hits are about: the values of a signal's or an attribute's field, by rows of hits and their products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import columns
from pipeline.sources.columns import NOTHING, taken
from pipeline.sources.extract import column
from pipeline.sources.hits.dimensions import Dimensions, parents
from pipeline.sources.hits.schema import DIMENSIONS, HITS, IS_IMPRESSION, MICROS, PAGE, PRODUCT, SCREEN
from pipeline.sources.items.attributes import Located
from pipeline.sources.items.pages import PageRules, Pages


class Scopes(NamedTuple):
    """Custom dimensions, the narrowest scope first."""

    product: Dimensions
    hit: Dimensions
    session: Dimensions


class Rows(NamedTuple):
    """Rows as signals see them: a hit, or one of its products, int64[n] each; NOTHING for the hit itself."""

    hit: np.ndarray
    product: np.ndarray

    def take(self, places: np.ndarray) -> Rows:
        return Rows(self.hit[places], self.product[places])


class Hits:
    """The hits of a batch of sessions, as flat columns."""

    def __init__(self, sessions: pa.RecordBatch, rules: PageRules):
        """Take the hits of sessions with fields of pipeline.sources.hits.schema, without nulls in `hits`."""
        lists = column(sessions, HITS)
        is_empty = pa.types.is_null(lists.type)
        self.session = np.zeros(0, np.int64) if is_empty else parents(lists)
        self.flat = pa.array([], pa.struct([])) if is_empty else pc.list_flatten(lists)
        self._sessions, self._rules = sessions, rules

    def __len__(self) -> int:
        return len(self.session)

    def rows(self, item: str, matched: Sequence[np.ndarray]) -> list[Rows]:
        """Return what each of some signals looks at for an item: the products of its hits, in their order, or the hits.

        A hit without the products that an item needs has a row without product.

        Args:
            matched: the hits of each signal, bool[hits].
        """
        is_of_product = self._is_of_product(item)
        if not is_of_product.any():
            return [Rows(at, np.full(len(at), NOTHING)) for at in map(np.flatnonzero, matched)]
        product = np.flatnonzero(is_of_product & np.any(matched, axis=0)[self._hit_of_product])
        hit = self._hit_of_product[product]
        return [self._with_hits_alone(Rows(hit, product).take(np.flatnonzero(hits[hit])), hits) for hits in matched]

    def _with_hits_alone(self, rows: Rows, hits: np.ndarray) -> Rows:
        """Return rows of products and, in their order, those of the hits bool[hits] that have none."""
        hit, product = rows
        alone = hits.copy()
        alone[hit] = False
        alone_at = np.flatnonzero(alone)
        if not len(alone_at):
            return Rows(hit, product)
        rows = Rows(np.append(hit, alone_at), np.append(product, np.full(len(alone_at), NOTHING)))
        return rows.take(np.argsort(rows.hit, kind="stable"))

    def products(self) -> Rows:
        """Return all products of all hits, those too that are only shown in a list."""
        return Rows(self._hit_of_product, np.arange(len(self._hit_of_product)))

    def values(self, field: str, rows: Rows) -> pa.Array:
        """Return the value of a field in each row, text, numbers or ID [n]; null where there is none."""
        return taken(*self._located(field, rows))

    def _located(self, field: str, rows: Rows) -> Located:
        kind, _, name = field.partition(".")
        if kind == "product":
            return Located(columns.field(self._products, name), rows.product)
        if kind == "dimension":
            return Located.of_rows(self._dimension(int(name), rows))
        if kind == "page":
            return Located.of_rows(self.pages(rows).ids)
        parent, child = {
            "page_title": (PAGE, "pageTitle"),
            SCREEN: ("appInfo", "screenName"),
            "content_group": ("contentGroup", f"contentGroup{name}"),
            "event": ("eventInfo", name),
        }[kind]
        return self._of_hits(parent, child, rows)

    def described(self, fields: Mapping[str, str], rows: Rows) -> dict[str, Located]:
        """Return the values of the attributes' fields in each row, text or numbers.

        A product's field describes an item of another kind where the hit has just one product. Prices are in units of
        the currency, not in millionths.
        """
        of_products = {name for name, field in fields.items() if field.startswith("product.")}
        whole = self._with_products_alone(rows) if of_products else rows
        values = {}
        for name, field in fields.items():
            values[name] = self._located(field, whole if name in of_products else rows)
            if name in of_products and field.removeprefix("product.") in MICROS:
                values[name] = Located.of_rows(_prices(taken(*values[name])))
        return values

    def _with_products_alone(self, rows: Rows) -> Rows:
        """Return rows in which a hit itself has its product, if it has just one."""
        alone = rows.product == NOTHING
        return Rows(rows.hit, np.where(alone, self._only[rows.hit], rows.product)) if alone.any() else rows

    def pages(self, rows: Rows) -> Pages:
        """Return the pages of rows under the page rules; GA360's path has no host."""
        return self._rules.of(taken(*self._of_hits(PAGE, "pagePath", rows)))

    def number(self, hit: int) -> object:
        """Return the hitNumber of a hit as the export has it, for the account."""
        return columns.field(self.flat, "hitNumber")[hit].as_py()

    def seen(self, hits: np.ndarray) -> Counter[int]:
        """Return how often hits, bool[hits], their products and their sessions have each custom dimension."""
        sessions = np.zeros(len(self._sessions), bool)
        sessions[self.session[hits]] = True
        of_product, of_hit, of_session = self.dimensions
        numbers = of_hit.seen(hits) + of_session.seen(sessions)
        if len(of_product):
            numbers += of_product.seen(hits[self._hit_of_product] & self._is_seen)
        return numbers

    def amounts(self, amount: str, rows: Rows) -> np.ndarray:
        """Return what each row counts before its weight, float64[n]; below 0 where that is not a number.

        A product without quantity counts 1; an event without value is left out, with -inf.
        """
        if amount == "count":
            return np.ones(len(rows.hit))
        is_quantity = amount == "quantity"
        values = self.values("product.productQuantity" if is_quantity else amount, rows)
        numbers, sound = columns.floats(values)
        missing = values.is_null().to_numpy(zero_copy_only=False)
        numbers[~sound] = -1
        numbers[missing] = 1 if is_quantity else -np.inf
        return numbers

    def _of_hits(self, parent: str, child: str, rows: Rows) -> Located:
        return Located(columns.field(columns.field(self.flat, parent), child), rows.hit)

    @cached_property
    def dimensions(self) -> Scopes:
        """The custom dimensions of products, hits and sessions."""
        lists = (columns.field(self._products, DIMENSIONS), columns.field(self.flat, DIMENSIONS))
        return Scopes(*map(Dimensions, (*lists, column(self._sessions, DIMENSIONS))))

    @cached_property
    def _products(self) -> pa.Array:
        lists = columns.field(self.flat, PRODUCT)
        return pa.array([], pa.struct([])) if pa.types.is_null(lists.type) else pc.list_flatten(lists)

    @cached_property
    def _hit_of_product(self) -> np.ndarray:
        lists = columns.field(self.flat, PRODUCT)
        return np.zeros(0, np.int64) if pa.types.is_null(lists.type) else parents(lists)

    def flags(self, name: str) -> np.ndarray:
        """Return a field of products that is true or false, bool[products]; a null is false."""
        flags = columns.field(self._products, name)
        if not pa.types.is_boolean(flags.type):  # text of other tools
            flags = pc.is_in(columns.ids(flags), value_set=pa.array([b"true", b"1"]))
        return flags.fill_null(False).to_numpy(zero_copy_only=False)

    @cached_property
    def _is_seen(self) -> np.ndarray:
        """Products that are more than an impression in a list, bool[products]."""
        return ~self.flags(IS_IMPRESSION)

    @cached_property
    def _only(self) -> np.ndarray:
        """The product of each hit that has just one, int64[hits]; else NOTHING."""
        products = np.flatnonzero(self._is_seen)
        of_hit = self._hit_of_product[products]
        only = np.full(len(self), NOTHING)
        only[of_hit] = products
        only[np.bincount(of_hit, minlength=len(self)) > 1] = NOTHING
        return only

    def _is_of_product(self, item: str) -> np.ndarray:
        """Return which products are rows of their own for an item, bool[products]."""
        kind, _, name = item.partition(".")
        if kind == "product":
            return self._is_seen
        if kind == "dimension":
            return self._is_seen & (self.dimensions.product.choose(int(name)).place[:-1] != NOTHING)
        return np.zeros(0, bool)

    def _dimension(self, index: int, rows: Rows) -> pa.Array:
        """Return a dimension in the narrowest scope that has it: the product, the hit, or the session."""
        owners = (rows.product, rows.hit, self.session[rows.hit])
        chosen = [dimensions.choose(index) for dimensions in self.dimensions]
        scopes = [(one, owner) for one, owner in zip(chosen, owners, strict=True) if len(one.values)]
        if not scopes:
            return pa.nulls(len(rows.hit), pa.binary())
        return pc.coalesce(*(taken(one.values, one.place[owner]) for one, owner in scopes))


def _prices(micros: pa.Array) -> pa.Array:
    """Return prices of millionths, float64; text is NaN, which is counted as attributes.not_a_number."""
    numbers, is_number = columns.floats(micros)
    prices = pa.array(np.where(is_number, numbers / 1e6, np.nan))
    return pc.if_else(micros.is_valid(), prices, pa.scalar(None, pa.float64()))
