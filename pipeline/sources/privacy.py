"""Visitors' ids in the input: deleted visitors are left out, ids are hashed, and `rejected/` contains none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from artifacts import privacy
from configs.settings import PrivacySettings
from pipeline.sources.extract import Extract

VIEWS = "views"
DELETION_LIST = "seen.deletion_list"  # batches that were compared with a list that has ids


@lru_cache(maxsize=1)
def rules(settings: PrivacySettings) -> tuple[bytes | None, frozenset[bytes]]:
    """Return the key and the ids to leave out; each process reads them once, so that no job contains a key.

    Raises:
        UserError: one of the files cannot be read.
    """
    key = privacy.read_key(settings)
    return key, privacy.read_deleted(settings, key)


def open_rules(settings: PrivacySettings) -> tuple[bytes | None, frozenset[bytes]]:
    """Return `rules` after reading the files again, at the start of a job.

    Raises:
        UserError: one of the files cannot be read.
    """
    rules.cache_clear()
    return rules(settings)


def protect(extract: Extract, settings: PrivacySettings, by_visit: bool) -> Extract:
    """Return a source's rows without those of deleted visitors, and with hashed ids.

    Args:
        extract: the first column of its table is the visitorId.
        by_visit: ids are `visitor-visitNumber`; the deletion list names the visitor.
    """
    if not (settings.hashes or settings.deleted_visitors):
        return extract
    key, deleted = rules(settings)
    extract.counts[DELETION_LIST] += bool(deleted)
    table = extract.table
    names, codes = _names(table.column(0))
    is_deleted = np.array([_is_deleted(name, key, deleted, by_visit) for name in names], bool)
    kept = ~is_deleted[codes] if len(names) else np.zeros(0, bool)
    if count := int((~kept).sum()):
        extract.counts[f"{VIEWS}.skipped.deleted_visitor"] += count
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


def _is_deleted(name: bytes, key: bytes | None, deleted: frozenset[bytes], by_visit: bool) -> bool:
    forms = [name, name.rpartition(b"-")[0]] if by_visit else [name]
    return any(form in deleted or (key and privacy.hashed(key, form) in deleted) for form in forms)


def _without_id(line: bytes, always: bool, deleted: frozenset[bytes]) -> bytes:
    """Return a rejected row without its visitorId where that may not be kept; its file and number still locate it."""
    row = json.loads(line)
    name = row.get("visitorId")
    if name is None or not (always or name.encode("utf-8", "surrogatepass") in deleted):
        return line
    del row["visitorId"]
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace")
