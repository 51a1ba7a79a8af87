"""The date of a night, which is the last day of its window."""

from __future__ import annotations

import argparse
import datetime

from configs import cli
from configs.errors import UserError
from configs.settings import Settings


def settings_of(args: argparse.Namespace, date: datetime.date | None = None) -> Settings:
    """Return the settings of a date's night, by default yesterday's."""
    return cli.settings_from(args, {"source.end_date": str(date or yesterday())})


def yesterday() -> datetime.date:
    """Return the last day that has ended, in UTC."""
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


def parse(text: str) -> datetime.date:
    """Return the date of 2024-01-31 or 20240131; raise UserError if it is not a date."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--date {text} is not a date; write it as 2024-01-31") from None
