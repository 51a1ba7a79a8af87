"""What a night reads: the tables of its window, and what tells whether they have changed."""

from __future__ import annotations

import datetime
import os
import re
from typing import Any

from configs.errors import UserError
from configs.settings import SourceSettings
from nightly import files

_DAY = re.compile(r"(?:ga_sessions|events)_(\d{8})(?!\d)")


class NoTableError(UserError):
    """The date has no table yet: wait for the export, or run another date."""


def of(source: SourceSettings, date: datetime.date) -> list[dict[str, Any]]:
    """The files of the window, each with what changes when it is written again.

    Raises:
        NoTableError: the date itself has none, or nothing matches at all.
        UserError: no input is named.
    """
    if not source.input:
        raise UserError("no input: set source.input in the config")
    found, days = [], set()
    for file in files.glob(source.input):
        day = day_of(file.path) if source.kind in ("ga360", "ga4") else None
        if day is None or (source.start_date or day) <= day <= date:
            found.append({"path": file.path, "bytes": file.bytes, "changed": file.changed})
            days.add(day)
    if not found:
        raise NoTableError(f"no file matches {source.input}: wait for the export, or check source.input")
    if None not in days and date not in days:
        latest = max(day for day in days if day is not None)
        raise NoTableError(f"no table of {date} matches {source.input}, the latest is of {latest}: wait for the export")
    return found


def day_of(path: str) -> datetime.date | None:
    """The day of a table of Google Analytics, by its name; None where the name tells none."""
    match = _DAY.match(os.path.basename(path))
    try:
        return datetime.datetime.strptime(match[1], "%Y%m%d").date() if match else None
    except ValueError:
        return None
