"""The tables that Google Analytics exports per day, by their names; a file or a directory is named like its table.

A day can have up to three tables of the same events: the final one, `fresh`, which is rewritten for three days, and
`intraday`, which grows during the day. A job reads one of them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SUFFIX = re.compile(r"(?:(?P<version>intraday|fresh)_)?(?P<day>[0-9]{8})(?![0-9])")
_PREFIX = re.compile(r"(?:^|[^A-Za-z0-9])(?:ga_sessions|events)_")
FINAL, FRESH, INTRADAY = range(3)  # versions of a day's table, the best first
_VERSIONS = {None: FINAL, "fresh": FRESH, "intraday": INTRADAY}


class DayTable(NamedTuple):
    """One day's table and its version."""

    day: datetime.date
    version: int


def of_suffix(suffix: str) -> DayTable | None:
    """Return the table of a suffix such as 20240105 or intraday_20240105; None where the suffix is not one."""
    match = _SUFFIX.fullmatch(suffix)
    return _table(match) if match else None


def of_path(path: str) -> DayTable | None:
    """Return the table that a file belongs to, by its own name or else by the nearest directory's."""
    for name in reversed(path.replace("\\", "/").split("/")):
        for prefix in _PREFIX.finditer(name):
            match = _SUFFIX.match(name, prefix.end())
            if match and (table := _table(match)):
                return table
    return None


def _table(match: re.Match[str]) -> DayTable | None:
    try:
        day = datetime.datetime.strptime(match["day"], "%Y%m%d").date()
    except ValueError:
        return None
    return DayTable(day, _VERSIONS[match["version"]])


def chosen(tables: Sequence[DayTable | None], unfinished: bool) -> list[bool]:
    """Return which tables to read so that each event counts once.

    Args:
        tables: None for what is not the table of a day, which is always read.
        unfinished: read the fresh or else the intraday table of a day that has no final one.
    """
    best = best_versions(table for table in tables if table)
    return [
        table is None or (table.version == best[table.day] and (unfinished or table.version == FINAL))
        for table in tables
    ]


def best_versions(tables: Iterable[DayTable]) -> dict[datetime.date, int]:
    """Return the best version of each day."""
    best: dict[datetime.date, int] = {}
    for table in tables:
        best[table.day] = min(table.version, best.get(table.day, table.version))
    return best
