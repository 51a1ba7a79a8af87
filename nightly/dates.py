"""The date of a night, the last day of its window."""

from __future__ import annotations

import argparse
import datetime

from configs import cli
from configs.errors import UserError
from configs.settings import Settings


def settings(args: argparse.Namespace, date: datetime.date | None = None) -> Settings:
    """The settings of a date's night, by default yesterday's."""
    return cli.settings_from(args, {"source.end_date": str(date or yesterday())})


def yesterday() -> datetime.date:
    """The last day that has ended, UTC."""
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


def parse(text: str) -> datetime.date:
    """2024-01-31, or 20240131.

    Raises:
        UserError: it is no date.
    """
    try:
        return datetime.datetime.strptime(text.replace("-", ""), "%Y%m%d").date()
    except ValueError:
        raise UserError(f"--date {text}: write it as 2024-01-31") from None
