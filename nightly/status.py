"""Show the live version and the last nights: wals status --config C"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from artifacts.manifests import AliasManifest, LiveVersion
from artifacts.paths import Nights
from configs import cli
from configs.errors import UserError
from configs.nouns import counted
from nightly import inputs
from nightly.runs import live, record

_METRIC = "recall@20"  # the metric that the table shows
_STYLES = {"live": "green", "failed": "red", "gate failed": "red", "no table": "yellow"}
_EPILOG = """\
exit status: 0; or 2 with --max_age_days, if the live version's window ended longer ago or nothing is live.

examples:
  wals status --config configs/nightly.yaml
  wals status --config configs/nightly.yaml --max_age_days 2
  wals status --config configs/nightly.yaml --json
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and show the nights; raise UserError if the live version is too old."""
    parser = cli.parser("wals status", "Show the live version and the last runs.", epilog=_EPILOG)
    parser.add_argument("--runs", type=int, default=14, metavar="N", help="number of runs to show, the newest (14)")
    parser.add_argument("--json", action="store_true", help="print the live version and the runs as one JSON object")
    parser.add_argument("--max_age_days", type=float, metavar="N", help="fail if the live version is older")
    args = parser.parse_args(argv)
    nights = Nights(inputs.settings_of(args).nightly.directory)
    alias = live.read(nights)
    runs = [_describe(run, alias) for run in record.load_all(nights)[-args.runs :]]
    if args.json:
        print(json.dumps({"live": alias.live.model_dump() if alias.live else None, "runs": runs}, indent=2))
    else:
        _show(runs, alias.live)
    if args.max_age_days is None:
        return
    if alias.live is None:
        raise UserError("nothing is live")
    age = (datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(alias.live.date)).days
    if age > args.max_age_days:
        limit = f"more than {args.max_age_days:g}; run wals night"
        raise UserError(f"{alias.live.name} is live, {counted(age, 'day')} old, {limit}")


def _describe(run: record.Record, alias: AliasManifest) -> dict[str, Any]:
    seconds = sum(step.seconds or 0 for step in run.manifest.steps.values())
    status = "withdrawn" if run.name in alias.withdrawn else run.status
    return {
        "name": run.name,
        "status": "live" if alias.live and run.name == alias.live.name else status,
        "started": run.manifest.started,
        "seconds": round(seconds, 1),
        "figures": run.manifest.figures,
        "message": run.manifest.message,
    }


def _show(runs: list[dict[str, Any]], version: LiveVersion | None) -> None:
    title = f"live: {version.name if version else 'nothing'}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("run", "status", "time", "pairs", "users", "items", "loss", _METRIC):
        table.add_column(name, justify="left" if name in ("run", "status") else "right", no_wrap=True)
    for run in runs:
        figures = run["figures"]
        counts = [f"{figures[name]:,}" if name in figures else "" for name in ("interactions", "users", "items")]
        loss = f"{figures['loss']:.6g}" if "loss" in figures else ""
        metric = figures.get("quality", {}).get(_METRIC)
        cells = [run["name"], run["status"], f"{run['seconds']:,.0f} s", *counts, loss]
        table.add_row(*cells, "" if metric is None else f"{metric:.4f}", style=_STYLES.get(run["status"]))
    Console().print(table)
    for run in runs:
        if run["message"]:
            print(f"{run['name']} {run['message']}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
