"""The least that a decoder of Parquet's nested columns does, in place of Arrow: for benchmarks.pipeline.before_signals.

Arrow assembles the lists of sessions, hits and products once for each leaf. A decoder of our own would do it once, and
decode the other leaves by their levels. This is the part that none can leave out: to decompress the pages, to decode
the codes of values, and to put each in the place that its definition level names. It builds no lists, no dictionaries
and no columns, reads only what Arrow's writer writes, and checks nothing; so it is a bound and not a reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_PLAIN, _DATA, _DICTIONARY = 0, 0, 2  # an encoding, and types of pages
_TRUE, _FALSE, _BINARY, _STRUCT = 1, 2, 8, 12  # of Thrift's compact protocol; other fields here are integers
_WRAPPERS = {"list", "element", "item"}

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


def names(schema: pa.Schema) -> set[str]:
    """Return the dotted names of the leaves of a schema, without the levels of lists."""
    return {".".join(path) for field in schema for path in _paths(field.type, (field.name,))}


def decode(file: BinaryIO, wanted: Collection[str]) -> int:
    """Decode the leaves of the wanted names, and return the number of records."""
    parquet = pq.ParquetFile(file)
    metadata = parquet.metadata
    leaves = [metadata.schema.column(place) for place in range(len(metadata.schema))]
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for place, leaf in enumerate(leaves):
            if ".".join(part for part in leaf.path.split(".") if part not in _WRAPPERS) in wanted:
                _decode_column(file, group.column(place), leaf)
    return metadata.num_rows


def _paths(kind: pa.DataType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if pa.types.is_list(kind):
        yield from _paths(kind.value_type, path)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _paths(field.type, (*path, field.name))
    else:
        yield path


class _Page(NamedTuple):
    kind: int
    start: int
    packed: int  # bytes
    size: int  # bytes without compression
    details: dict[int, Any]


def _decode_column(file: BinaryIO, chunk: pq.ColumnChunkMetaData, leaf: pq.ColumnSchema) -> None:
    codec = None if chunk.compression == "UNCOMPRESSED" else pa.Codec(chunk.compression.lower())
    file.seek(chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset)
    packed = pa.py_buffer(file.read(chunk.total_compressed_size))
    for page in _pages(packed.to_pybytes(), chunk.num_values):
        data = np.zeros(-(-page.size // 8) * 8 + 8, np.uint8)  # whole words
        bytes_ = packed[page.start : page.start + page.packed]
        data[: page.size] = np.frombuffer(codec.decompress(bytes_, page.size) if codec else bytes_, np.uint8)
        if page.kind == _DATA:
            _decode_page(data, page, leaf)


def _decode_page(data: np.ndarray, page: _Page, leaf: pq.ColumnSchema) -> None:
    words, count, at = data.view(np.uint64), page.details[1], 0
    for is_there in (leaf.max_repetition_level, leaf.max_definition_level):
        levels = at
        at += 4 + int(data[at : at + 4].view("<u4")[0]) if is_there else 0
    codes, values = np.empty(count + 1, np.int32), np.empty(count + 1, np.int32)
    if page.details[2] != _PLAIN:
        unpack(data, words, at + 1, page.size, int(data[at]), codes[:count])
    has_value = np.empty(count + 1, np.bool_)
    most = leaf.max_definition_level
    place(data, words, levels + 4, (count, most.bit_length(), most), codes, values, has_value)


@compiled
def unpack(data, words, at, end, width, out):
    """Decode a hybrid of runs and packed bits."""
    filled, size = 0, len(out)
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    while filled < size and at < end:
        header, at = _header(data, at)
        if header & 1:
            count = min((header >> 1) * 8, size - filled)
            for to in range(count):
                out[filled + to] = _bits(words, at * 8 + to * width) & mask
            at += (header >> 1) * width
        else:
            count = min(header >> 1, size - filled)
            out[filled : filled + count] = _bits(words, at * 8) & mask
            at += (width + 7) // 8
        filled += count


@compiled
def place(data, words, at, levels, codes, out, has_value):
    """Put each code where the definition level is the greatest; levels: their number, bits, and the greatest."""
    left, width, greatest = levels
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    to = used = 0
    while left > 0:
        header, at = _header(data, at)
        count = min((header >> 1) * (8 if header & 1 else 1), left)
        if header & 1:
            for index in range(count):
                level = np.int64(_bits(words, at * 8 + index * width) & mask)
                out[to], has_value[to] = codes[used], level == greatest
                used += level == greatest
                to += level >= greatest - 1  # below, it is not a product but an empty list
            at += (header >> 1) * width
        else:
            level = np.int64(_bits(words, at * 8) & mask)
            if level >= greatest - 1:
                has_value[to : to + count] = level == greatest
                out[to : to + count] = codes[used : used + count]
                used += count if level == greatest else 0
                to += count
            at += 1
        left -= count


@compiled
def _header(data, at):
    """Return the varint at a place, and the place behind it."""
    header = shift = 0
    while data[at] > 127:
        header |= (np.int64(data[at]) & 127) << shift
        shift, at = shift + 7, at + 1
    return header | np.int64(data[at]) << shift, at + 1


@compiled
def _bits(words, bit):
    """Return the 64 bits that begin at a bit."""
    word, shift = np.uint64(bit) >> np.uint64(6), np.uint64(bit) & np.uint64(63)
    return words[word] >> shift | (words[word + np.uint64(1)] << (np.uint64(63) - shift)) << np.uint64(1)


def _pages(data: bytes, values: int) -> Iterator[_Page]:
    at = 0
    while values > 0:
        header, at = _struct(data, at)
        page = _Page(header[1], at, header[3], header[2], header.get(5, {}))
        if page.kind not in (_DATA, _DICTIONARY):
            raise ValueError("the benchmark reads pages of version 1 only")
        yield page
        values -= page.details.get(1, 0)
        at += page.packed


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct of Thrift's compact protocol by their numbers, and the place behind it."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := data[at]) != 0:
        number, kind, at = number + (head >> 4), head & 15, at + 1
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        elif kind == _STRUCT:
            fields[number], at = _struct(data, at)
        else:
            value, at = _varint(data, at)
            fields[number] = value >> 1 ^ -(value & 1)
            at += value if kind == _BINARY else 0
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while data[at] > 127:
        number, shift, at = number | (data[at] & 127) << shift, shift + 7, at + 1
    return number | data[at] << shift, at + 1
