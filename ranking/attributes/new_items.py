"""The items that are not in the vocabulary: ids, and factors from attributes. A model has them after its items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artifacts import factor_tables, storage
from artifacts.paths import Model
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError


@dataclass(frozen=True)
class NewItems:
    """n items that nobody has viewed. After m known items, new item i has the index m + i."""

    ids: list[bytes]
    factors: np.ndarray  # float32 [n, d], as long as they count in one list with known items

    @classmethod
    def none(cls, dimensions: int) -> NewItems:
        """Return no items."""
        return cls([], np.zeros((0, dimensions), np.float32))

    @classmethod
    def read(cls, model: Model, count: int, dimensions: int) -> NewItems:
        """Read those of a model whose manifest states `count`; raise UserError if a file is missing or damaged."""
        if not count:
            return cls.none(dimensions)
        factors = factor_tables.read_table(model.new_items, 1, count)
        if factors.shape[1] != dimensions:
            raise UserError(f"{model.new_items}-*: new items have {factors.shape[1]} factors; train again")
        return cls(Vocabulary.read(model.new_item_ids, count).ids, factors)

    def followed_by(self, others: NewItems) -> NewItems:
        """Return these items and others after them."""
        if not len(others):
            return self
        return NewItems([*self.ids, *others.ids], np.concatenate([self.factors, others.factors]))

    def write(self, model: Model) -> None:
        """Write them, if there are some."""
        if self.ids:
            factor_tables.write_table(model.new_items, self.factors, 1)
            storage.write_bytes(model.new_item_ids, b"".join(name + b"\n" for name in self.ids))

    def __len__(self) -> int:
        return len(self.ids)
