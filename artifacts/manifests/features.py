"""The part of a dataset's manifest on the features of its items, or of its visitors."""

from __future__ import annotations

from pydantic import Field

from artifacts.manifests.base import Part
from configs.settings.features import Kind


class FieldFeatures(Part):
    """The features of one attribute: the columns offset to offset + size - 1."""

    name: str  # of the attribute
    kind: Kind
    weight: float
    separator: str | None = None  # between tags, or between the parts of a category
    within: str | None = None  # of a price: the field with its category
    dimension: int = 0  # of an embedding
    offset: int
    size: int
    rows: int = 0  # items (or visitors) that have the attribute
    missing: int = 0  # those without, which have the field's first feature; an embedding has no such feature
    dropped: dict[str, int] = Field(default_factory=dict)  # distinct values, or rows, without a feature, by reason


class FeaturesAccount(Part):
    """The features of the items (or visitors): their columns, and the files that contain them."""

    fields: list[FieldFeatures]
    width: int  # number of columns
    shards: int
    without: int = 0  # rows without any attribute, which have no features
    new: int = 0  # new items (or visitors), which are not in the vocabulary; of these, `new_without` have no features
    new_without: int = 0
    new_unfit: int = 0  # those that are left out, because their id is empty or has a line end
    as_of_ms: int | None = None  # the moment at which ages are measured, ms since 1970; null without a time
    left_out: dict[str, str] = Field(default_factory=dict)  # attributes that have no features, and why
