"""Tables of factors and weights: float32 [n, k] in .npy shards, shard s of n with the rows s, s + n, s + 2n, ...

And the item-item matrix of the neighbourhood, sparse, in three .npy files.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import BinaryIO

import numpy as np

from artifacts import storage
from artifacts.checksums import SummedFile, crc32c
from artifacts.paths import shard_name
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError

_ROWS_AT_ONCE = 1 << 14
_REMEDY = "train again"
_RELATED: dict[str, np.dtype] = {
    "indptr": np.dtype(np.int64),
    "indices": np.dtype(np.int32),
    "values": np.dtype(np.float32),
}


def write_table(prefix: str, table: np.ndarray, shards: int, rank: int = 0, processes: int = 1) -> None:
    """Write the shards of a table, float [n, k], with a prefix such as `Model.user_factors`.

    Of several processes each writes the shards of its own rows, rank, rank + processes, ... of the whole table;
    `shards` is then a multiple of `processes`.
    """
    for shard in range(rank, shards, processes):
        part = table[shard // processes :: shards // processes]
        write_array(shard_name(prefix, shard, shards, ".npy"), np.ascontiguousarray(part, np.float32))


def count_shards(prefix: str) -> int:
    """Return the number of shards of a table; raise UserError if there are none, or some are missing."""
    paths = [file.path for file in storage.glob(f"{prefix}-?????-of-?????.npy")]
    if not paths:
        raise UserError(f"no factors at {prefix}-*; check the model's path")
    shards = int(paths[0].rsplit("-of-", 1)[1][:5])
    if paths != [shard_name(prefix, shard, shards, ".npy") for shard in range(shards)]:
        raise UserError(f"{prefix}-*: some of the {shards} shards are missing; {_REMEDY}")
    return shards


def read_table(prefix: str, shards: int | None = None, rows: int | None = None) -> np.ndarray:
    """Read a whole table, float32 [rows, k]; besides it, one block is in memory.

    shards, rows: how many the table must have; None accepts what is there. Raises as `read_blocks`.
    """
    shards = count_shards(prefix) if shards is None else shards
    if rows is None:
        rows = sum(_rows_in(shard_name(prefix, shard, shards, ".npy")) for shard in range(shards))
    table = np.zeros((rows, 0), np.float32)
    for shard in range(shards):
        index = shard
        for block in read_blocks(prefix, shard, shards, len(range(shard, rows, shards)), _ROWS_AT_ONCE):
            if not table.shape[1]:
                table = np.empty((rows, block.shape[1]), np.float32)
            elif table.shape[1] != block.shape[1]:
                raise UserError(f"{prefix}-*: the shards have different dimensions; {_REMEDY}")
            table[index : index + len(block) * shards : shards] = block
            index += len(block) * shards
    return table


def read_shard(prefix: str, shard: int, shards: int, rows: int) -> np.ndarray:
    """Read one shard, float32 [rows, k], as `read_blocks` does."""
    blocks = list(read_blocks(prefix, shard, shards, rows, max(rows, 1)))
    return blocks[0] if blocks else np.zeros((0, 0), np.float32)


def read_blocks(prefix: str, shard: int, shards: int, rows: int, size: int) -> Generator[np.ndarray, None, None]:
    """Read one shard of a table, float32 [size, k] at a time; its row r has the index shard + r * shards.

    Raise UserError if the file is missing, damaged, or not of `rows` rows, or if a factor is not finite.
    """
    path = shard_name(prefix, shard, shards, ".npy")
    try:
        with storage.open_to_read(path) as file:
            shape, fortran, dtype = _read_header(file)
            if fortran or dtype != np.float32 or len(shape) != 2 or shape[0] != rows:
                raise UserError(f"{path} contains {dtype} {shape}, not {rows} rows of float32; {_REMEDY}")
            for start in range(0, rows, size):
                count = min(size, rows - start)
                data = file.read(count * shape[1] * 4)
                if len(data) < count * shape[1] * 4:
                    raise UserError(f"{path} ends early; {_REMEDY}")
                block = np.frombuffer(data, np.float32).reshape(count, shape[1])
                if not np.isfinite(block).all():
                    raise UserError(f"{path}: all factors must be finite; {_REMEDY}")
                yield block
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: model and dataset differ in their shards; {_REMEDY}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; {_REMEDY}") from error


def write_related(prefix: str, matrix: SparseRows) -> None:
    """Write the item-item matrix: the fields `indptr`, `indices` and `values` of its m rows.

    Args:
        prefix: for example `Model.related_items`.
    """
    for name, dtype in _RELATED.items():
        write_array(f"{prefix}-{name}.npy", np.asarray(getattr(matrix, name), dtype))


def read_related(prefix: str, items: int) -> SparseRows:
    """Read the item-item matrix of m items.

    Raises:
        UserError: a file is missing, damaged, or of another number of items.
    """
    parts = {name: read_array(f"{prefix}-{name}.npy") for name in _RELATED}
    matrix = SparseRows(np.arange(items, dtype=np.int64), *parts.values())
    kinds = all(part.ndim == 1 and part.dtype == _RELATED[name] for name, part in parts.items())
    if not kinds or not _is_related(matrix):
        raise UserError(f"{prefix}-*.npy are not the related items of {items} items; {_REMEDY}")
    return matrix


def _is_related(matrix: SparseRows) -> bool:
    """Return whether arrays are rows of an item-item matrix: whole, ascending, with values above 0."""
    starts, indices, values, size = matrix.indptr, matrix.indices, matrix.values, len(matrix)
    if len(starts) != size + 1 or starts[0] or (np.diff(starts) < 0).any():
        return False
    if not len(indices) == len(values) == starts[-1] or matrix.unordered_entry() is not None:
        return False
    return bool(((indices >= 0) & (indices < size) & (values > 0) & np.isfinite(values)).all())


def _rows_in(path: str) -> int:
    try:
        with storage.open_to_read(path) as file:
            shape, _, _ = _read_header(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); {_REMEDY}") from error
    return shape[0] if shape else 0


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    return read(file)


def write_array(path: str, array: np.ndarray) -> int:
    """Write a .npy file atomically and return the CRC-32C of its bytes."""
    with storage.open_to_write(path) as file:
        summed = SummedFile(file)
        np.lib.format.write_array(summed, array, allow_pickle=False)
    return int(summed.hexdigest(), 16)


def read_array(path: str, checksum: int | None = None) -> np.ndarray:
    """Read a .npy file; raise UserError if it is missing or damaged, or its CRC-32C is not `checksum`."""
    try:
        data = storage.read_bytes(path)
        if checksum is not None and crc32c(data) != checksum:
            raise UserError(f"{path} is damaged: its checksum does not match")
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, OSError) as error:
        raise UserError(f"{path} is missing or damaged ({' '.join(str(error).split())})") from error
