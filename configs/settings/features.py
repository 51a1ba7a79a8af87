"""Settings of the features that come from the attributes of items and of visitors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from configs.settings.section import Section

Kind = Literal["category", "tags", "text", "number", "price", "time", "embedding"]
OF_WORDS: tuple[Kind, ...] = ("category", "tags", "text")
# Those of visitors: each is a few values that many share. Texts and embeddings are as unique as who has them.
OF_VISITORS: tuple[Kind, ...] = ("category", "tags", "number", "time")


class FeatureField(Section):
    """One attribute that becomes features."""

    name: str = Field(min_length=1)
    """Name of the attribute: a column of items.parquet or of the catalogue; of visitors, one of source.user_attributes
    or of the user_catalogue."""
    kind: Kind | None = None
    """What it is made into. category: one feature per value; tags: per part; text: per word; number: per bucket of
    quantiles; price: per bucket of its ratio to the mean of its category; time: per bucket of its age; embedding: its
    numbers. Unset follows from the column's name and type."""
    weight: PositiveFloat = 1.0
    """Share of the field in the features, relative to the other fields."""
    separator: str | None = Field(None, min_length=1)
    """tags: text between two tags, by default |; category: text between the parts of a value, by default / for
    items.item_category and product.v2ProductCategory, and unset otherwise, which keeps the value whole."""
    within: str | None = None
    """price: name of the field whose value is the category; unset is the first of kind category, if there is one."""


class FeatureSettings(Section):
    """Settings that the features of items and of visitors have in common."""

    fields: Literal["auto"] | tuple[FeatureField, ...] = ()
    """Attributes to make features of; auto: all that are suitable, by their names and types. Unset makes none."""
    weights: dict[str, float] = Field(default_factory=dict)
    """auto: weight of a field by its name, e.g. {title: 2}; 0 leaves the attribute out."""
    max_values: int = Field(16_384, ge=1, le=1_000_000)
    """Largest number of values of a field that have a feature, the most frequent ones; the others are counted."""
    buckets: int = Field(10, ge=2, le=1000)
    """number: number of buckets with equally many items or visitors."""

    def _problems(self) -> Iterator[str]:
        if any(not 0 <= weight < 1e6 for weight in self.weights.values()):
            yield "weights must be 0 or more"
        if self.fields != "auto":
            names = [field.name for field in self.fields]
            if self.weights:
                yield "weights are for fields: auto; set the weight of each field"
            if len(set(names)) < len(names):
                yield f"fields: {max(names, key=names.count)} is there twice"

    @property
    def least(self) -> int:
        """The fewest rows that a feature is in."""
        return 1

    @property
    def drops_rare_buckets(self) -> bool:
        """True if buckets of numbers and times are dropped as rare values are."""
        return False


class ItemFeatureSettings(FeatureSettings):
    """Features of items, from their attributes, for items that nobody has viewed yet (docs/cold-start.md)."""

    min_items: PositiveInt = 2
    """Values, tags and words in fewer items than this have no feature; they are counted."""

    @property
    def least(self) -> int:
        """The fewest items that a feature is in."""
        return self.min_items


class UserFeatureSettings(FeatureSettings):
    """Features of visitors, from their attributes, for visitors without views (docs/cold-start.md)."""

    min_visitors: int = Field(10, ge=2)
    """Values that fewer visitors have than this have no feature, so that no feature singles out a visitor; they are
    counted."""

    @property
    def least(self) -> int:
        """The fewest visitors that a feature is of."""
        return self.min_visitors

    @property
    def drops_rare_buckets(self) -> bool:
        """True: a bucket with one visitor would single out that visitor."""
        return True

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        for field in self.fields if self.fields != "auto" else ():
            if field.kind not in (None, *OF_VISITORS):
                kinds = ", ".join(OF_VISITORS)
                yield f"fields, {field.name}: kind {field.kind} could single out a visitor; use one of {kinds}"
