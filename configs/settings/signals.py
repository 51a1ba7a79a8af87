"""Settings of what counts as interest: signals, page URLs, item attributes, presets of these, and live events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from configs.settings.section import Section

ANY_EVENT = "*"

# A smaller weight would be rounded away (pipeline.sources.items.strengths), a sum of greater ones exceed float32.
_LEAST_WEIGHT, _GREATEST_WEIGHT = 1e-6, 1e6

# Fields of GA4's items[] and of GA360's hits.product that name or describe an item.
GA4_ITEM_FIELDS = (
    *("item_id", "item_name", "item_brand", "item_variant", "item_category", "item_category2", "item_category3"),
    *("item_category4", "item_category5", "price_in_usd", "price", "coupon", "affiliation", "location_id"),
    *("item_list_id", "item_list_name", "promotion_id", "promotion_name", "creative_name", "creative_slot"),
)
GA360_PRODUCT_FIELDS = (
    *("productSKU", "v2ProductName", "v2ProductCategory", "productVariant", "productBrand", "productPrice"),
    *("localProductPrice", "productCouponCode", "productListName"),
)
NUMBERS = ("items.price", "items.price_in_usd", "product.productPrice", "product.localProductPrice")
# Columns of items.parquet that are not attributes.
RESERVED = ("visitors", "popularity", "recent_popularity", "mean_rating", "first_time_ms", "last_time_ms")
_FIELDS = {
    "ga4": (
        *(f"items.{name}" for name in GA4_ITEM_FIELDS),
        *("param.NAME", "page", "page_title", "screen"),
    ),
    "ga360": (
        *(f"product.{name}" for name in GA360_PRODUCT_FIELDS),
        *("page", "page_title", "screen", "dimension.N", "content_group.N"),
        *("event.eventCategory", "event.eventAction", "event.eventLabel"),
    ),
}
# Fields of a visitor, and those that user_features reads unless source.user_attributes names others. A city, a network
# or a device's model would single out too many.
_VISITOR_FIELDS = {
    "ga4": (
        *("device.category", "device.operating_system", "device.language", "device.web_info.browser", "platform"),
        *("geo.continent", "geo.sub_continent", "geo.country", "geo.region"),
        *("traffic_source.source", "traffic_source.medium", "traffic_source.name"),
        *("visitor_type", "user_property.NAME"),
    ),
    "ga360": (
        *("device.deviceCategory", "device.operatingSystem", "device.language", "device.browser", "channelGrouping"),
        *("geoNetwork.continent", "geoNetwork.subContinent", "geoNetwork.country", "geoNetwork.region"),
        *("trafficSource.source", "trafficSource.medium", "trafficSource.campaign"),
        *("visitor_type", "dimension.N"),
    ),
}
USER_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "ga4": {
        "device": "device.category",
        "operating_system": "device.operating_system",
        "language": "device.language",
        "country": "geo.country",
        "source": "traffic_source.source",
        "medium": "traffic_source.medium",
        "visitor_type": "visitor_type",
    },
    "ga360": {
        "device": "device.deviceCategory",
        "operating_system": "device.operatingSystem",
        "language": "device.language",
        "country": "geoNetwork.country",
        "source": "trafficSource.source",
        "medium": "trafficSource.medium",
        "visitor_type": "visitor_type",
    },
    "table": {},
}
_AMOUNTS = {"ga4": ("count", "quantity", "param.NAME"), "ga360": ("count", "quantity", "event.eventValue")}
_PATTERNS = {
    "param.NAME": r"param\..+",
    "user_property.NAME": r"user_property\..+",
    "dimension.N": r"dimension\.[1-9][0-9]{0,2}",
    "content_group.N": r"content_group\.[1-5]",
}


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Signal(Section):
    """One kind of interest: events, the field with the item's id, and the amount of each occurrence."""

    event: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """Name of a GA4 event, or a list of names; * is any. GA360: page, screen, detail, click, add_to_cart,
    remove_from_cart, checkout, purchase, or a hit's event category."""
    item: str
    """Field with the item's id, e.g. items.item_id, param.NAME, page; GA360: product.productSKU, dimension.N, page."""
    weight: float = 1
    """Factor of the amount. A weight below 0 takes interest away, such as of remove_from_cart or refund."""
    max_items: PositiveInt | None = None
    """An event with more items is a list and shows no interest: skipped, counted. Unset counts all items."""
    dwell: bool = False
    """True: the amount is the dwell in ms, or in minutes if other signals count events."""
    amount: str = "count"
    """The amount of an occurrence: count (1), quantity, param.NAME of GA4, or event.eventValue of GA360."""
    half_life_days: PositiveFloat | None = None
    """Days before source.end_date after which an occurrence counts half; unset counts all equally."""
    recommend_again: bool = False
    """True: the item may be recommended to the visitor again, unless a signal without this found it too."""

    def problems(self, kind: str) -> Iterator[str]:
        """Yield what is wrong with the signal for a source of a kind."""
        if not _is_one_of(self.item, _FIELDS[kind]):
            yield f"item {self.item} is not a field of {kind} (known: {', '.join(_FIELDS[kind])})"
        if not _is_one_of(self.amount, _AMOUNTS[kind]):
            yield f"amount {self.amount} is not an amount of {kind} (known: {', '.join(_AMOUNTS[kind])})"
        if kind == "ga360" and self.dwell and not {*self.event} <= {"page", "screen"}:
            yield f"dwell is of the events page and screen, not of {', '.join(self.event)}"
        if self.amount == "quantity" and not self.item.startswith(("items.", "product.")):
            yield f"amount quantity needs an item in {'items' if kind == 'ga4' else 'product'}, not {self.item}"

        if self.max_items and not self.item.startswith(("items.", "product.", "dimension.")):
            yield f"max_items needs an item in {'items' if kind == 'ga4' else 'product'}, not {self.item}"

    def _problems(self) -> Iterator[str]:
        if self.weight == 0:
            yield "a weight of 0 counts nothing; remove the signal"
        elif not _LEAST_WEIGHT <= abs(self.weight) <= _GREATEST_WEIGHT:
            yield f"a weight of {self.weight} is too small or too large; weights are relative, such as 1, 4 and 10"
        if self.dwell and self.weight < 0:
            yield "the weight of a dwell must be above 0"
        if self.dwell and self.amount != "count":
            yield "give dwell or amount, not both"


