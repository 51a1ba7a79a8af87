"""The catalogue joins items.parquet: its columns are next to the attributes of the data, and its values win.

The site's own table of visitors joins the attributes of visitors in the same way.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts import storage
from artifacts.catalogue import as_text
from artifacts.names import CONTENT_ID, ITEM, Side
from artifacts.paths import join as join_path
from configs.errors import UserError
from configs.settings import SourceSettings
from configs.settings.signals import NUMBERS, RESERVED
from pipeline.sources import columns
from pipeline.sources.items.attributes import Chosen


def check(table: pa.Table, path: str, source: SourceSettings) -> None:
    """Raise UserError if a catalogue has a column of items.parquet, or a nested one in place of an attribute."""
    if taken := [name for name in table.column_names if name in RESERVED]:
        raise UserError(f"catalogue {path}: {taken[0]} is a column of items.parquet; choose another name")
    for name, field in source.item_attributes.items():
        if name in table.column_names:
            kind, where = table[name].type, f"catalogue {path}, column {name}"
            if pa.types.is_nested(kind) or (field in NUMBERS and pa.types.is_temporal(kind)):
                raise UserError(f"{where} is {kind}, and an attribute of the data; choose another name")
            if field not in NUMBERS:
                as_text(table[name].combine_chunks(), where)


def repeated(table: pa.Table) -> int:
    """Return how many rows of a catalogue have the contentId of another."""
    return _repeated(table[CONTENT_ID].combine_chunks())


def _repeated(names: pa.Array) -> int:
    return len(names) - names.null_count - pc.count_distinct(names).as_py()


def stage(table: pa.Table | None, directory: str, side: Side = ITEM) -> str | None:
    """Write a catalogue where the workers of a job can read it, and return its path; None without one."""
    if table is None:
        return None
    path, sink = join_path(directory, f"{side.catalogue}.parquet"), io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    storage.write_bytes(path, sink.getvalue())
    return path


def read_staged(path: str) -> pa.Table:
    """Read what `stage` wrote."""
    return pq.read_table(io.BytesIO(storage.read_bytes(path)))


def join(ids: Sequence[bytes], chosen: Chosen, catalogue: pa.Table, side: Side = ITEM) -> Chosen:
    """Return the items' attributes with those of a catalogue, which win unless they are null.

    Args:
        ids: the contentIds [m]. chosen: the attributes of the data [m], with their counts.
        catalogue: checked; of rows with one id, the last counts. side: of the ids.
    """
    names = catalogue[side.id].combine_chunks()
    row, counts = _rows(pa.array([name.decode() for name in ids], pa.string()), names, side)
    taken = catalogue.take(pa.array(row, mask=row < 0))
    joined = {name: chosen.table[name].combine_chunks() for name in chosen.table.column_names}
    counts.update(chosen.counts)
    for name in catalogue.column_names:
        if name == side.id:
            continue
        column, from_data = taken[name].combine_chunks(), joined.get(name)
        if from_data is None:
            joined[name] = column
            continue
        if pa.types.is_floating(from_data.type):
            numbers, is_number = columns.floats(column)
            values = pa.array(numbers, mask=~is_number)
            if values.null_count > column.null_count:
                counts[f"{side.catalogue}.not_a_number.{name}"] = values.null_count - column.null_count
        else:
            values = as_text(column, name)
        joined[name] = pc.coalesce(values, from_data)
    return Chosen(pa.table(joined), counts)


def _rows(ids: pa.Array, names: pa.Array, side: Side) -> tuple[np.ndarray, Counter[str]]:
    """Return the last row of each of the ids [m], -1 without one, among a catalogue's [n], and the counts."""
    last, known = np.full(len(ids), -1), np.zeros(len(names), bool)
    for form in (names, pc.utf8_trim_whitespace(names)):  # as in any list of ids
        items = pc.index_in(form, value_set=ids)
        has_item = items.is_valid().to_numpy(zero_copy_only=False)
        np.maximum.at(last, items.drop_null().to_numpy(), np.flatnonzero(has_item))
        known |= has_item
    counts = {
        "rows": len(names),
        "rows_found": int(known.sum()),
        "rows_without_id": names.null_count,
        "rows_repeated": _repeated(names),
        side.plural: int((last >= 0).sum()),
    }
    return last, Counter({f"{side.catalogue}.{name}": number for name, number in counts.items()})
