"""The vocabularies among the transform_fn's assets: line n is the id of index n, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from configs.errors import UserError
from pipeline.storage import open_to_read

_BLOCK_BYTES = 1 << 24


def read_vocabulary(path: str) -> list[bytes]:
    """Reads all ids, in the order of their indices.

    Raises:
        UserError: the file does not exist.
    """
    return list(iterate_vocabulary(path))


def iterate_vocabulary(path: str) -> Iterator[bytes]:
    """Reads the ids one by one, so that a worker need not hold them all.

    Only the newline ends an id: blanks at its end belong to it.
    """
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the dataset again") from None
    with file:
        rest = b""
        while block := file.read(_BLOCK_BYTES):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield from lines
        if rest:
            yield rest
