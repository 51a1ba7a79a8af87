"""Signatures: what a version can be asked, and calls of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from artifacts.catalogue import Catalogue
from serving.rules.limits import Limits

DEFAULT_SIGNATURE = "serving_default"
K = "k"  # the input that bounds the length of an answer
# Of a version's tables, for the server itself: histories with the weights of their pairs in the loss, and whether an
# item may be recommended again.
HISTORY_OF_PAIRS, FROM_PAIRS = "history_of_pairs", "recommend_from_pairs"
WITH_ITEMS = "_with_items"  # end of the name of a signature that takes added items too
_TYPES = {
    "DT_STRING": np.dtype(object),
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_INT32": np.dtype(np.int32),
    "DT_INT64": np.dtype(np.int64),
    "DT_BOOL": np.dtype(bool),
}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a signature."""

    name: str
    dtype: np.dtype  # object for texts, which are bytes
    shape: tuple[int, ...] | None  # None if the rank is free; a dimension is -1 if its size is free

    @property
    def is_text(self) -> bool:
        """True if the values are texts."""
        return self.dtype == object

    def blank(self) -> np.ndarray:
        """Return an array of one row that the signature accepts: empty ids, zeros, or 1 for k."""
        if self.shape is None:  # k
            return np.ones((), self.dtype)
        sizes = [max(size, 1) for size in self.shape]
        return np.full(sizes, b"", object) if self.is_text else np.zeros(sizes, self.dtype)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature, by name."""

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @classmethod
    def of(cls, name: str, fields: Mapping[str, Any]) -> Signature:
        """Return the signature that `artifacts.served.signatures` describes; raise KeyError for a type that is new."""
        return cls(name, *({key: _tensor(key, fields[part][key]) for key in sorted(fields[part])}
                           for part in ("inputs", "outputs")))  # fmt: skip


def _tensor(name: str, fields: Mapping[str, Any]) -> Tensor:
    shape = fields["tensor_shape"]
    sizes = tuple(int(dimension["size"]) for dimension in shape["dim"])
    return Tensor(name, _TYPES[fields["dtype"]], None if shape["unknown_rank"] else sizes)


@dataclass(frozen=True)
class Call:
    """A call of a signature: its inputs by name, and their number of rows."""

    signature: str
    inputs: Arrays
    rows: int
    limits: Limits | None = field(default=None, kw_only=True)  # None: every item may be in the answer


@dataclass(frozen=True)
class WithItems:
    """Items that were added after the training of a version, e of them."""

    ids: list[bytes]
    factors: np.ndarray  # float32 [e, d]
    titles: Catalogue

    @property
    def count(self) -> int:
        """Number of the items, e."""
        return len(self.ids)
