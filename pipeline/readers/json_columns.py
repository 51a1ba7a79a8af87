"""Lines of JSON objects -> Arrow columns, by one compiled pass over the bytes.

It takes what an export writes and nothing odd: where a line holds an escape in a field that is read, a number that is
no integer where one is due, a key twice, or is no JSON, it gives up the block, and pipeline.readers.ndjson reads that
by its other ways. What it gives is what those give, with integers as int64. Fields that nobody asked for are passed
over, but checked to be JSON.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from pipeline.readers.json_scan import INTEGER, LIST, OTHER, ROOT, STRING, STRUCT, copy_texts, scan

_MOST_BYTES = 1 << 26  # of a block; places are int32, and the arrays have room for an object every eight bytes


class Layout:
    """A schema as the arrays that the compiled pass goes by; a node a field, rows counted by the list they are in."""

    def __init__(self, schema: pa.Schema):
        self.kinds: list[int] = []
        self.owners: list[int] = []  # of each node: whose rows it has, 0 for the record itself
        self.slots: list[int] = []  # of each node among those of its kind
        self.members: list[list[tuple[bytes, int]]] = []
        self.supported = True
        self._add(pa.struct(list(schema)), 0, integer=False)
        names = [(name, child, node) for node, found in enumerate(self.members) for name, child in found]
        self.names = np.frombuffer(b"".join(name for name, _, _ in names), np.uint8)
        ends = np.cumsum([0] + [len(name) for name, _, _ in names])
        bounds = np.searchsorted([node for _, _, node in names], np.arange(len(self.kinds) + 1))
        self.tables = (
            np.array(self.kinds, np.int64),
            np.array(self.owners, np.int64),
            np.argsort(self.owners, kind="stable"),
            np.searchsorted(np.sort(self.owners), np.arange(max(self.owners) + 2)),
            np.array(self.slots, np.int64),
            bounds.astype(np.int64),
            ends.astype(np.int64),
            np.array([child for _, child, _ in names], np.int64),
        )

    def _add(self, kind: pa.DataType, owner: int, integer: bool) -> int:
        node = len(self.kinds)
        self.kinds.append(_kind_of(kind, integer))
        self.owners.append(owner)
        self.slots.append(self.kinds[:-1].count(self.kinds[-1]))
        self.members.append([])
        if pa.types.is_struct(kind):
            fields = [(item.name.encode(), item.type, (item.metadata or {}).get(b"integer") == b"yes") for item in kind]
            self.members[node] = [(name, self._add(type_, owner, marked)) for name, type_, marked in fields]
        elif pa.types.is_list(kind):
            self.supported &= pa.types.is_struct(kind.value_type)
            self.members[node] = [(b"", self._add(kind.value_type, max(self.owners) + 1, integer=False))]
        return node

    def count(self, kind: int) -> int:
        return self.kinds.count(kind)


def _kind_of(kind: pa.DataType, integer: bool) -> int:
    if pa.types.is_struct(kind):
        return STRUCT
    if pa.types.is_list(kind):
        return LIST
    if pa.types.is_string(kind):
        return INTEGER if integer else STRING
    return OTHER


@lru_cache(maxsize=8)
def layout_of(schema: pa.Schema) -> Layout:
    return Layout(schema)


def parse(block: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """The records of a block of lines, one object each, with or without a last line end; None where it gives up.

    Args:
        schema: structs, lists of structs, strings, and strings marked as integers (pipeline.readers.ndjson.integer).
    """
    layout = layout_of(schema)
    if not layout.supported or len(block) > _MOST_BYTES:
        return None
    data = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)  # a line end ends every loop
    found = Found(layout, len(block) // 8 + 2)
    if not scan(data, layout.names, *layout.tables, *found.arrays):
        return None
    batch = pa.RecordBatch.from_struct_array(found.column(data, ROOT))
    try:
        batch.validate(full=True)  # ids are UTF-8
    except pa.ArrowInvalid:
        return None
    return batch


class Found:
    """What the pass found: for each node and row, where a text stands, a number, or how long a list is."""

    def __init__(self, layout: Layout, most: int):
        self._layout, strings, integers = layout, layout.count(STRING), layout.count(INTEGER)
        self._starts, self._lengths = (np.empty((strings, most), np.int32) for _ in range(2))
        self._numbers, self._known = np.empty((integers, most), np.int64), np.empty((integers, most), np.bool_)
        self._sizes = np.empty((layout.count(LIST), most), np.int32)
        self._there = np.empty((layout.count(STRUCT), most), np.bool_)
        self._rows = np.zeros(max(layout.owners) + 1, np.int64)
        self.arrays = (
            self._starts,
            self._lengths,
            self._numbers,
            self._known,
            self._sizes,
            self._there,
            self._rows,
        )

    def column(self, data: np.ndarray, node: int) -> pa.Array:
        """A node's rows as an Arrow array."""
        layout = self._layout
        kind, slot, rows = layout.kinds[node], layout.slots[node], int(self._rows[layout.owners[node]])
        if kind == STRUCT:
            members = layout.members[node]
            children, missing = [self.column(data, child) for _, child in members], ~self._there[slot, :rows]
            mask = pa.array(missing) if missing.any() else None
            return pa.StructArray.from_arrays(children, [name.decode() for name, _ in members], mask=mask)
        if kind == LIST:
            sizes = self._sizes[slot, :rows]
            offsets = np.zeros(rows + 1, np.int32)
            np.cumsum(np.maximum(sizes, 0), out=offsets[1:])
            mask = pa.array(sizes < 0) if (sizes < 0).any() else None
            ((_, child),) = layout.members[node]
            return pa.ListArray.from_arrays(pa.array(offsets), self.column(data, child), mask=mask)
        if kind == INTEGER:
            known = self._known[slot, :rows]
            return pa.array(self._numbers[slot, :rows], mask=None if known.all() else ~known)
        if kind == OTHER:
            return pa.nulls(rows, pa.float64())
        return _texts(data, self._starts[slot, :rows], self._lengths[slot, :rows])


def _texts(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> pa.StringArray:
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    text = np.empty(offsets[-1], np.uint8)
    copy_texts(data, starts, lengths, text)
    missing = lengths < 0
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.string(), len(starts), [valid, pa.py_buffer(offsets), pa.py_buffer(text)])
