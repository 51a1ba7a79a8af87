"""The tables of days that a window needs; tables outside it are not opened."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from artifacts.names import day_table_of_suffix, tables_to_read
from configs.errors import UserError
from configs.settings import SourceSettings
from pipeline.sources.bigquery import names
from pipeline.sources.bigquery.names import TableName
from pipeline.sources.bigquery.service import Service, explained


class DayTables(NamedTuple):
    """Tables to read, by day; one table that is not of a day has none. outside: the number of days not read."""

    tables: tuple[TableName, ...]
    days: tuple[datetime.date, ...] = ()
    outside: int = 0


def of_window(source: SourceSettings, service: Service) -> DayTables:
    """Return the tables that the input names, of the days in the window; raise UserError if there is none."""
    family, only = names.split_day(names.parse(source.input or "", "source.input"))
    if not family.star:
        return DayTables((family,))
    with explained(str(source.input)):
        dataset = service.jobs.get_dataset(family.in_dataset, retry=service.retry)
        listed = [each.table_id for each in service.jobs.list_tables(dataset, retry=service.retry)]
    suffixes = [name.removeprefix(family.table) for name in listed if name.startswith(family.table)]
    dated = [(suffix, table) for suffix in suffixes if (table := day_table_of_suffix(suffix))]
    chosen = tables_to_read([table for _, table in dated], source.include_intraday)
    days = {table.day: suffix for (suffix, table), read in zip(dated, chosen, strict=True) if read}
    if only:
        days = {day: suffix for day, suffix in days.items() if day == only}
    if not days:
        raise UserError(
            f"{source.input}: {family.in_dataset} has no tables {family.table}YYYYMMDD; it has {_some(listed)}"
        )
    first, last = source.start_date or min(days), source.end_date or max(days)
    inside = sorted(day for day in days if first <= day <= last)
    if not inside:
        raise UserError(
            f"no table of {source.input} is of the window {source.start_date or '...'} to {source.end_date or '...'}; "
            f"they are of {min(days)} to {max(days)}"
        )
    tables = (TableName(family.project, family.dataset, f"{family.table}{days[day]}") for day in inside)
    return DayTables(tuple(tables), tuple(inside), len(days) - len(inside))


def _some(listed: list[str]) -> str:
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "") if listed else "no tables at all"
