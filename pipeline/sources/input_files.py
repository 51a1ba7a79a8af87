"""The files of the window that a glob matches, and what any input consists of."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from artifacts import storage
from artifacts.names import DayTable, day_table_of_path, tables_to_read
from configs.errors import UserError
from configs.settings import Settings, SourceSettings
from pipeline.readers.records import RawBatch

_TABLE_OF_DAY = ("ga360", "ga4")
_LEFTOVERS = (".crc", "~", ".tmp", ".bak", ".swp", ".partial", "._copying_")  # of other tools, by the name's end


@dataclass(frozen=True)
class Input:
    """The input of a job.

    files: paths, sorted; or BigQuery's streams. size: bytes of all. outside: the number of files outside the window.
    read: how to read a stream; null for files. seen: counts that no reading yields. about: facts for the manifest.
    """

    files: list[str]
    size: int
    outside: int = 0
    read: Callable[[str], Iterator[RawBatch]] | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, int] = field(default_factory=dict)


def match_files(source: SourceSettings) -> Input:
    """Return the files of the source; raise UserError if no glob is set, or no file matches it."""
    if not source.input:
        raise UserError("no input: pass --input GLOB (or bq://...) or set source.input in the config")
    try:
        files = storage.glob(source.input)
    except OSError as error:
        raise UserError(f"{source.input} cannot be listed: {error}") from error
    fixed = len(re.split(r"[*?\[]", source.input, maxsplit=1)[0].rpartition("/")[0])
    visible = _once([file for file in files if file.path == source.input or not _is_hidden(file.path[fixed:])])
    tables = [_table_of(file.path, source) for file in visible]
    chosen = tables_to_read(tables, source.include_intraday)
    kept = [(file, table) for file, table, read in zip(visible, tables, chosen, strict=True) if read]
    if not kept:
        raise UserError(f"no file matches {source.input}{_what_does(source.input, len(visible))}")
    inside = [file for file, table in kept if _is_inside(table, source)]
    if not inside:
        days = sorted(table.day for _, table in kept if table)
        raise UserError(
            f"no file of {source.input} is of the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"they are of {days[0]} to {days[-1]}"
        )
    size = sum(file.bytes for file in inside)
    return Input(sorted(file.path for file in inside), size, len(kept) - len(inside))


def _once(files: list[storage.StoredFile]) -> list[storage.StoredFile]:
    """Return files without links to others of them, such as latest.json; of links to one other file, one stays."""
    links_first = sorted(files, key=lambda file: os.path.islink(file.path), reverse=True)
    kept = {file.path if "://" in file.path else os.path.realpath(file.path): file.path for file in links_first}
    paths = set(kept.values())
    return [file for file in files if file.path in paths]


def _what_does(pattern: str, unfinished: int) -> str:
    """Return what a pattern matches in place of files to read."""
    if unfinished:
        return f"; {unfinished} intraday or fresh files do, which source.include_intraday reads"
    below = f"{pattern.rstrip('/')}/*"
    has_files = storage.is_directory(pattern) or storage.glob(below)
    return f", only directories do; name their files, e.g. '{below}'" if has_files else ""


def match_test_files(settings: Settings) -> Input | None:
    """Return the files that are held out whole, None where there are none; the window does not apply to them.

    Raise UserError if no file matches, or a file is also in the training input.
    """
    if settings.split.test_input is None:
        return None
    if settings.source.in_bigquery:
        raise UserError(
            "split.test_input goes with files as source.input; of BigQuery's rows, split.kind holds out some"
        )
    update = {"input": settings.split.test_input, "start_date": None, "end_date": None}
    test = match_files(settings.source.model_copy(update=update))
    both = set(test.files) & set(match_files(settings.source).files)
    if both:
        raise UserError(f"{min(both)} matches both source.input and split.test_input; a file is of train or of test")
    return test


def _table_of(path: str, source: SourceSettings) -> DayTable | None:
    return day_table_of_path(path) if source.kind in _TABLE_OF_DAY else None


def _is_inside(table: DayTable | None, source: SourceSettings) -> bool:
    """Return whether a file may have rows of the window."""
    return table is None or (source.start_date or table.day) <= table.day <= (source.end_date or table.day)


def _is_hidden(path: str) -> bool:
    """Return whether a file is a marker or a leftover of another tool: _SUCCESS, x.crc, x~, or below _temporary/."""
    return path.lower().endswith(_LEFTOVERS) or any(name.startswith(("_", ".")) for name in path.split("/"))