class PageSettings(Section):
    """Rules that make one item's id of all URLs of a page; they apply to `page`, in the order given here.

    Always left out are scheme, user, default port, a slash or index.html, .htm, .php at the end; hosts are in
    lower case, percent-encodings in one spelling. Expressions see what is left of a page: example.com/article/12.
    """

    same_hosts: tuple[str, ...] = ("www", "m", "amp")
    """First labels of a host name that are left out: www.example.com is example.com."""
    keep_host: bool = True
    """False leaves out the host, so that the id is the path; GA360's pages never have a host."""
    keep_parameters: tuple[str, ...] | Literal["all"] | None = None
    """Parameters of the query that are part of the id, or all. Unset is none, and all for preset ga360_pages."""
    keep_fragment: bool = False
    """True: what follows # is part of the id, as in single-page apps whose pages are /#/article/12."""
    lower_case_path: bool = False
    """True: the path is case-insensitive."""
    include: tuple[str, ...] = ()
    """RE2 expressions of pages that are items; unset accepts all pages."""
    exclude: tuple[str, ...] | None = None
    """RE2 expressions of pages that are not items, such as search and checkout. Unset is none, and the home page for
    presets ga4_pages and ga360_pages."""
    pattern: str | None = None
    """RE2 expression whose first group is the item's id, e.g. /article/([0-9]+); other pages are not items."""


class RecommendedSettings(Section):
    """Interest after a click on a recommendation, told from other interest, so that a model can be kept from feeding on
    itself.
    """

    list_name: str | None = None
    """Name or id of the list in which the site shows recommendations, as in outcome.list_name; unset tells nothing
    apart."""
    hours: PositiveFloat = 24
    """Hours after a click in this list in which interest of the visitor in the item counts as due to it."""
    weight: float = Field(1, ge=0, le=1)
    """Factor of what such interest counts; 1 only counts how much there is, 0 leaves it out."""


