"""Lines of JSON objects -> Arrow columns, by one compiled pass over the bytes.

The pass accepts the lines that an export normally contains. It gives up a block in which a line has an escape in a
name, a surrogate, a number of another kind than its field, a key twice, or is not JSON; `pipeline.readers.ndjson`
reads that block by its other parsers. The records are the same by either way, except that
integers are int64 here. Fields that nobody asked for are skipped, but checked to be JSON.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from pipeline.readers.json_arrow import is_integer
from pipeline.readers.json_scan import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    LIST,
    MEMBER,
    NODE,
    NULL,
    ROOT,
    SPAN,
    STRING,
    STRUCT,
    Cells,
    Layout,
    copy_texts,
    scan,
)  # fmt: skip

_MAX_BYTES = 1 << 26  # of a block: offsets are int32, and the cells have room for one object per eight bytes


class Nodes:
    """The fields of a schema, parents before their members; the record itself is node 0."""

    def __init__(self, schema: pa.Schema):
        self.kinds: list[int] = []
        self.owners: list[int] = []  # the row group of each node
        self.slots: list[int] = []  # the number of each node among those of its kind
        self.members: list[list[tuple[bytes, int]]] = []
        self.supported = True
        self._add(pa.struct(list(schema)), 0, integer=False)
        self.layout = self._layout()

    def _add(self, kind: pa.DataType, owner: int, integer: bool) -> int:
        node = len(self.kinds)
        self.kinds.append(_kind_of(kind, integer))
        self.owners.append(owner)
        self.slots.append(self.kinds[:-1].count(self.kinds[-1]))
        self.members.append([])
        if pa.types.is_struct(kind):
            fields = [(item.name.encode(), item.type, is_integer(item)) for item in kind]
            self.members[node] = [(name, self._add(type_, owner, marked)) for name, type_, marked in fields]
        elif pa.types.is_list(kind):
            self.supported &= pa.types.is_struct(kind.value_type)
            self.members[node] = [(b"", self._add(kind.value_type, max(self.owners) + 1, integer=False))]
        return node

    def _layout(self) -> Layout:
        order = np.argsort(self.owners, kind="stable").tolist()  # nodes of one row group follow each other
        position = {node: index for index, node in enumerate(order)}
        names = [name for node in order for name, _ in self.members[node]]
        ends = np.cumsum([len(name) for name in names]).tolist()
        children = [position[child] for node in order for _, child in self.members[node]]
        lasts = np.cumsum([len(self.members[node]) for node in order]).tolist()
        nodes = [
            (self.kinds[node], self.owners[node], self.slots[node], last - len(self.members[node]), last)
            for node, last in zip(order, lasts, strict=True)
        ]
        members = [(end - len(name), len(name), child) for name, end, child in zip(names, ends, children, strict=True)]
        groups = np.searchsorted(np.sort(self.owners), np.arange(max(self.owners) + 2))
        return Layout(
            np.frombuffer(b"".join(names), np.uint8), np.array(members, MEMBER), np.array(nodes, NODE), groups
        )

    def empty_cells(self, rows: int) -> Cells:
        """Allocate cells for so many rows of each row group."""

        def cells(kind: int, dtype: np.typing.DTypeLike) -> np.ndarray:
            return np.empty((self.kinds.count(kind), rows), dtype)

        return Cells(
            strings=cells(STRING, SPAN),
            integers=cells(INTEGER, np.int64),
            floats=cells(FLOAT, np.float64),
            booleans=cells(BOOLEAN, np.int8),
            lists=cells(LIST, np.int32),
            structs=cells(STRUCT, np.bool_),
            rows=np.zeros(max(self.owners) + 1, np.int64),
        )


def _kind_of(kind: pa.DataType, integer: bool) -> int:
    if pa.types.is_struct(kind):
        return STRUCT
    if pa.types.is_list(kind):
        return LIST
    if pa.types.is_string(kind):
        return INTEGER if integer else STRING
    if pa.types.is_float64(kind):
        return FLOAT
    if pa.types.is_boolean(kind):
        return BOOLEAN
    raise TypeError(f"{kind} is not a type of an export's field")


_nodes_of = lru_cache(maxsize=8)(Nodes)  # they do not depend on the data


def parse(block: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """Return the records of a block, one object per line, with or without a last line end; None to give up.

    The schema has structs, lists of structs, strings, floats, booleans, and strings marked as integers.
    """
    nodes = _nodes_of(schema)
    if not nodes.supported or len(block) > _MAX_BYTES:
        return None
    data = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)  # a line end ends every loop
    cells = nodes.empty_cells(len(block) // 8 + 2)
    if not scan(data, nodes.layout, cells):
        return None
    batch = pa.RecordBatch.from_struct_array(_column(data, nodes, cells, ROOT))
    try:
        batch.validate(full=True)  # ids are UTF-8
    except pa.ArrowInvalid:
        return None
    return batch


def _column(data: np.ndarray, nodes: Nodes, cells: Cells, node: int) -> pa.Array:
    """Return the rows of a node as an Arrow array."""
    kind, slot, rows = nodes.kinds[node], nodes.slots[node], int(cells.rows[nodes.owners[node]])
    if kind == STRUCT:
        members = nodes.members[node]
        children, missing = [_column(data, nodes, cells, child) for _, child in members], ~cells.structs[slot, :rows]
        mask = pa.array(missing) if missing.any() else None
        return pa.StructArray.from_arrays(children, [name.decode() for name, _ in members], mask=mask)
    if kind == LIST:
        sizes = cells.lists[slot, :rows]
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(np.maximum(sizes, 0), out=offsets[1:])
        mask = pa.array(sizes < 0) if (sizes < 0).any() else None
        ((_, child),) = nodes.members[node]
        return pa.ListArray.from_arrays(pa.array(offsets), _column(data, nodes, cells, child), mask=mask)
    if kind == INTEGER:
        integers = cells.integers[slot, :rows]
        missing = integers == NULL
        return pa.array(integers, mask=missing if missing.any() else None)
    if kind == FLOAT:
        floats = cells.floats[slot, :rows]
        missing = np.isnan(floats)
        return pa.array(floats, mask=missing if missing.any() else None)
    if kind == BOOLEAN:
        booleans = cells.booleans[slot, :rows]
        missing = booleans < 0
        return pa.array(booleans == 1, mask=missing if missing.any() else None)
    return _strings(data, cells.strings[slot, :rows])


def _strings(data: np.ndarray, spans: np.ndarray) -> pa.StringArray:
    lengths = spans["length"]
    offsets = np.zeros(len(spans) + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    text = np.empty(offsets[-1], np.uint8)
    copy_texts(data, spans, text)
    missing = lengths < 0
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.string(), len(spans), [valid, pa.py_buffer(offsets), pa.py_buffer(text)])
