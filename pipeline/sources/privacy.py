"""Visitors' ids in the input: deleted visitors are left out, ids are hashed, and `rejected/` contains none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artifacts import privacy
from configs.settings import PrivacySettings

if TYPE_CHECKING:
    from pipeline.sources.extract import Extract


VIEWS = "views"
DELETION_LIST = "seen.deletion_list"  # batches that were compared with a list that has ids
DELETED_LINE = "seen.deleted_line."  # views of the visitor of each line of the list


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
    table = extract.table
    names, codes = _names(table.column(0))
    line = np.array([_line(name, key, deleted, by_visit) for name in names], np.int64)[codes]
    kept = line < 0
    for number, count in zip(*np.unique(line[~kept], return_counts=True), strict=True):
        extract.counts[f"{VIEWS}.skipped.deleted_visitor"] += int(count)
        extract.counts[f"{DELETED_LINE}{number}"] += int(count)
    names = [privacy.hashed(key, name) if key else name for name in names]
    table = table.set_column(0, table.schema.field(0), _column(names, codes, table.schema.types[0]))
    rejects = [_without_id(line, key is not None, deleted) for line in extract.rejects]
    return replace(extract, table=table.filter(pa.array(kept)), rejects=rejects)


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
