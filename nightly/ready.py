"""Report whether a night can begin: python -m nightly.ready --config configs/nightly.yaml

For schedulers that wait by trying again. The exit status is 0 if the date's table is there, and 2 if it is not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from configs import cli
from nightly import inputs


def main(argv: Sequence[str] | None = None) -> None:
    """Print the date and the tables of its window; raise UserError if the date has no table yet."""
    parser = cli.parser("python -m nightly.ready", "Report whether the table of a night's date is there.")
    parser.add_argument("--date", metavar="DATE", help="last day of the window, e.g. 2024-01-31; default: yesterday")
    parser.add_argument("--output", metavar="FILE", help="write the date to this file")
    args = parser.parse_args(argv)
    date = inputs.parse_date(args.date) if args.date else inputs.yesterday()
    tables = inputs.tables_of(inputs.settings_of(args, date), date)
    print(f"{date} can begin: {len(tables)} tables")
    if args.output:
        path = Path(args.output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(date), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
