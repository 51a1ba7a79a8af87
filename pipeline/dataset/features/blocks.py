"""Rows of attributes -> blocks, which are the inputs of the features' graph; first the attributes of all items."""

from __future__ import annotations

import datetime
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts import storage
from artifacts.checksums import FileDescription, describe_bytes
from artifacts.features.fields import Field, input_names
from artifacts.names import CONTENT_ID, DAY_MS, ID, ITEM, KEY, LAST_TIME_MS, OWNER, Side
from configs.settings import SourceSettings
from configs.settings.features import OF_WORDS
from pipeline.dataset.features import raw
from pipeline.interactions import columns as shuffled
from pipeline.sources.items import attributes, catalogue

_ROWS = 8_192  # of a block


class Attributes(NamedTuple):
    """The attributes of the items of the vocabulary and of the new ones, and the ids of these."""

    known: pa.Table
    new_ids: list[bytes]
    new: pa.Table
    unfit: int  # new items whose contentId cannot be one
    as_of_ms: int | None  # the moment at which ages are measured: that of the last interaction


def read(
    items: str, values: Sequence[bytes], source: SourceSettings, table: pa.Table | None, fields: Sequence[Field]
) -> Attributes:
    """Return the attributes of all items.

    Args:
        fields: those that become features.
        items: the path of items.parquet.
        values: the attributes of the data, see `pipeline.sources.items.attributes`.
        table: the catalogue, if there is one.
    """
    with storage.open_to_read(items) as file:
        known = pq.read_table(file)
    ids, unfit = new_ids([name.encode() for name in known[CONTENT_ID].to_pylist()], values, table)
    rows = pa.array(ids, pa.binary())
    chosen = attributes.choose(values, rows, source.item_attributes, source.attribute_rule)
    if table is not None:
        chosen = catalogue.join(ids, chosen, table)
    return Attributes(known, ids, chosen.table, unfit, as_of_ms(known, source.end_date, fields))


def as_of_ms(known: pa.Table, end_date: datetime.date | None, fields: Sequence[Field]) -> int | None:
    """Return the moment at which ages are measured: that of the last interaction, or else the end of the last day.

    Without both, it is the newest time of an item; None where no attribute is a time.
    """
    if not any(field.kind == "time" for field in fields):
        return None
    if (last := pc.max(known[LAST_TIME_MS]).as_py()) is not None:
        return last
    if end_date is not None:
        return ((end_date - datetime.date(1970, 1, 1)).days + 1) * DAY_MS
    newest = [raw.times_of(known, field) for field in fields if field.kind == "time"]
    return max(int(milliseconds[is_time].max(initial=0)) for milliseconds, is_time in newest)


def schema(fields: Sequence[Field]) -> pa.Schema:
    """Return the columns of a block: the row's key and the attributes, as lists of the graph's inputs."""
    columns = [pa.field(KEY, pa.large_list(pa.int64()))]
    for name, field in zip(input_names(fields), fields, strict=True):
        kind = pa.large_binary() if field.kind in OF_WORDS else pa.float32()
        columns.append(pa.field(name, pa.large_list(kind)))
    return pa.schema(columns)


def new_ids(
    known: Sequence[bytes], values: Iterable[bytes], table: pa.Table | None, side: Side = ITEM
) -> tuple[list[bytes], int]:
    """Return the ids, ascending, that have attributes but are not in the vocabulary, and how many cannot be ids.

    values: the attributes of the data, see `pipeline.sources.items.attributes`. table: the side's table of attributes.
    """
    ids: set[bytes] = set()
    for part in values:
        if part:
            ids.update(shuffled.from_bytes(iter([part]))[OWNER].cast(pa.binary()).unique().to_pylist())
    if table is not None:
        names = table[side.id].combine_chunks()
        is_known = pc.is_in(names.cast(pa.binary()), value_set=pa.array(known, pa.binary()))
        names = names.filter(pc.invert(is_known))
        ids.update(pc.utf8_trim_whitespace(names).cast(pa.binary()).unique().drop_null().to_pylist())
    ids -= set(known)
    unfit = {name for name in ids if not name or b"\n" in name or b"\r" in name}
    return sorted(ids - unfit), len(unfit)


