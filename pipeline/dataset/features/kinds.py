"""The kind of features that suits an attribute, by its name, its type and a sample of its values."""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from configs.settings.features import Kind
from configs.settings.signals import NUMBERS
from pipeline.sources import columns, times

TAG_SEPARATOR = "|"
CHANGES = "it changes after publication, so what is measured would not be true of new items"
_ADDRESS = "it is an id or an address"
_SAMPLE = 10_000  # rows of a column that are looked at
_WORDS_OF_TEXT = 4  # on average, for a column to be text
_OFTEN = 0.2  # share of the values with a separator, for a column to be tags
_PATHS = ("items.item_category", "product.v2ProductCategory")  # often written as Home/Apparel/Hats

# Whole words in the names of columns.
_CHANGING = {
    *("view", "views", "viewed", "visits", "visitors", "clicks", "likes", "shares", "rating", "ratings", "score"),
    *("votes", "popularity", "rank", "ranking", "sold", "sales", "purchases", "orders", "downloads", "reviews"),
    *("comments", "stock", "inventory", "impressions", "ctr", "revenue", "conversions", "pageviews", "reads"),
}
_FIXED = {"content_rating", "age_rating", "film_rating", "movie_rating"}
_ADDRESSES = {"id", "ids", "uuid", "url", "uri", "link", "image", "thumbnail", "slug", "isbn", "ean", "gtin", "sku"}
_BY_NAME: tuple[tuple[set[str], Kind | None], ...] = (
    ({"tags", "keywords", "topics", "genres", "labels", "subjects", "categories", "authors", "actors"}, "tags"),
    (
        {
            *("category", "brand", "type", "section", "variant", "author", "publisher", "language", "colour", "color"),
            *("size", "material", "gender", "department", "format", "genre", "topic"),
        },
        "category",
    ),
    (_ADDRESSES, None),
    ({"price", "cost"}, "price"),
    ({"published", "publication", "publish", "released", "release", "created", "date", "time", "datetime"}, "time"),
    (
        {
            *("title", "subtitle", "name", "headline", "description", "text", "body", "abstract", "summary", "lead"),
            *("teaser", "caption"),
        },
        "text",
    ),
)


class Attribute(NamedTuple):
    """An attribute of the items: of the data, of the catalogue, or of both."""

    name: str
    field: str | None  # of the data, such as items.price
    column: pa.Array | None  # of the catalogue

    @property
    def changes(self) -> bool:
        """True if the name states that the attribute changes after publication."""
        return bool(words(self.name) & _CHANGING) and self.name.lower() not in _FIXED


class Proposal(NamedTuple):
    """A kind, or why there is none."""

    kind: Kind | None
    reason: str = ""


def propose(attribute: Attribute) -> Proposal:
    """Return the kind that suits an attribute."""
    if attribute.field in NUMBERS:
        return Proposal("price")
    by_name = _of_name(attribute.name)
    if attribute.field is not None:
        default: Kind = "text" if attribute.field in ("page_title", "items.item_name") else "category"
        return by_name or Proposal(default)
    return _of_column(pa.nulls(0) if attribute.column is None else attribute.column, by_name)


def _of_column(column: pa.Array, by_name: Proposal | None) -> Proposal:
    """Return the kind that suits a column of a table; by_name: what suits its name."""
    kind = column.type
    if pa.types.is_nested(kind):
        values = getattr(kind, "value_type", None)
        if values is None or pa.types.is_nested(values) or pa.types.is_struct(kind):
            return Proposal(None, f"a column of {kind} is not an attribute")
        return Proposal("embedding" if pa.types.is_floating(values) else "tags")
    if len(column) > 1 and not column.null_count and pc.count_distinct(column).as_py() == 1:
        return Proposal(None, "all have the same value")
    if pa.types.is_temporal(kind):
        return Proposal("time")
    if pa.types.is_boolean(kind):
        return Proposal("category")
    if pa.types.is_string(kind):
        return by_name or _of_texts(column.drop_null().slice(0, _SAMPLE))
    if pa.types.is_null(kind):
        return Proposal(None, "it has no values")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return Proposal(None, f"a column of {kind} is not an attribute")
    return Proposal("number") if by_name is None or by_name.kind in ("text", "tags") else by_name


def separator(attribute: Attribute, kind: Kind) -> str | None:
    """Return what is between the tags of an attribute, or between the parts of its category; None if nothing is."""
    if kind == "category":
        return "/" if attribute.field in _PATHS else None
    if kind != "tags":
        return None
    column = attribute.column
    is_text = column is not None and pa.types.is_string(column.type)
    return (
        _separator(column.drop_null().slice(0, _SAMPLE)) if is_text and column is not None else None
    ) or TAG_SEPARATOR


def words(name: str) -> set[str]:
    """Return the words of a column's name in lower case: of publishedAt, published and at."""
    return set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def _of_name(name: str) -> Proposal | None:
    for names, kind in _BY_NAME:
        if words(name) & names:
            return Proposal(kind, "" if kind else _ADDRESS)
    return None


def _of_texts(values: pa.Array) -> Proposal:
    if not len(values):
        return Proposal(None, "it has no values")
    texts = values.cast(pa.binary())
    if columns.floats(texts)[1].all():
        return Proposal("number")
    if times.milliseconds(texts, None, any_year=True)[1].all():
        return Proposal("time")
    if _separator(values):
        return Proposal("tags")
    if pc.mean(pc.list_value_length(pc.utf8_split_whitespace(values))).as_py() >= _WORDS_OF_TEXT:
        return Proposal("text")
    is_unique = pc.count_distinct(values).as_py() == len(values) > 1
    return Proposal(None, "each value is in one item") if is_unique else Proposal("category")


def _separator(values: pa.Array) -> str | None:
    """Return the separator of tags that many of the values contain."""
    for candidate in (TAG_SEPARATOR, ";", ","):
        if len(values) and pc.mean(pc.match_substring(values, candidate).cast(pa.float64())).as_py() > _OFTEN:
            return candidate
    return None
