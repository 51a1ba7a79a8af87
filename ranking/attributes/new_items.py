"""The items that are not in the vocabulary: ids, and factors from attributes. A model has them after its items.

Items without attributes have no factors; the newest of them have the last places of lists, see `newest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    newest: tuple[bytes, ...] = ()  # ids of others, without attributes, newest first; their indices follow

    @classmethod
    def none(cls, dimensions: int) -> NewItems:
        """Return no items."""
        return cls([], np.zeros((0, dimensions), np.float32))

    @classmethod
    def read(cls, model: Model, count: int, dimensions: int, newest: int = 0) -> NewItems:
        """Read those of a model whose manifest states the numbers; raise UserError if a file is missing or damaged."""
        last = tuple(Vocabulary.read(model.newest_item_ids, newest).ids) if newest else ()
        if not count:
            return cls([], np.zeros((0, dimensions), np.float32), last)
        factors = factor_tables.read_table(model.new_items, 1, count)
        if factors.shape[1] != dimensions:
            raise UserError(f"{model.new_items}-*: new items have {factors.shape[1]} factors; train again")
        return cls(Vocabulary.read(model.new_item_ids, count).ids, factors, last)

    @classmethod
    def of_added(cls, ids: Sequence[bytes], factors: np.ndarray) -> NewItems:
        """Return items that were added between two trainings; those of zeros, which come last, are the newest."""
        count = int(np.count_nonzero(factors.any(axis=1)))
        return cls(list(ids[:count]), factors[:count], tuple(ids[count:]))

    def followed_by(self, others: NewItems) -> NewItems:
        """Return these items and later ones after them; of those without attributes, the later ones come first."""
        newest = (*others.newest, *self.newest)
        if not len(others):
            return replace(self, newest=newest)
        return NewItems([*self.ids, *others.ids], np.concatenate([self.factors, others.factors]), newest)

    @property
    def all_ids(self) -> list[bytes]:
        """The ids in the order of their indices."""
        return [*self.ids, *self.newest]

    def write(self, model: Model) -> None:
        """Write them, if there are some."""
        if self.ids:
            factor_tables.write_table(model.new_items, self.factors, 1)
            storage.write_bytes(model.new_item_ids, _lines(self.ids))
        if self.newest:
            storage.write_bytes(model.newest_item_ids, _lines(self.newest))

    def __len__(self) -> int:
        return len(self.ids)


def _lines(ids: Sequence[bytes]) -> bytes:
    return b"".join(name + b"\n" for name in ids)
