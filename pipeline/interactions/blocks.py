"""Blocks of interactions: the input of TFT, and the encoded blocks that it returns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from artifacts.names import (
    AMOUNT,
    CONTENT_ID,
    ITEM_COUNT,
    ITEM_PLACE,
    TIME_MS,
    VISITOR_COUNT,
    VISITOR_ID,
    VISITOR_PLACE,
)

# The types of which TFT reads lists of ids and numbers; a block is one row of them.
BLOCK = pa.schema(
    [
        pa.field(VISITOR_ID, pa.large_list(pa.large_binary())),
        pa.field(VISITOR_COUNT, pa.large_list(pa.int64())),
        pa.field(VISITOR_PLACE, pa.large_list(pa.int64())),
        pa.field(CONTENT_ID, pa.large_list(pa.large_binary())),
        pa.field(ITEM_COUNT, pa.large_list(pa.int64())),
        pa.field(ITEM_PLACE, pa.large_list(pa.int64())),
        pa.field(AMOUNT, pa.large_list(pa.float32())),
        pa.field(TIME_MS, pa.large_list(pa.int64())),
    ]
)


def make_blocks(pairs: pa.Table, size: int) -> Iterator[pa.RecordBatch]:
    """Cut interactions (one row per pair) into blocks of at most `size` interactions."""
    for start in range(0, pairs.num_rows, size):
        yield _block(pairs.slice(start, size))


def _block(pairs: pa.Table) -> pa.RecordBatch:
    visitors, items = _by_id(pairs[VISITOR_ID]), _by_id(pairs[CONTENT_ID])
    amounts, times = pairs[AMOUNT].to_numpy().astype(np.float32), pairs[TIME_MS].to_numpy()
    arrays = [_one_row(pa.array(column)) for column in (*visitors, *items, amounts, times)]
    return pa.RecordBatch.from_arrays(arrays, schema=BLOCK)


def _by_id(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Return the distinct ids, how often each is in the column int64[ids], and the code of each row int64[n]."""
    encoded = column.combine_chunks()
    codes = encoded.indices.to_numpy()
    counts = np.bincount(codes, minlength=len(encoded.dictionary))
    there = counts > 0
    return (
        encoded.dictionary.filter(pa.array(there)).cast(pa.large_binary()),
        counts[there],
        (np.cumsum(there) - 1)[codes],
    )


def _one_row(values: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def interactions_in(block: pa.RecordBatch) -> int:
    """Return the number of interactions in a block."""
    return block.column(block.schema.get_field_index(AMOUNT)).value_lengths()[0].as_py()


def values_of(block: pa.RecordBatch, name: str) -> np.ndarray:
    """Return the flat values of one column of an encoded block."""
    return block.column(block.schema.get_field_index(name)).flatten().to_numpy(zero_copy_only=False)
