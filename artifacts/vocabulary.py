"""The vocabularies among the transform_fn's assets: line n is the id of index n, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from artifacts.storage import open_to_read
from configs.errors import UserError

_BLOCK_BYTES = 1 << 20  # cut into lines at once, which take several times as much


def read_vocabulary(path: str) -> list[bytes]:
    """Reads all ids, in the order of their indices.

    Raises:
        UserError: the file does not exist.
    """
    return list(iterate_vocabulary(path))


def order_of(ids: Sequence[bytes]) -> np.ndarray:
    """int64 [n], positions of the ids in the order of their bytes: so equal scores are ordered."""
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)


def iterate_vocabulary(path: str, first: int = 0, step: int = 1) -> Iterator[bytes]:
    """Reads the ids of the indices first, first + step, ... one by one, so that a worker need not hold them all.

    Only the newline ends an id: blanks at its end belong to it.
    """
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    with file:
        rest, skip = b"", first
        while block := file.read(_BLOCK_BYTES):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield from lines[skip::step]
            skip = (skip - len(lines)) % step if len(lines) > skip else skip - len(lines)
        if rest and skip == 0:
            yield rest