class Block(NamedTuple):
    """Some rows, all known or all new, as the graph's inputs, and the account of their attributes."""

    is_new: bool
    rows: pa.RecordBatch
    counts: Counter[str]


def in_blocks(
    table: pa.Table, keys: np.ndarray, fields: Sequence[Field], as_of_ms: int | None, side: Side, rows: int = _ROWS
) -> Iterator[Block]:
    """Yield the rows of a table with their keys int64 [n], all of a kind, in blocks of `rows`; at least one block.

    The key is the itemId (or userId), or -1 - n for the new one n. Of new ones, only values that are not of their kind
    are counted, not which attributes they have.
    """
    is_new = bool(len(keys)) and bool(keys[0] < 0)
    for first in range(0, max(len(keys), 1), rows):
        own = keys[first : first + rows]
        inputs, counts = raw.of_table(table.slice(first, len(own)), fields, as_of_ms)
        arrays = [_lists(own), *(_lists(inputs[field.name]) for field in fields)]
        counted = {
            f"{side.features}.{name}": number
            for name, number in counts.items()
            if not (is_new and name.startswith(("rows.", "missing.")))
        }
        yield Block(is_new, pa.RecordBatch.from_arrays(arrays, schema=schema(fields)), Counter(counted))


def of_items(items: Attributes, fields: Sequence[Field], rows: int = _ROWS) -> Iterator[Block]:
    """Yield all items in blocks; there is at least one of known items."""
    yield from in_blocks(items.known, np.arange(items.known.num_rows), fields, items.as_of_ms, ITEM, rows)
    if items.new_ids:
        yield from in_blocks(items.new, -1 - np.arange(len(items.new_ids)), fields, items.as_of_ms, ITEM, rows)


NEW_IDS = pa.schema({KEY: pa.int64(), ID: pa.binary()})


def ids_of_new(ids: Sequence[bytes], first: int = 0) -> pa.RecordBatch:
    """Return the ids of the new ones `first`, `first` + 1, ... as columns of NEW_IDS."""
    return pa.RecordBatch.from_arrays(
        [pa.array(np.arange(first, first + len(ids))), pa.array(ids, pa.binary())], schema=NEW_IDS
    )


def count(items: Attributes) -> Counter[str]:
    """Return the numbers of items, and the moment at which ages are measured."""
    return counts(ITEM, items.known.num_rows, len(items.new_ids), items.unfit, items.as_of_ms)


def counts(side: Side, known: int, new: int, unfit: int, as_of_ms: int | None) -> Counter[str]:
    """Return numbers of rows by their names among the counts of a job."""
    numbers = {side.plural: known, "new": new, "new_unfit": unfit, "as_of_ms": as_of_ms or 0}
    return +Counter({f"{side.features}.{name}": number for name, number in numbers.items()})


def _lists(values: np.ndarray | pa.Array) -> pa.Array:
    """Return inputs of rows as lists: of one value each, or of the numbers of an embedding."""
    width = values.shape[1] if isinstance(values, np.ndarray) and values.ndim == 2 else 1
    flat = pa.array(values.ravel()) if isinstance(values, np.ndarray) else values.cast(pa.large_binary())
    return pa.LargeListArray.from_arrays(pa.array(np.arange(len(values) + 1) * width, pa.int64()), flat)


def write_new_items(path: str, items: Attributes) -> FileDescription:
    """Write the new items with their attributes, in the order of `new_item_features`."""
    ids, sink = pa.array([name.decode("utf-8", "replace") for name in items.new_ids], pa.string()), io.BytesIO()
    table = items.new.add_column(0, CONTENT_ID, ids) if items.new.num_columns else pa.table({CONTENT_ID: ids})
    pq.write_table(table, sink, compression="zstd")
    storage.write_bytes(path, sink.getvalue())
    return describe_bytes(sink.getvalue(), records=len(items.new_ids))
