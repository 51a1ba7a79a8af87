"""Settings of the source of interactions."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from configs.settings.section import Date, Section
from configs.settings.signals import (
    ANY_EVENT,
    PRESETS,
    PageSettings,
    PresetName,
    RecommendedSettings,
    Signal,
    problems_of_attributes,
    problems_of_user_attributes,
)

_NO_IDS = ("(not set)", "NULL", "NaN", "null", "undefined")
_NO_IDS_OF_GOOGLE, _NO_IDS_OF_PYTHON = ("(other)", "not available in demo dataset", "(data deleted)"), ("None", "nan")
# Settings that a preset of the command line takes the place of.
OF_PRESETS = ("kind", "signals", "attributes", "item_dimension_index", "item_parameter")
_NO_PAGE_RULES: Mapping[str, Any] = {"keep_parameters": (), "exclude": ()}
BIGQUERY = "bq://"  # before the name of a table, as in Vertex AI


def _as_character(value: Any) -> Any:
    return {"tab": "\t", "\\t": "\t"}.get(value, value) if isinstance(value, str) else value


Character = Annotated[str, BeforeValidator(_as_character), Field(pattern=r"^[\t -~]$")]


class CsvSettings(Section):
    """The dialect of a table's CSV files; each file's is detected as far as it is unset, and counted in the summary."""

    delimiter: Character | None = None
    """Character between columns, or tab. Unset: the one of comma, semicolon, tab and | by which the header has the
    columns."""
    quote: Character | Literal[""] | None = None
    """Character around values; "" if quotes mean nothing. Unset: ", or ' if only so the header has the columns."""
    escape: Character | None = None
    """Character before a quote within a value. Unset: such a quote is doubled."""
    encoding: str | None = None
    """Encoding as Python calls it, e.g. latin-1. Unset: UTF-8, or UTF-16 if the file begins with its mark."""
    header: bool = True
    """The first line names the columns; if false, they are called column1, column2 and so on."""

    def _problems(self) -> Iterator[str]:
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError:
            yield f"encoding {self.encoding} is not known; write e.g. latin-1, cp1252 or utf-16"
        characters = [value for value in (self.delimiter, self.quote, self.escape) if value]
        if len(set(characters)) < len(characters):
            yield "delimiter, quote and escape must differ"


