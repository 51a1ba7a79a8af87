"""The vocabularies among the transform_fn's assets: line n is the id of index n, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from artifacts.storage import open_to_read
from configs.errors import UserError

_BLOCK_BYTES = 1 << 20  # split into lines at once, which take several times as much


class Vocabulary:
    """The ids of users or items in the order of their indices.

    >>> vocabulary = Vocabulary([b"x", b"y"])
    >>> vocabulary[1], vocabulary.index(b"y"), len(vocabulary)
    (b'y', 1, 2)
    """

    def __init__(self, ids: Sequence[bytes]):
        self.ids = list(ids)

    @classmethod
    def read(cls, path: str, size: int | None = None) -> Vocabulary:
        """Read a vocabulary; raise UserError if the file does not exist, or has not `size` ids."""
        vocabulary = cls(list(iterate_ids(path)))
        if size is not None and len(vocabulary) != size:
            raise UserError(f"{path} has {len(vocabulary)} ids where the dataset has {size}; make the dataset again")
        return vocabulary

    @cached_property
    def _indices(self) -> dict[bytes, int]:
        return {name: index for index, name in enumerate(self.ids)}

    def index(self, name: bytes) -> int | None:
        """Return the index of an id, None if it is not in the vocabulary."""
        return self._indices.get(name)

    def indices_of(self, names: Sequence[bytes]) -> np.ndarray:
        """Return the indices of ids, int64 [n]; -1 for an id that is not in the vocabulary."""
        return np.fromiter((self._indices.get(name, -1) for name in names), np.int64, len(names))

    def texts(self) -> list[str]:
        """Return the ids as text; bytes that are not UTF-8 are replaced."""
        return [name.decode("utf-8", "replace") for name in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> bytes:
        return self.ids[index]


def iterate_ids(path: str, first: int = 0, step: int = 1, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the ids of the indices first, first + step, ..., without keeping them all in memory.

    Only a newline ends an id: blanks at its end belong to it. Raise UserError if the file does not exist.
    """
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    with file:
        rest, skip = b"", first
        while block := file.read(block_bytes):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield from lines[skip::step]
            skip = (skip - len(lines)) % step if len(lines) > skip else skip - len(lines)
        if rest and skip == 0:
            yield rest
