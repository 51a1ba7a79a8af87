"""The command that shows recommendations to some visitors: wals show --config configs/local.yaml"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from artifacts.paths import Dataset, Predictions
from configs import cli
from configs.errors import UserError

_EPILOG = """\
SQL reads all predictions (docs/predictions.md).

examples:
  wals show --visitors 3
  duckdb -c "FROM 'data/predictions/predictions-*.jsonl' LIMIT 5"
  bq query --use_legacy_sql=false 'SELECT * FROM recommendations.by_visitor WHERE visitorId = "007" ORDER BY rank'
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and print the tables."""
    parser = cli.parser(
        "wals show",
        "Show what some visitors read, and what is recommended to them.",
        epilog=_EPILOG,
    )
    flags = {
        "dataset_dir": ("dataset_dir", "DIR", "the dataset, if not the config's"),
        "predictions_dir": ("predictions_dir", "DIR", "the predictions, if not the config's"),
        "catalogue": ("catalogue", "FILE", "titles and categories that win over the dataset's (default: the config's)"),
    }
    cli.add_flags(parser, flags)
    add = parser.add_argument
    add("--visitors", type=int, default=5, metavar="N", help="number of visitors to choose (default: 5)")
    add("--visitor_id", nargs="+", default=[], metavar="ID", help="show these visitors instead")
    args = parser.parse_args(argv)
    if args.visitors < 1:
        raise UserError(f"--visitors {args.visitors}: show at least one")
    settings = cli.settings_with(args, flags)
    dataset = Dataset(cli.required(settings.dataset_dir, "dataset_dir"))
    predictions = Predictions(cli.required(settings.predictions_dir, "predictions_dir"))
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=100)  # a log has no width of its own

    from pipeline.demo import show  # it takes a second to import, for which `--help` does not wait

    visitors, required = args.visitor_id or args.visitors, args.catalogue is not None
    show.show(dataset, predictions, settings.catalogue, visitors, console, catalogue_required=required)


if __name__ == "__main__":
    sys.exit(cli.run(main))
