"""Names of BigQuery's tables, checked before they become part of a query: a parameter cannot name a table."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from artifacts.names import day_table_of_suffix
from configs.errors import UserError
from configs.settings import BIGQUERY

_DATASET = r"(?P<project>(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*)\.(?P<dataset>[A-Za-z0-9_]+)"
_TABLE = re.compile(_DATASET + r"\.(?P<table>[A-Za-z0-9_-]+)(?P<star>\*?)")


@dataclass(frozen=True)
class TableName:
    """A table, or with `star` all tables whose names begin with `table`."""

    project: str
    dataset: str
    table: str
    star: bool = False

    @property
    def in_dataset(self) -> str:
        return f"{self.project}.{self.dataset}"

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}{'*' if self.star else ''}"


def parse(url: str, setting: str) -> TableName:
    """Return the table that `bq://PROJECT.DATASET.TABLE` names; raise UserError if the name has another form."""
    match = _TABLE.fullmatch(url.removeprefix(BIGQUERY))
    if not match or not url.startswith(BIGQUERY):
        raise UserError(f"{setting} {url}: write it as {BIGQUERY}PROJECT.DATASET.TABLE, in letters, digits, _ and -")
    return TableName(match["project"], match["dataset"], match["table"], bool(match["star"]))


def check_dataset(name: str, setting: str) -> str:
    """Return the name of a dataset unchanged; raise UserError if it is not PROJECT.DATASET."""
    if not re.fullmatch(_DATASET, name):
        raise UserError(f"{setting} {name}: write it as PROJECT.DATASET")
    return name


def split_day(name: TableName) -> tuple[TableName, datetime.date | None]:
    """Return the family of one day's table, and that day; other tables as they are."""
    prefix, underscore, suffix = name.table.rpartition("_")
    table = day_table_of_suffix(suffix)
    if name.star or not prefix or table is None:
        return name, None
    return TableName(name.project, name.dataset, prefix + underscore, star=True), table.day
