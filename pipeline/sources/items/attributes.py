"""Attributes of items, such as title and price, and of visitors, such as country: collected as counts of their values,
chosen when all are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.names import ITEM, OWNER, TIME_MS, Side
from configs.settings.signals import NUMBERS
from pipeline.interactions import columns as shuffled
from pipeline.interactions.columns import ID
from pipeline.sources import columns
from pipeline.sources.columns import NOTHING
from pipeline.sources.items.pairs import Coded, count_pairs

NAME, VALUE, _ROWS = "name", "value", "rows"
# One row per owner (an item or a visitor), attribute and value: its number of rows, and the time of the last one.
VALUES = pa.schema({OWNER: ID, NAME: ID, VALUE: ID, _ROWS: pa.int64(), TIME_MS: pa.int64()})


class Located(NamedTuple):
    """Values [m], text or numbers, and the place of each row's, int64[n]; NOTHING where it has none."""

    values: pa.Array
    places: np.ndarray

    @classmethod
    def of_rows(cls, values: pa.Array) -> Located:
        """Return one value per row."""
        return cls(values, np.arange(len(values)))


def collect(
    items: pa.Array, times_ms: np.ndarray, fields: Mapping[str, Located], missing: Iterable[str] = ()
) -> pa.RecordBatch:
    """Return the values of the owners' attributes in some rows.

    Args:
        items: the item (or the visitor) of each row, binary or ID [n]; null where it has none.
        times_ms: int64 [n].
        fields: the values of each attribute by its name.
        missing: values that stand for none, such as (not set).

    Returns:
        columns of VALUES.
    """
    items = columns.coded_ids(items)
    none = pa.array([b"", *(name.encode() for name in missing)], pa.binary())
    item_codes = items.indices.fill_null(NOTHING).to_numpy()
    batches = []
    for name, field in fields.items():
        values, places = _coded(field)
        is_value = pc.invert(pc.is_in(values.dictionary, value_set=none)).to_numpy(zero_copy_only=False)
        codes = values.indices.fill_null(NOTHING).to_numpy()
        pairs = count_pairs(item_codes, Coded(codes, places, is_value), times_ms)
        arrays = [
            pa.DictionaryArray.from_arrays(pa.array(pairs.item.astype(np.int32)), items.dictionary),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(pairs.item), np.int32)), pa.array([name.encode()])),
            pa.DictionaryArray.from_arrays(pa.array(pairs.value.astype(np.int32)), values.dictionary),
            pa.array(pairs.rows),
            pa.array(pairs.last_ms),
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=VALUES))
    table = pa.Table.from_batches(batches, VALUES).unify_dictionaries().combine_chunks()
    return (table.to_batches() or [pa.RecordBatch.from_pylist([], schema=VALUES)])[0]


def add_up(values: pa.Table) -> pa.RecordBatch:
    """Return values with one row per item, attribute and value."""
    grouped = values.unify_dictionaries().group_by([OWNER, NAME, VALUE], use_threads=False)
    summed = grouped.aggregate([(_ROWS, "sum"), (TIME_MS, "max")]).select([0, 1, 2, 3, 4]).rename_columns(VALUES.names)
    (batch,) = summed.cast(VALUES).combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=VALUES)]
    return batch


class Chosen(NamedTuple):
    """One value of each attribute per item, and the account."""

    table: pa.Table  # a column [m] per attribute: text, or float64 for a price; null where an item has none
    counts: Counter[str]

    def slice(self, first: int, size: int) -> Chosen:
        """Return the attributes of a part of the items, without an account."""
        return Chosen(self.table.slice(first, size), Counter())


def choose(
    values: Iterable[bytes],
    ids: pa.Array,
    fields: Mapping[str, str],
    rule: Literal["last", "most_frequent"],
    side: Side = ITEM,
) -> Chosen:
    """Return one value of each attribute for each item (or visitor).

    Args:
        values: serialised columns of VALUES.
        ids: the contentIds (or visitorIds), binary [m], in the order of the result.
        fields: the field of each attribute by its name.
        rule: the value that counts where an item has several. Equals go to the other rule, then to the lower bytes.
        side: of the ids, for the names of the counts.
    """
    parts = sorted(part for part in values if part)
    table = shuffled.from_bytes(iter(parts)) if parts else VALUES.empty_table()
    table = pa.Table.from_batches([add_up(table)])
    item = pc.index_in(table[OWNER].combine_chunks().dictionary_decode(), value_set=ids)
    known = item.is_valid()
    table = table.append_column("item", item).filter(known)
    first, second = (TIME_MS, _ROWS) if rule == "last" else (_ROWS, TIME_MS)
    table = table.set_column(2, VALUE, table[VALUE].cast(pa.binary())).sort_by(
        [("item", "ascending"), (first, "descending"), (second, "descending"), (VALUE, "ascending")]
    )
    names, counts, chosen = table[NAME].cast(pa.binary()).to_pylist(), Counter[str](), {}
    for name, field in fields.items():
        own = table.filter(pa.array([each == name.encode() for each in names], pa.bool_()))
        items = own["item"].to_numpy()
        is_first = np.append(True, items[1:] != items[:-1])[: len(items)]
        texts = pa.nulls(len(ids), pa.binary()) if not len(items) else _placed(own, items, is_first, len(ids))
        chosen[name] = _typed(texts, field)
        counts[f"{side.attributes}.{side.plural}.{name}"] = len(ids) - chosen[name].null_count
        counts[f"{side.attributes}.several_values.{name}"] = len(np.unique(items[~is_first]))
        counts[f"{side.attributes}.not_a_number.{name}"] = chosen[name].null_count - texts.null_count
    return Chosen(pa.table(chosen), +counts)


def _placed(own: pa.Table, items: np.ndarray, is_first: np.ndarray, size: int) -> pa.Array:
    """Return the first value of each item in its place, null for the others."""
    place = np.full(size, -1)
    place[items[is_first]] = np.flatnonzero(is_first)
    return own[VALUE].combine_chunks().take(pa.array(place, mask=place < 0))


def _coded(field: Located) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Return values as bytes, each distinct one once, and the place of each row's, int64[n].

    The codes of a dictionary need no copy; other values are encoded, and only those of the rows.
    """
    if pa.types.is_dictionary(field.values.type):
        return columns.coded_ids(field.values), field.places
    return _coded_texts(columns.taken(*field)), np.arange(len(field.places))


def _coded_texts(column: pa.Array) -> pa.DictionaryArray:
    """Return values as text in bytes, each distinct one once; a float that is a whole number has no fraction."""
    column = columns.plain(column)
    if pa.types.is_null(column.type):  # of a field that the file lacks; encoded, it would have a null among its values
        column = column.cast(pa.binary())
    coded = column.dictionary_encode()
    texts = coded.dictionary
    if not pa.types.is_binary(texts.type):
        texts = texts.cast(pa.string())
    return pa.DictionaryArray.from_arrays(coded.indices, texts.cast(pa.binary()))


def _typed(texts: pa.Array, field: str) -> pa.Array:
    if field in NUMBERS:
        numbers, is_number = columns.floats(texts)
        return pa.array(numbers, mask=~is_number)
    valid = [None if text is None else text.decode("utf-8", "replace") for text in texts.to_pylist()]
    return pa.array(valid, pa.string())
