"""The job of every night: python -m nightly.run --config configs/nightly.yaml"""

from __future__ import annotations

import datetime
import signal
import sys
from collections.abc import Sequence

from artifacts import locks
from artifacts.paths import Nights
from configs import cli
from configs.errors import UserError
from configs.settings import Settings
from nightly import alias, dates, night, record, steps

_EPILOG = """\
Steps whose output is whole and was made of the same are skipped, so the same command goes on where a night failed.
Nights that were skipped are run first, at most nightly.catch_up_days back.

exit status: 0 the date is done, 1 a step failed, 2 something you can put right (no table yet, a mistake in the
config), 3 the model did not pass the gate, or the dataset is not like the live one; the old model stays live unless
it is 0.

examples:
  python -m nightly.run --config configs/nightly.yaml
  python -m nightly.run --config configs/nightly.yaml --date 2024-01-31
  python -m nightly.run --config configs/nightly.yaml --date 2024-01-31 --only train
"""


def main(argv: Sequence[str] | None = None, execute: steps.Execute = steps.execute) -> None:
    """Parses the flags and runs the night.

    Raises:
        UserError: whatever the user can put right; with status 1 where a step failed, 3 where the gate did.
    """
    parser = cli.parser(
        "python -m nightly.run",
        "Window -> dataset -> model, from the live one -> gate -> predictions -> live. One date, or those since.",
        epilog=_EPILOG,
    )
    parser.add_argument("--date", metavar="DATE", help="last day of the window, e.g. 2024-01-31; default yesterday")
    parser.add_argument(
        "--only", choices=night.STEPS, help="one step alone, for a scheduler that starts each by itself"
    )
    args = parser.parse_args(argv)
    date = dates.parse(args.date) if args.date else dates.yesterday()
    settings = dates.settings(args, date)
    with locks.claim(settings.nightly.directory):
        if args.only is None:
            for skipped in due(Nights(settings.nightly.directory), date, settings.nightly.catch_up_days):
                print(f"{skipped} was skipped, or did not end: it comes first")
                _catch_up(dates.settings(args, skipped), execute)
        night.Runner(settings, execute, only=args.only).run()


def due(nights: Nights, date: datetime.date, days: int) -> list[datetime.date]:
    """The nights before a date that did not end, oldest first: newer than the live one, at most `days` back.

    Before the first run ever there is nothing to catch up with.
    """
    live = alias.read(nights).live
    known = record.dates(nights)
    if not known:
        return []
    first = max(date - datetime.timedelta(days=days), datetime.date.fromisoformat(known[0]))
    if live:
        first = max(first, datetime.date.fromisoformat(live.date) + datetime.timedelta(days=1))
    found = []
    while first < date:
        run = record.newest(nights, str(first))
        if run is None or run.status not in record.ENDED:
            found.append(first)
        first += datetime.timedelta(days=1)
    return found


def _catch_up(settings: Settings, execute: steps.Execute) -> None:
    """A skipped night; that it fails again is no reason not to run tonight's."""
    try:
        night.Runner(settings, execute).run()
    except UserError as error:
        print(f"{settings.source.end_date} is left: {error}", file=sys.stderr)


def _told_to_stop(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _told_to_stop)
    sys.exit(cli.run(main))
