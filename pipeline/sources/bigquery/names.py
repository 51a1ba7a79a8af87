"""Names of BigQuery's tables, checked before they go into a query: no parameter can stand for them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from configs.errors import UserError
from configs.settings import BIGQUERY

_DATASET = r"(?P<project>(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*)\.(?P<dataset>[A-Za-z0-9_]+)"
_TABLE = re.compile(_DATASET + r"\.(?P<table>[A-Za-z0-9_-]+)(?P<star>\*?)")
_DAY = re.compile(r"(?P<prefix>[A-Za-z0-9_]+_)(?P<day>\d{8})")


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
    """The table that `bq://PROJECT.DATASET.TABLE` names.

    Raises:
        UserError: it is no such name.
    """
    match = _TABLE.fullmatch(url.removeprefix(BIGQUERY))
    if not match or not url.startswith(BIGQUERY):
        raise UserError(f"{setting} {url}: write it as {BIGQUERY}PROJECT.DATASET.TABLE, in letters, digits, _ and -")
    return TableName(match["project"], match["dataset"], match["table"], bool(match["star"]))


def check_dataset(name: str, setting: str) -> str:
    """The name as it is.

    Raises:
        UserError: it is no PROJECT.DATASET.
    """
    if not re.fullmatch(_DATASET, name):
        raise UserError(f"{setting} {name}: write it as PROJECT.DATASET")
    return name


def split_day(name: TableName) -> tuple[TableName, datetime.date | None]:
    """Tables of days by their prefix: one day's table becomes its family and that day."""
    match = _DAY.fullmatch(name.table)
    if name.star or not match:
        return name, None
    try:
        day = datetime.datetime.strptime(match["day"], "%Y%m%d").date()
    except ValueError:
        return name, None
    return TableName(name.project, name.dataset, match["prefix"], star=True), day
