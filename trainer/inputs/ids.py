"""The caller's ids of one side of a matrix, and their indices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from artifacts.vocabulary import Vocabulary


@dataclass(frozen=True)
class Ids:
    """The ids of the rows, or of the columns, by index."""

    read: Callable[[], np.ndarray]  # returns them, [n], objects or whole numbers

    @classmethod
    def of(cls, values: np.ndarray) -> Ids:
        """Return ids that are in memory."""
        return cls(lambda: values)

    @classmethod
    def numbers(cls, size: int) -> Ids:
        """Return the indices themselves as ids, for a matrix without any."""
        return cls(lambda: np.arange(size))

    @classmethod
    def of_vocabulary(cls, path: str) -> Ids:
        """Return the ids of a dataset, as text."""
        return cls(lambda: np.array(Vocabulary.read(path).texts(), object))

    @cached_property
    def values(self) -> np.ndarray:
        """The ids by index; those of a dataset are read when they are first asked for."""
        return self.read()

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {value: place for place, value in enumerate(self.values.tolist())}

    def places(self, asked: Any, name: str) -> np.ndarray:
        """Return the indices int64 [r] of ids, all of them for None.

        asked: a list, an array, a Series or an Arrow array. Raise ValueError, with the position, for an id that the
        training data lack.
        """
        if asked is None:
            return np.arange(len(self.values))
        if isinstance(asked, str | bytes) or not isinstance(asked, Iterable):
            raise ValueError(f"{name} is a {type(asked).__name__}; pass a list of ids")
        wanted = asked.to_pylist() if hasattr(asked, "to_pylist") else list(asked)
        places = [self._places.get(value, -1) for value in wanted]
        unknown = [position for position, place in enumerate(places) if place < 0]
        if unknown:
            given, known = (type(value).__name__ for value in (wanted[unknown[0]], *self.values[:1].tolist()))
            hint = "" if given == known else f"; it is of type {given}, the data have {known}"
            raise ValueError(
                f"{name} has {len(unknown)} ids that the training data lack, the first at position {unknown[0]}{hint}"
            )
        return np.array(places, np.int64)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the ids of indices int64 [...]; None, or -1 where ids are whole numbers, for the index -1."""
        missing = None if self.values.dtype == object else -1
        found = self.values[places]
        found[places < 0] = missing
        return found
