"""What a job reads: the files of the window that a glob matches, or BigQuery's streams."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from configs.errors import UserError
from configs.settings import Settings, SourceSettings
from pipeline.readers.files import RawBatch

_TABLE_OF_DAY = ("ga360", "ga4")
_NAME_OF_DAY = re.compile(r"(?:ga_sessions|events)_(?:intraday_)?(\d{8})(?!\d)")


@dataclass(frozen=True)
class Input:
    """The files a job reads.

    files: paths, sorted; or BigQuery's streams. size: bytes of all. outside: how many more are of days outside the
    window. read: how to read one that is no file. seen: counts that no reading gives. about: for the manifest.
    """

    files: list[str]
    size: int
    outside: int = 0
    read: Callable[[str], Iterator[RawBatch]] | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def opened(settings: Settings, keep: bool = False) -> Iterator[Input]:
    """What the settings name as a source, for as long as a job needs it.

    Args:
        keep: whether it shall be readable afterwards; what was made for it then lapses by itself.

    Raises:
        UserError: see `match_input` and `pipeline.sources.bigquery.source`.
    """
    if not settings.source.in_bigquery:
        yield match_input(settings.source)
        return
    from pipeline.sources.bigquery import source  # Google's clients take a second to import

    with source.opened(settings, keep) as found:
        yield found


def describe(settings: Settings) -> str:
    """What a job would read, without reading it."""
    if settings.source.in_bigquery:
        from pipeline.sources.bigquery import source

        return source.describe(settings)
    found = match_input(settings.source)
    more = [f"and {len(found.files) - 10} more"] if len(found.files) > 10 else []
    return "\n".join([*found.files[:10], *more, f"would read {found.size:,} bytes in {len(found.files)} files"])


def match_input(source: SourceSettings) -> Input:
    """Lists the files of the source.

    Raises:
        UserError: no glob is given, or no file matches it.
    """
    if not source.input:
        raise UserError("no input: pass --input GLOB (or bq://...) or set source.input in the config")
    try:
        (match,) = FileSystems.match([source.input])
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{source.input} cannot be listed: {' '.join(str(error).split())}") from error
    if os.path.isdir(source.input):
        raise UserError(f"{source.input} is a directory; name its files, e.g. '{source.input.rstrip('/')}/*'")
    found = [file for file in match.metadata_list if not _is_hidden(file.path)]
    kept = [file for file in found if source.include_intraday or "_intraday_" not in os.path.basename(file.path)]
    if not kept:
        only = f"; {len(found)} intraday files do, which source.include_intraday reads" if found else ""
        raise UserError(f"no file matches {source.input}{only}")
    inside = [file for file in kept if _may_hold(file.path, source)]
    if not inside:
        days = sorted(day for file in kept if (day := _day_of_table(file.path)))
        raise UserError(
            f"no file of {source.input} is of the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"they are of {days[0]} to {days[-1]}"
        )
    return Input(
        sorted(file.path for file in inside), sum(file.size_in_bytes for file in inside), len(kept) - len(inside)
    )


def match_test_input(settings: Settings) -> Input | None:
    """Lists the files that are held out whole, None where there are none; the window is not theirs.

    Raises:
        UserError: no file matches, or one is train's too.
    """
    if settings.split.test_input is None:
        return None
    if settings.source.in_bigquery:
        raise UserError(
            "split.test_input goes with files as source.input; of BigQuery's rows, split.kind holds out some"
        )
    update = {"input": settings.split.test_input, "start_date": None, "end_date": None}
    found = match_input(settings.source.model_copy(update=update))
    both = set(found.files) & set(match_input(settings.source).files)
    if both:
        raise UserError(f"{min(both)} matches both source.input and split.test_input; a file is of train or of test")
    return found


def _may_hold(path: str, source: SourceSettings) -> bool:
    """Whether a file may hold rows of the window: a table of Google Analytics is of the one day in its name."""
    day = _day_of_table(path) if source.kind in _TABLE_OF_DAY else None
    if day is None:
        return True
    return (source.start_date or day) <= day <= (source.end_date or day)


def _day_of_table(path: str) -> datetime.date | None:
    match = _NAME_OF_DAY.match(os.path.basename(path))
    try:
        return datetime.datetime.strptime(match[1], "%Y%m%d").date() if match else None
    except ValueError:
        return None


def _is_hidden(path: str) -> bool:
    """Markers and leftovers of other tools: _SUCCESS, .crc."""
    return os.path.basename(path).startswith(("_", "."))
