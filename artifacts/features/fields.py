"""The attributes that become features, as all jobs see them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from artifacts.names import KEY
from configs.settings.features import Kind

TEXT_LIMIT = 20_000  # characters of a text that are split into words


class Field(NamedTuple):
    """An attribute, and the rule of its features."""

    name: str
    kind: Kind
    weight: float = 1.0
    separator: str | None = None  # between tags, or between the parts of a category
    within: str | None = None  # of a price: the field with its category
    dimension: int = 0  # of an embedding

    @property
    def between(self) -> str:
        """The text between the parts of a list."""
        return self.separator or (" " if self.kind == "text" else "|")


def input_names(fields: Sequence[Field]) -> list[str]:
    """Return the names of the fields as the graph's inputs; a name that TensorFlow does not accept is a number.

    >>> input_names([Field("title", "text"), Field("Größe (cm)", "number")])
    ['title', 'attribute_1']
    """
    is_plain = [re.fullmatch("[a-z][a-z0-9_]*", field.name) and field.name != KEY for field in fields]
    return [
        field.name if plain else f"attribute_{number}"
        for number, (field, plain) in enumerate(zip(fields, is_plain, strict=True))
    ]
