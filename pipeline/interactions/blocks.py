"""Blocks of interactions: the input of TFT, and the encoded blocks that it returns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from artifacts import names

# The types of which TFT reads lists of ids and numbers; a block is one row of them.
_IDS, _INTEGERS = pa.large_list(pa.large_binary()), pa.large_list(pa.int64())
BLOCK = pa.schema(
    {
        names.VISITOR_ID: _IDS,
        names.VISITOR_COUNT: _INTEGERS,
        names.VISITOR_PLACE: _INTEGERS,
        names.CONTENT_ID: _IDS,
        names.ITEM_COUNT: _INTEGERS,
        names.ITEM_PLACE: _INTEGERS,
        names.AMOUNT: pa.large_list(pa.float32()),
        names.TIME_MS: _INTEGERS,
    }
)
MARKED_BLOCK = BLOCK.append(pa.field(names.AGAIN, _INTEGERS))  # 1 for an item that may be recommended again


def make_blocks(pairs: pa.Table, size: int) -> Iterator[pa.RecordBatch]:
    """Cut interactions (one row per pair) into blocks of at most `size` interactions."""
    schema = MARKED_BLOCK if names.AGAIN in pairs.schema.names else BLOCK
    for start in range(0, pairs.num_rows, size):
        part = pairs.slice(start, size)
        amounts, times = part[names.AMOUNT].to_numpy().astype(np.float32), part[names.TIME_MS].to_numpy()
        marks = [part[names.AGAIN].to_numpy().astype(np.int64)] if schema is MARKED_BLOCK else []
        values = *_by_id(part[names.VISITOR_ID]), *_by_id(part[names.CONTENT_ID]), amounts, times, *marks
        columns = [pa.array(column) for column in values]
        rows = [pa.LargeListArray.from_arrays(pa.array([0, len(column)], pa.int64()), column) for column in columns]
        yield pa.RecordBatch.from_arrays(rows, schema=schema)


def _by_id(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Return the distinct ids, how often each is in the column int64[ids], and the code of each row int64[n]."""
    encoded = column.combine_chunks()
    codes = encoded.indices.to_numpy()
    counts = np.bincount(codes, minlength=len(encoded.dictionary))
    used = counts > 0
    ids = encoded.dictionary.filter(pa.array(used)).cast(pa.large_binary())
    return ids, counts[used], (np.cumsum(used) - 1)[codes]


def interactions_in(block: pa.RecordBatch) -> int:
    """Return the number of interactions in a block."""
    return block.column(block.schema.get_field_index(names.AMOUNT)).value_lengths()[0].as_py()


def values_of(block: pa.RecordBatch, name: str) -> np.ndarray:
    """Return the flat values of one column of an encoded block."""
    return block.column(block.schema.get_field_index(name)).flatten().to_numpy(zero_copy_only=False)
