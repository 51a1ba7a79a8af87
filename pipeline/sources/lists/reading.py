"""The fields and events of lists that are read next to those of the signals, and the module of a kind's events."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import OutcomeSettings, SourceSettings
from configs.settings.signals import Signal
from pipeline.interactions.recommended import CLICKS
from pipeline.readers.records import RawBatch
from pipeline.sources.extract import Extract
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists import ga4, ga360
from pipeline.sources.lists.rows import CLICK, KIND, OURS, Asked

_OF_LISTS: dict[str, tuple[ModuleType, Signal]] = {
    "ga4": (
        ga4,
        Signal(
            event=("view_item_list", "view_promotion", "select_item", "select_promotion", "add_to_cart", "purchase"),
            item="items.item_id",
        ),
    ),
    "ga360": (ga360, Signal(event=("click", "add_to_cart", "purchase"), item="product.productSKU")),
}


def module_of(source: SourceSettings) -> ModuleType | None:
    """Return the module whose `rows` reads lists, None for a table, which has none."""
    return _OF_LISTS[source.kind][0] if source.kind in _OF_LISTS else None


def wide(source: SourceSettings, asked: Asked) -> SourceSettings:
    """Return a source that also reads the fields and the events of lists; a table has none."""
    if source.kind not in _OF_LISTS:
        return source
    module, signal = _OF_LISTS[source.kind]
    more = {f"list_{number}": field for number, field in enumerate(module.fields(source, asked))}
    signals, attributes = (*source.all_signals, signal), {**source.item_attributes, **more}
    return source.model_copy(update={"signals": signals, "attributes": attributes})


class Clicks:
    """The clicks in the list of recommendations, of a source that tells the interest after them apart."""

    def __init__(self, source: SourceSettings):
        self._source, self._rules = source, PageRules(source.page_rules)
        self._asked = Asked(OutcomeSettings(list_name=source.recommended.list_name))

    @classmethod
    def of(cls, source: SourceSettings) -> Clicks | None:
        """Return the clicks of a source, None if it does not tell them apart."""
        return cls(source) if source.recommended.list_name else None

    def wide(self) -> SourceSettings:
        """Return the source that also reads lists."""
        return wide(self._source, self._asked)

    def extract(self, raw: RawBatch) -> Extract:
        """Return the clicks among some records, columns of pipeline.sources.lists.rows.ROWS."""
        module = module_of(self._source)
        if module is None:
            raise ValueError("a table has no lists")
        found = module.rows(raw, self._source, self._rules, self._asked)
        ours = pc.and_(found.table[OURS], pc.equal(found.table[KIND], pa.scalar(CLICK, pa.int8())))
        table = found.table.filter(ours)
        return Extract(table, [], Counter({CLICKS: table.num_rows} if table.num_rows else {}))
