"""The attributes that become features, as all jobs see them."""

from __future__ import annotations

from typing import NamedTuple

from configs.settings.features import Kind


class Field(NamedTuple):
    """An attribute, and the rule of its features."""

    name: str
    kind: Kind
    weight: float = 1.0
    separator: str | None = None  # between tags, or between the parts of a category
    within: str | None = None  # of a price: the field with its category
    dimension: int = 0  # of an embedding
