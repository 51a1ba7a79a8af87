"""Settings of the features that come from the items' attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from configs.settings.section import Section

Kind = Literal["category", "tags", "text", "number", "price", "time", "embedding"]
OF_WORDS: tuple[Kind, ...] = ("category", "tags", "text")


class FeatureField(Section):
    """One attribute that becomes features."""

    name: str = Field(min_length=1)
    """Name of the attribute: a column of items.parquet or of the catalogue."""
    kind: Kind | None = None
    """What it is made into. category: one feature per value; tags: per part; text: per word; number: per bucket of
    quantiles; price: per bucket of its ratio to the mean of its category; time: per bucket of its age; embedding: its
    numbers. Unset follows from the column's name and type."""
    weight: PositiveFloat = 1.0
    """Share of the field in an item's features, relative to the other fields."""
    separator: str | None = Field(None, min_length=1)
    """tags: text between two tags, by default |; category: text between the parts of a value, by default / for
    items.item_category and product.v2ProductCategory, and unset otherwise, which keeps the value whole."""
    within: str | None = None
    """price: name of the field whose value is the category; unset is the first of kind category, if there is one."""


class ItemFeatureSettings(Section):
    """Features of items, from their attributes, for items that nobody has viewed yet (docs/cold-start.md)."""

    fields: Literal["auto"] | tuple[FeatureField, ...] = ()
    """Attributes to make features of; auto: all that are suitable, by their names and types. Unset makes none."""
    weights: dict[str, float] = Field(default_factory=dict)
    """auto: weight of a field by its name, e.g. {title: 2}; 0 leaves the attribute out."""
    min_items: PositiveInt = 2
    """Values, tags and words in fewer items than this have no feature; they are counted."""
    max_values: int = Field(16_384, ge=1, le=1_000_000)
    """Largest number of values of a field that have a feature, the most frequent ones; the others are counted."""
    buckets: int = Field(10, ge=2, le=1000)
    """number: number of buckets with equally many items."""

    def _problems(self) -> Iterator[str]:
        if any(not 0 <= weight < 1e6 for weight in self.weights.values()):
            yield "weights must be 0 or more"
        if self.fields != "auto":
            names = [field.name for field in self.fields]
            if self.weights:
                yield "weights are for fields: auto; set the weight of each field"
            if len(set(names)) < len(names):
                yield f"fields: {max(names, key=names.count)} is there twice"
