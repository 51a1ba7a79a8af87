"""Factor tables of a model, read by shards through Beam's file systems."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from artifacts.paths import shard_name
from artifacts.storage import open_to_read
from configs.errors import UserError

_ROWS_AT_ONCE = 1 << 14


def read_blocks(prefix: str, shard: int, shards: int, rows: int, size: int) -> Generator[np.ndarray, None, None]:
    """Reads one shard of a table, float32[size, k] at a time.

    Args:
        prefix: Model.user_factors or Model.item_factors.
        shard, shards: row r of the shard is the index shard + r * shards.
        rows: how many it must have.
        size: rows of a block.

    Raises:
        UserError: the file is missing, of another shape, or holds what is no number.
    """
    path = shard_name(prefix, shard, shards, ".npy")
    try:
        with open_to_read(path) as file:
            major, _ = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read_header(file)
            if fortran or dtype != np.float32 or len(shape) != 2 or shape[0] != rows:
                raise UserError(f"{path} holds {dtype} {shape} where {rows} rows of float32 are due; train again")
            for start in range(0, rows, size):
                count = min(size, rows - start)
                data = file.read(count * shape[1] * 4)
                if len(data) < count * shape[1] * 4:
                    raise UserError(f"{path} ends early; train again")
                yield _sound(np.frombuffer(data, np.float32).reshape(count, shape[1]), path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: model and dataset differ in their shards; train again") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; train again") from error


def read_table(prefix: str, shards: int, rows: int, place_of: np.ndarray | None = None) -> np.ndarray:
    """Reads a whole table, float32[rows, k], in pieces: never more than it and one of them.

    Args:
        place_of: int64[rows], where the row of each index goes; None for the order of the indices.

    Raises:
        UserError: as `read_blocks`.
    """
    table = np.zeros((rows, 0), np.float32)
    for shard in range(shards):
        due, index = len(range(shard, rows, shards)), shard
        for block in read_blocks(prefix, shard, shards, due, _ROWS_AT_ONCE):
            if not table.shape[1]:
                table = np.empty((rows, block.shape[1]), np.float32)
            elif table.shape[1] != block.shape[1]:
                raise UserError(f"{prefix}: the shards have different dimensions; train again")
            indices = slice(index, index + len(block) * shards, shards)
            table[indices if place_of is None else place_of[indices]] = block
            index += len(block) * shards
    return table


def _sound(block: np.ndarray, path: str) -> np.ndarray:
    if not np.isfinite(block).all():
        raise UserError(f"{path} holds factors that are no finite numbers; train again")
    return block
