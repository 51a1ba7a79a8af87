"""Run a night: wals night --config configs/nightly.yaml"""

from __future__ import annotations

import datetime
import signal
import sys
from collections.abc import Sequence

from artifacts import publish
from artifacts.paths import Nights
from artifacts.storage import locks
from configs import cli
from configs.errors import UserError
from nightly import inputs, night, preview
from nightly.runs import live, record
from nightly.steps.commands import NAMES
from nightly.steps.process import Execute, execute

_EPILOG = """\
A step is skipped if its output is intact and was made from the same inputs and settings, so the same command continues
a night that failed. Missed nights are run first, at most nightly.catch_up_days back.

exit status: 0 the date is done; 1 a step failed; 2 something you can correct (no table yet, a mistake in the config);
3 the model did not pass the gate, or the dataset differs too much from the live one's. The old model stays live unless
the status is 0.

examples:
  wals night --config configs/nightly.yaml
  wals night --config configs/nightly.yaml --date 2024-01-31
  wals night --config configs/nightly.yaml --date 2024-01-31 --only train
  wals night --config configs/nightly.yaml --dry_run
"""


def main(argv: Sequence[str] | None = None, execute: Execute = execute) -> None:
    """Parse the flags and run the night; raise UserError with status 1 if a step failed, 3 if the gate did."""
    parser = cli.parser(
        "wals night",
        "Window -> dataset -> model, from the live one -> gate -> predictions -> live; for one date.",
        epilog=_EPILOG,
    )
    parser.add_argument("--date", metavar="DATE", help="last day of the window, e.g. 2024-01-31; default: yesterday")
    parser.add_argument("--only", choices=NAMES, help="run one step alone, for a scheduler that starts each step")
    parser.add_argument("--dry_run", action="store_true", help="print the steps that would run, and stop")
    args = parser.parse_args(argv)
    date = inputs.parse_date(args.date) if args.date else inputs.yesterday()
    settings = inputs.settings_of(args, date)
    if args.dry_run:
        for missed in missed_dates(Nights(settings.nightly.directory), date, settings.nightly.catch_up_days):
            print(f"{missed} was missed, or did not end: it would run first")
        preview.show(settings, args.only)
        return
    if settings.nightly.textfile:
        publish.check_file(settings.nightly.textfile)
    with locks.claim(settings.nightly.directory):
        if args.only is None:
            for missed in missed_dates(Nights(settings.nightly.directory), date, settings.nightly.catch_up_days):
                print(f"{missed} was missed, or did not end: it is run first")
                try:
                    night.Runner(inputs.settings_of(args, missed), execute).run()
                except UserError as error:  # tonight's is run all the same
                    print(f"{missed} is left out: {error}", file=sys.stderr)
        night.Runner(settings, execute, only=args.only).run()


def missed_dates(nights: Nights, date: datetime.date, days: int) -> list[datetime.date]:
    """Return the dates before `date` whose night did not end, oldest first.

    They are newer than the live version, not before the first run ever, and at most `days` back.
    """
    version, known = live.read(nights).live, record.dates(nights)
    if not known:
        return []
    first = max(date - datetime.timedelta(days=days), datetime.date.fromisoformat(known[0]))
    if version:
        first = max(first, datetime.date.fromisoformat(version.date) + datetime.timedelta(days=1))
    candidates = [first + datetime.timedelta(days=number) for number in range((date - first).days)]
    newest = {candidate: record.newest(nights, str(candidate)) for candidate in candidates}
    return [candidate for candidate, run in newest.items() if run is None or run.status not in record.ENDED]


def _stop(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(cli.run(main))
