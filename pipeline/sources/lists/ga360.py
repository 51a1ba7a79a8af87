"""GA360's products in lists -> rows: impressions and clicks, additions to the cart and purchases."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from configs.settings import SourceSettings
from pipeline.readers.records import RawBatch
from pipeline.sources import columns, times
from pipeline.sources.extract import Extract, Ledger, known_ids
from pipeline.sources.ga360 import visits_of
from pipeline.sources.hits.fields import Hits
from pipeline.sources.hits.schema import IS_CLICK, IS_IMPRESSION, LIST_POSITION, REVENUE
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists.rows import CART, CLICK, EXPOSURE, NOTHING, PURCHASE, Asked, Found, extract, item_field

_ACTIONS = {b"1": CLICK, b"3": CART, b"6": PURCHASE}
_PRODUCT = "product."
_NAME = "product.productListName"


def fields(source: SourceSettings, asked: Asked) -> tuple[str, ...]:
    """Return the fields that are read next to those of the signals."""
    version = asked.options.version_field
    own = (_NAME, _PRODUCT + LIST_POSITION, _PRODUCT + REVENUE, _PRODUCT + IS_CLICK, _item(source))
    return (*own, *([version] if version else []))


def rows(raw: RawBatch, source: SourceSettings, rules: PageRules, asked: Asked) -> Extract:
    """Return the rows of products in lists among sessions, with their account."""
    # The account of the sessions is kept with the signals, for which they are read once more.
    visits, sound = visits_of(raw.columns, raw.numbers, source, Ledger("", raw.numbers))
    hits = Hits(raw.columns, rules)
    time, has_time = times.durations(columns.field(hits.flat, "time"))
    at = hits.products()
    session = hits.session[at.hit]
    kinds = _kinds(hits, at.hit)
    kinds[~(sound[session] & has_time[at.hit])] = NOTHING
    version, missing = asked.options.version_field, pa.nulls(len(kinds), pa.binary())
    revenue, has_revenue = columns.floats(hits.values(_PRODUCT + REVENUE, at))
    found = Found(
        visitor=visits.visitor.take(pa.array(session)),
        item=columns.coded_ids(hits.values(_item(source), at)),
        times_ms=visits.start[session] + time[at.hit],
        kinds=kinds,
        names=[known_ids(columns.ids(hits.values(_NAME, at)), source)],
        positions=hits.values(_PRODUCT + LIST_POSITION, at),
        version=columns.ids(hits.values(version, at)) if version else missing,
        value=np.where(has_revenue, revenue / 1e6, np.nan),
    )
    return extract(found, asked, source)


def _item(source: SourceSettings) -> str:
    return item_field(source, (_PRODUCT, "dimension."), "product.productSKU")


def _kinds(hits: Hits, hit: np.ndarray) -> np.ndarray:
    """Return what each product is in its hit, int8[products]: an impression, or what the hit's action is about."""
    actions = columns.coded_ids(columns.field(columns.field(hits.flat, "eCommerceAction"), "action_type"))
    of_name = np.array([*(_ACTIONS.get(name, NOTHING) for name in actions.dictionary.to_pylist()), NOTHING], np.int8)
    kinds = of_name[actions.indices.fill_null(len(actions.dictionary)).to_numpy()][hit]
    kinds[hits.flags(IS_CLICK)] = CLICK
    kinds[hits.flags(IS_IMPRESSION)] = EXPOSURE
    return kinds