class SourceSettings(Section):
    """The source of interactions, and which of them count."""

    kind: Literal["ga360", "ga4", "table"] = "ga360"
    """The format of the files: a GA360 or GA4 export, or a table; a preset implies it."""
    input: str | None = None
    """Glob of files, local or gs:// (** also matches /); or bq://PROJECT.DATASET.TABLE, with * for tables of days."""
    query: str | None = None
    """Table: file with a BigQuery query that returns the columns below; instead of input."""
    preset: PresetName | None = None
    """GA: signals, attributes and page rules that fit a kind of property; --explain_source prints them."""
    signals: tuple[Signal, ...] = ()
    """GA: what counts as interest, a list of event, item, weight, max_items, dwell, amount, half_life_days and
    recommend_again. Unset is that of the preset; without preset, the dwell on item_parameter or
    item_dimension_index."""
    page: PageSettings = PageSettings()
    """Rules that make one item of all URLs of a page: same_hosts, keep_host, keep_parameters, lower_case_path, include,
    exclude, pattern."""
    recommended: RecommendedSettings = RecommendedSettings()
    """GA: interest after a click on a recommendation: list_name, hours, weight."""
    attributes: dict[str, str] | None = None
    """GA: columns of items.parquet and their fields, e.g. {title: items.item_name}. Unset is that of the preset."""
    attribute_rule: Literal["last", "most_frequent"] = "last"
    """The value of an attribute that counts if an item has several; the others are counted."""
    user_attributes: dict[str, str] | None = None
    """GA: attributes of visitors and their fields, e.g. {country: geo.country}, which user_features needs. Unset is
    device, operating_system, language, country, source, medium and visitor_type, as far as user_features wants them."""
    user_attribute_rule: Literal["last", "most_frequent"] = "most_frequent"
    """The value of an attribute that counts if a visitor has several; the others are counted."""
    start_date: Date | None = None
    """First day of the window, inclusive."""
    end_date: Date | None = None
    """Last day of the window, inclusive."""
    window_days: int | None = Field(None, ge=1, le=36_500)
    """Number of days in a window that ends on end_date; instead of start_date."""
    include_intraday: bool = False
    """Read the fresh or else the intraday table of a day that has no final table."""
    item_dimension_index: PositiveInt = 10
    """GA360 without signals: index of the custom dimension with the contentId."""
    visitor_key: Literal["visitor", "visit"] = "visitor"
    """GA360: `visitor` is fullVisitorId, `visit` is fullVisitorId-visitNumber."""
    item_parameter: str = Field("content_id", min_length=1)
    """GA4 without signals: event parameter with the contentId; page_location follows the rules of `page`."""
    prefer_user_id: bool = False
    """GA4: identify visitors by user_id where it is set, else by user_pseudo_id."""
    drop_duplicate_events: bool = True
    """GA4: count events once that agree in user ids, name, timestamp, bundle, item and what they count."""
    visitor_column: str = "visitorId"
    """Table: column with the visitor's id."""
    item_column: str = "contentId"
    """Table: column with the item's id."""
    duration_column: str | None = None
    """Table: column with the dwell in ms, which is summed per pair."""
    rating_column: str | None = None
    """Table: column with a rating, or with an answer that rating.ordinal names. Of a pair's rows the one of the latest
    time counts, the greatest of several; without time_column the last one of a file."""
    csv: CsvSettings = CsvSettings()
    """Table: the dialect of CSV files."""
    time_column: str | None = None
    """Table: column with the time: a timestamp, a date, ISO 8601 text, YYYYMMDD, or a number."""
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Table: unit of times that are numbers since 1970; auto is ms. Times before 1990 or after 2099 are rejected, and
    the job fails if most are times in another unit."""
    missing_ids: tuple[str, ...] | None = None
    """Values that are not ids, in place of the default: (not set), NULL, NaN, null and undefined; in a table also None
    and nan, in an export also (other), (data deleted) and not available in demo dataset."""
    min_dwell_ms: NonNegativeFloat = 0
    """A pair of visitor and item with a smaller summed dwell is dropped and counted; not for signals that count."""
    max_dwell_ms: PositiveFloat | None = None
    """A greater summed dwell, such as of a tab left open, is capped at this and counted."""
    max_views_a_day: PositiveInt | None = None
    """A visitor with more views (each item of an event is one) on a day in UTC is a bot: left out, counted."""
    max_items_a_day: PositiveInt | None = None
    """A visitor with more distinct items on a day in UTC is a bot: left out, counted."""
    max_reject_fraction: float = Field(0.01, ge=0, le=1)
    """The job fails if a greater share of the rows is rejected, or of their hits, or of the items in these."""

    @model_validator(mode="before")
    @classmethod
    def _kind_of_preset(cls, tree: Any) -> Any:
        preset = tree.get("preset") if isinstance(tree, Mapping) else None
        if isinstance(preset, str) and preset in PRESETS and "kind" not in tree:
            return {**tree, "kind": PRESETS[preset].kind}
        return tree

    @property
    def all_signals(self) -> tuple[Signal, ...]:
        """The signals of a GA source: its own, else those of its preset, else dwell on one parameter or dimension."""
        if self.signals:
            return self.signals
        if self.preset in ("ga4_articles", None) and self.kind == "ga4":
            is_page = self.item_parameter == "page_location"
            item = "page" if is_page else f"param.{self.item_parameter}"
            return tuple(each.model_copy(update={"item": item}) for each in PRESETS["ga4_articles"].signals)
        if self.preset in ("ga360_dimension", None):
            item = f"dimension.{self.item_dimension_index}"
            return tuple(each.model_copy(update={"item": item}) for each in PRESETS["ga360_dimension"].signals)
        return PRESETS[self.preset].signals

    @property
    def events(self) -> tuple[str, ...] | None:
        """The names of the GA4 events that the signals count; null if any event may count, and for other kinds."""
        names = {name for signal in self.all_signals for name in signal.event} if self.kind == "ga4" else {ANY_EVENT}
        return None if ANY_EVENT in names else tuple(sorted(names))

    @property
    def item_attributes(self) -> Mapping[str, str]:
        """The fields of the items' attributes, by the name of their column."""
        if self.attributes is not None or self.preset is None:
            return self.attributes or {}
        return PRESETS[self.preset].attributes

    @property
    def visitor_attributes(self) -> Mapping[str, str]:
        """The fields of the visitors' attributes, by their names; none unless user_features needs some (`resolve`)."""
        return self.user_attributes or {}

    @property
    def page_rules(self) -> PageSettings:
        """The page rules, with those of the preset where `page` leaves one unset."""
        defaults = {**_NO_PAGE_RULES, **(PRESETS[self.preset].page if self.preset else {})}
        unset = {name: value for name, value in defaults.items() if getattr(self.page, name) is None}
        return self.page.model_copy(update=unset)

    @property
    def counts_dwell(self) -> bool:
        """True if the amount of an interaction is a dwell in ms; False if it is a count or a rating."""
        if self.kind == "table":
            return self.duration_column is not None
        return all(signal.dwell for signal in self.all_signals)

    @property
    def recommends_again(self) -> bool:
        """True if a signal lets its items be recommended again, so that pairs are marked."""
        return self.kind != "table" and any(signal.recommend_again for signal in self.all_signals)

    @property
    def filters_bots(self) -> bool:
        return self.max_views_a_day is not None or self.max_items_a_day is not None

    def _problems(self) -> Iterator[str]:
        yield from self._problems_of_signals()
        if self.window_days is not None and self.end_date is not None:
            first = self.end_date - datetime.timedelta(days=self.window_days - 1)
            if self.start_date not in (None, first):
                yield f"start_date {self.start_date} is not window_days {self.window_days} before end_date"
        if self.start_date and self.end_date and self.start_date > self.end_date:
            yield f"start_date {self.start_date} is after end_date {self.end_date}"
        if self.filters_bots and self.kind == "table" and not self.time_column:
            yield "max_views_a_day and max_items_a_day need time_column if the source is a table"
        if (self.min_dwell_ms or self.max_dwell_ms) and not self.counts_dwell:
            yield "min_dwell_ms and max_dwell_ms need signals that all have dwell, or a table with duration_column"
        if self.max_dwell_ms is not None and self.max_dwell_ms < self.min_dwell_ms:
            yield "max_dwell_ms is below min_dwell_ms"
        if self.duration_column and self.rating_column:
            yield "give duration_column or rating_column, not both"
        if self.query and self.kind != "table":
            yield "source.query needs source.kind table"
        if self.query and self.input:
            yield "give input or query, not both"

    def _problems_of_signals(self) -> Iterator[str]:
        if self.kind == "table":
            given = {"preset": bool(self.preset), "signals": bool(self.signals), "attributes": bool(self.attributes)}
            given["user_attributes"] = bool(self.user_attributes)
            given["page"], given["recommended"] = self._has_page_rules, bool(self.recommended.list_name)
            yield from (
                f"{name} is for exports of Google Analytics, not for kind table" for name, on in given.items() if on
            )
            return
        if self.preset and PRESETS[self.preset].kind != self.kind:
            yield f"preset {self.preset} is for kind {PRESETS[self.preset].kind}; remove kind {self.kind}"
        for number, signal in enumerate(self.signals, 1):
            yield from (f"signals, number {number}: {problem}" for problem in signal.problems(self.kind))
        if self.signals and all(signal.weight < 0 for signal in self.signals):
            yield "signals: all weights are below 0, so that no interest is left"
        if self.end_date is None and any(signal.half_life_days for signal in self.signals):
            yield "signals: half_life_days counts back from source.end_date; set that"
        if self._has_page_rules and "page" not in (*(s.item for s in self.all_signals), *self.item_attributes.values()):
            yield "page: no signal and no attribute has the field page, so its rules would change nothing; remove them"
        yield from problems_of_attributes(self.attributes or {}, self.kind)
        yield from problems_of_user_attributes(self.user_attributes or {}, self.kind)

    @property
    def _has_page_rules(self) -> bool:
        empty = {name: None for name in _NO_PAGE_RULES if not getattr(self.page, name)}
        return self.page.model_copy(update=empty) != PageSettings()

    @property
    def names_of_no_id(self) -> tuple[str, ...]:
        """The values that are written where an id is missing; a row with one has no visitor or no item."""
        if self.missing_ids is not None:
            return self.missing_ids
        return _NO_IDS + (_NO_IDS_OF_PYTHON if self.kind == "table" else _NO_IDS_OF_GOOGLE)

    @property
    def has_times(self) -> bool:
        """True if the source has times; without them, its interactions have the time 0."""
        return self.kind != "table" or self.time_column is not None

    @property
    def in_bigquery(self) -> bool:
        """True if the interactions come from BigQuery, False if they come from files."""
        return bool(self.query) or (self.input or "").startswith(BIGQUERY)
