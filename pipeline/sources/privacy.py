"""Visitors' ids in the input: deleted visitors are left out, ids are hashed, and `rejected/` contains none of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artifacts import privacy
from artifacts.names import USER
from configs.settings import PrivacySettings

if TYPE_CHECKING:
    from pipeline.sources.extract import Extract


VIEWS = "views"
DELETION_LIST = "seen.deletion_list"  # batches that were compared with a list that has ids
DELETED_LINE = "seen.deleted_line."  # views and attributes of the visitor of each line of the list
_HASH = re.compile(rb"[0-9a-f]{64}")


@lru_cache(maxsize=1)
def rules(settings: PrivacySettings) -> tuple[bytes | None, dict[bytes, int]]:
    """Return the key and the ids to leave out, with their lines; each process reads them: no job contains a key."""
    key = privacy.read_key(settings)
    return key, privacy.read_deleted(settings, key)


def open_rules(settings: PrivacySettings) -> tuple[bytes | None, dict[bytes, int]]:
    """Return `rules` after reading the files again, at the start of a job; raise UserError if one cannot be read."""
    rules.cache_clear()
    return rules(settings)


def protect(extract: Extract, settings: PrivacySettings, by_visit: bool) -> Extract:
    """Return a source's rows, visitorIds first, without those of deleted visitors, and with hashed ids.

    by_visit: ids are `visitor-visitNumber`; the deletion list names the visitor.
    """
    if not (settings.hashes or settings.deleted_visitors):
        return extract
    key, deleted = rules(settings)
    extract.counts[DELETION_LIST] += bool(deleted)

    def protected(table: pa.RecordBatch, skipped: str) -> pa.RecordBatch:
        names, codes = _names(table.column(0))
        line = np.array([_line(name, key, deleted, by_visit) for name in names], np.int64)[codes]
        for number, count in zip(*np.unique(line[line >= 0], return_counts=True), strict=True):
            extract.counts[f"{skipped}.deleted_visitor"] += int(count)
            extract.counts[f"{DELETED_LINE}{number}"] += int(count)
        names = [privacy.hashed(key, name) if key else name for name in names]
        table = table.set_column(0, table.schema.field(0), _column(names, codes, table.schema.types[0]))
        return table.filter(pa.array(line < 0))

    rejects = [_without_id(line, key is not None, deleted) for line in extract.rejects]
    visitors = extract.visitors and protected(extract.visitors, USER.attributes)
    return replace(extract, table=protected(extract.table, f"{VIEWS}.skipped"), rejects=rejects, visitors=visitors)


def protect_table(table: pa.Table, settings: PrivacySettings) -> tuple[pa.Table, int]:
    """Return a table of visitors, visitorIds as text first, without deleted ones and with hashed ids.

    Return also how many rows were deleted visitors'. An id of 64 hexadecimal digits is a hash already.
    """
    if not (settings.hashes or settings.deleted_visitors):
        return table, 0
    key, deleted = rules(settings)
    names = [name if name is None else name.encode() for name in table.column(0).to_pylist()]
    kept = np.array([name is None or _line(name, key, deleted, by_visit=False) < 0 for name in names], bool)
    if key:
        names = [name if name is None or _HASH.fullmatch(name) else privacy.hashed(key, name) for name in names]
    ids = pa.array([None if name is None else name.decode() for name in names], pa.string())
    table = table.set_column(0, table.column_names[0], ids)
    return table.filter(pa.array(kept)), int((~kept).sum())


def _names(column: pa.Array) -> tuple[list[bytes], np.ndarray]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _column(names: list[bytes], codes: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.array(codes, kind.index_type), pa.array(names, kind.value_type))
    return pa.array(names, kind).take(pa.array(codes))


def _line(name: bytes, key: bytes | None, deleted: dict[bytes, int], by_visit: bool) -> int:
    """Return the line of the deletion list that names a visitor, -1 where none does."""
    forms = [name, name.rpartition(b"-")[0]] if by_visit else [name]
    forms += [privacy.hashed(key, form) for form in forms] if key and deleted else []
    return next((deleted[form] for form in forms if form in deleted), -1)


def _without_id(line: bytes, always: bool, deleted: dict[bytes, int]) -> bytes:
    """Return a rejected row without its visitorId where that may not be kept; its file and number still locate it."""
    row = json.loads(line)
    name = row.get("visitorId")
    if name is None or not (always or name.encode("utf-8", "surrogatepass") in deleted):
        return line
    del row["visitorId"]
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace")
