"""What is live, and how the last nights went: python -m nightly.status --config C"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from artifacts.paths import Nights
from configs import cli
from configs.errors import UserError
from nightly import alias, dates, record

_QUALITY = "recall@20"  # of the metrics, the one in the table
_EPILOG = """\
exit status: 0, or 2 where --max_age_days is given and the live version's window ended longer ago, or nothing is live.

examples:
  python -m nightly.status --config configs/nightly.yaml
  python -m nightly.status --config configs/nightly.yaml --max_age_days 2
  python -m nightly.status --config configs/nightly.yaml --json
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and shows the nights.

    Raises:
        UserError: the live version is too old.
    """
    parser = cli.parser("python -m nightly.status", "Shows the live version and the last runs.", epilog=_EPILOG)
    parser.add_argument("--runs", type=int, default=14, metavar="N", help="newest runs to show (14)")
    parser.add_argument("--json", action="store_true", help="the live version and the runs as one JSON object")
    parser.add_argument("--max_age_days", type=float, metavar="N", help="fail where the live version is older")
    args = parser.parse_args(argv)
    nights = Nights(dates.settings(args).nightly.directory)
    found = alias.read(nights)
    runs = record.every(nights)[-args.runs :]
    if args.json:
        live = found.live.__dict__ if found.live else None
        print(json.dumps({"live": live, "runs": [_line(run, found) for run in runs]}, indent=2))
    else:
        _show(runs, found)
    if args.max_age_days is not None:
        _refuse_old(found.live, args.max_age_days)


def _refuse_old(live: alias.Version | None, days: float) -> None:
    if live is None:
        raise UserError("nothing is live")
    age = datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(live.date)
    if age.days > days:
        raise UserError(f"{live.name} is live, {age.days} days old, more than {days:g}; run python -m nightly.run")


def _line(run: record.Record, found: alias.Alias) -> dict[str, Any]:
    seconds = sum(step.get("seconds", 0) for step in run.steps.values())
    status = "withdrawn" if run.name in found.withdrawn else run.status
    return {
        "name": run.name,
        "status": "live" if found.live and run.name == found.live.name else status,
        "started": run.content["started"],
        "seconds": round(seconds, 1),
        "figures": run.content.get("figures", {}),
        "message": run.content.get("message"),
    }


def _show(runs: list[record.Record], found: alias.Alias) -> None:
    title = f"live: {found.live.name if found.live else 'nothing'}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("run", "status", "seconds", "pairs", "users", "items", "loss", _QUALITY):
        table.add_column(name, justify="left" if name in ("run", "status") else "right", no_wrap=True)
    console, messages = Console(), []
    for run in runs:
        line = _line(run, found)
        figures = line["figures"]
        counts = [f"{figures[name]:,}" if name in figures else "" for name in ("interactions", "users", "items")]
        loss = f"{figures['loss']:.6g}" if "loss" in figures else ""
        quality = figures.get("quality", {}).get(_QUALITY)
        style = {"live": "green", "failed": "red", "gate failed": "red", "no table": "yellow"}.get(line["status"])
        shown = "" if quality is None else f"{quality:.4f}"
        table.add_row(run.name, line["status"], f"{line['seconds']:.1f}", *counts, loss, shown, style=style)
        if line["message"]:
            messages.append(f"{run.name} {line['message']}")
    console.print(table)
    for message in messages:
        print(message)


if __name__ == "__main__":
    sys.exit(cli.run(main))