class EventSettings(Section):
    """Events between two trainings: POST /events takes them, and recommendations count them at once."""

    accept: bool = False
    """Let POST /events take events in the shape of GA4's Measurement Protocol, and recommend by them too."""
    store: str = Field("data/events.sqlite", min_length=1)
    """Where the views are kept: a file that all servers of one machine share, or redis://HOST:PORT/DB for several
    machines, with rediss:// for TLS."""
    fsync: bool = True
    """File: answer once the disk has the events. False: once the operating system has them, so that a server that is
    killed loses none, and a loss of power may."""
    keep_days: PositiveFloat = 7
    """Days after which a view is removed; older events are not taken."""
    max_per_visitor: PositiveInt = 200
    """Largest number of views of a visitor that are kept; the newest are."""
    max_events: PositiveInt = 100
    """Largest number of events in a request; GA4 itself takes 25."""
    max_items: PositiveInt = 200
    """Largest number of items in one event of a request."""
    signals: tuple[Signal, ...] = ()
    """What counts as interest, as in source.signals, with amounts in the unit of the source. Unset is what counts for
    the source, which must be of kind ga4; an export of GA360 and a table need signals here."""
    timeout_seconds: PositiveFloat = 1.0
    """Seconds that a request waits for the store. Then events are answered 503, and recommendations without them."""
    redis_password_env: str | None = None
    """Environment variable with the password of Redis, so that no config contains it."""

    @property
    def is_shared(self) -> bool:
        """True if the views are in Redis, False if they are in a file."""
        return "://" in self.store

    def _problems(self) -> Iterator[str]:
        if self.is_shared and not self.store.startswith(("redis://", "rediss://", "unix://")):
            yield "store must be a file of this machine, redis://HOST:PORT/DB or rediss://HOST:PORT/DB"
        for number, signal in enumerate(self.signals, 1):
            yield from (f"signals, number {number}: {problem}" for problem in signal.problems("ga4"))
        if self.signals and all(signal.weight < 0 for signal in self.signals):
            yield "signals: all weights are below 0, so that no interest is left"


class Preset(NamedTuple):
    """Settings of `source` that fit one kind of property."""

    kind: Literal["ga360", "ga4"]
    signals: tuple[Signal, ...]
    attributes: Mapping[str, str]
    page: Mapping[str, Any] = {}  # of what the page rules leave unset


def _weighed(item: str, **weights: float) -> tuple[Signal, ...]:
    return tuple(Signal(event=(event,), item=item, weight=weight) for event, weight in weights.items())


_HOME_PAGE = ("^[^/]*/$",)  # each visitor finds it without a recommendation
_GA4_SHOP = {
    "title": "items.item_name",
    "brand": "items.item_brand",
    "category": "items.item_category",
    "variant": "items.item_variant",
    "price": "items.price",
}
_GA360_SHOP = {
    "title": "product.v2ProductName",
    "brand": "product.productBrand",
    "category": "product.v2ProductCategory",
    "variant": "product.productVariant",
    "price": "product.productPrice",
}
PRESETS: Mapping[str, Preset] = {
    "ga4_shop": Preset("ga4", _weighed("items.item_id", purchase=10, add_to_cart=4, view_item=1), _GA4_SHOP),
    "ga4_pages": Preset(
        "ga4",
        (Signal(event=("user_engagement", "scroll", "page_view"), item="page", dwell=True),),
        {"title": "page_title"},
        {"exclude": _HOME_PAGE},
    ),
    "ga4_articles": Preset(
        "ga4", (Signal(event=(ANY_EVENT,), item="param.content_id", dwell=True),), {"title": "page_title"}
    ),
    "ga4_app": Preset("ga4", (Signal(event=("screen_view", "user_engagement"), item="screen", dwell=True),), {}),
    "ga360_shop": Preset("ga360", _weighed("product.productSKU", purchase=10, add_to_cart=4, detail=1), _GA360_SHOP),
    "ga360_pages": Preset(
        "ga360",
        (Signal(event=("page",), item="page", dwell=True),),
        {"title": "page_title"},
        {"keep_parameters": "all", "exclude": _HOME_PAGE},
    ),
    "ga360_dimension": Preset(
        "ga360", (Signal(event=("page",), item="dimension.10", dwell=True),), {"title": "page_title"}
    ),
}
PresetName = Literal["ga4_shop", "ga4_pages", "ga4_articles", "ga4_app", "ga360_shop", "ga360_pages", "ga360_dimension"]


def problems_of_attributes(attributes: Mapping[str, str], kind: str) -> Iterator[str]:
    """Yield what is wrong with the items' attributes, a field by the name of its column."""
    yield from _problems_of_fields("attributes", attributes, kind, _FIELDS[kind])
    for name in attributes:
        if name in RESERVED:
            yield f"attributes: {name} is a column of items.parquet; choose another name"


def problems_of_user_attributes(attributes: Mapping[str, str], kind: str) -> Iterator[str]:
    """Yield what is wrong with the visitors' attributes, a field by its name."""
    yield from _problems_of_fields("user_attributes", attributes, kind, _VISITOR_FIELDS[kind])


def _problems_of_fields(
    setting: str, attributes: Mapping[str, str], kind: str, known: tuple[str, ...]
) -> Iterator[str]:
    for name, field in attributes.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield f"{setting}: {name} is not a name of lower-case letters, digits and _"
        if not _is_one_of(field, known):
            yield f"{setting}.{name}: {field} is not a field of {kind} (known: {', '.join(known)})"


def _is_one_of(value: str, known: tuple[str, ...]) -> bool:
    return any(re.fullmatch(_PATTERNS.get(name, re.escape(name)), value) for name in known)
