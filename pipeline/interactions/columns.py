"""Record batches between the steps of a pipeline: shards, sorted keys and serialisation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

ID = pa.dictionary(pa.int32(), pa.binary())  # a column of ids: each distinct id once, and one code per row


def shard_of(ids: pa.Array, shards: int) -> np.ndarray:
    """Return the shard of each id, int64[n]: the CRC-32 of its bytes, so that all machines agree."""
    encoded = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
    of_id = np.array([zlib.crc32(value) % shards for value in encoded.dictionary.to_pylist()], np.int64)
    return of_id[encoded.indices.to_numpy()] if len(of_id) else np.zeros(0, np.int64)


def split(batch: pa.RecordBatch, shards: np.ndarray) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of each shard, in their order."""
    if not batch.num_rows:
        return
    counts = np.bincount(shards)
    if counts[-1] == len(shards):
        yield len(counts) - 1, batch
        return
    order = np.argsort(shards.astype(np.min_scalar_type(len(counts))), kind="stable")  # small types use a counting sort
    ordered = batch.take(pa.array(order))
    end = 0
    for shard in np.flatnonzero(counts).tolist():
        start, end = end, end + int(counts[shard])
        yield shard, _compact(ordered.slice(start, end - start))


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same rows with dictionaries that contain only the ids of these rows."""
    for position, column in enumerate(batch.columns):
        if not pa.types.is_dictionary(column.type):
            continue
        missing = column.is_null().to_numpy(zero_copy_only=False)
        codes = column.indices.fill_null(0).to_numpy()
        used = np.zeros(len(column.dictionary) + 1, bool)
        used[codes[~missing]] = True
        codes = (np.cumsum(used, dtype=np.int32) - np.int32(1))[codes]
        kept = column.dictionary.filter(pa.array(used[:-1]))
        compact = pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), kept)
        batch = batch.set_column(position, batch.schema.field(position), compact)
    return batch


def sorted_with_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return non-negative keys int64[n] in ascending order, and the position of each before, int64[n]; stable.

    A key and its position are sorted as one number where both fit: four times as fast as a stable argsort.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)) >> (63 - bits):
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    both = keys << bits
    both |= np.arange(len(keys))
    both.sort()
    order = both & ((1 << bits) - 1)
    both >>= bits
    return both, order


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """Return a batch as an Arrow IPC stream, for a shuffle."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def from_bytes(blocks: Iterator[bytes]) -> pa.Table:
    """Return the rows of all blocks, with one dictionary per column of ids; there is at least one block."""
    return pa.concat_tables([pa.ipc.open_stream(block).read_all() for block in blocks]).unify_dictionaries()
