"""Shows what came out: what some visitors read, and what is recommended to them.

python -m pipeline.show --config configs/local.yaml
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from artifacts.paths import Dataset, Predictions
from configs import cli
from configs.errors import UserError

_CATALOGUE = "data/export/catalogue.csv"
_LINES = 6  # items a list
_WIDTH = 90
_EVERYBODY = 20_000  # up to so many visitors, all are looked at for the last line


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and prints.

    Raises:
        UserError: whatever the user can put right.
    """
    args = _parser().parse_args(argv)
    if args.visitors < 1:
        raise UserError(f"--visitors {args.visitors}: show at least one")
    settings = cli.settings_from(args, {"dataset_dir": args.dataset_dir, "predictions_dir": args.predictions_dir})
    dataset = Dataset(cli.required(settings.dataset_dir, "dataset_dir"))
    predictions = Predictions(cli.required(settings.predictions_dir, "predictions_dir"))
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=100)  # a log has no width of its own
    show(dataset, predictions, args.catalogue, args.visitors, args.visitor_id, console)


def show(
    dataset: Dataset,
    predictions: Predictions,
    catalogue_path: str | None,
    visitors: int,
    visitor_ids: Sequence[str],
    console: Console,
) -> None:
    """Prints tables of `visitor_ids`, or of `visitors` visitors with different tastes.

    Raises:
        UserError: the dataset or the predictions are not there or not finished, or a visitor is unknown.
    """
    # Not before: `--help` and a mistake in the flags answer at once.
    from artifacts.publish import read_manifest
    from artifacts.vocabulary import read_vocabulary
    from pipeline.demo.show import choice, inputs

    read_manifest(dataset.manifest, "dataset")
    read_manifest(predictions.manifest, "predictions")
    catalogue = inputs.read_catalogue(catalogue_path or _CATALOGUE, needed=catalogue_path is not None)
    users = [_text(name) for name in read_vocabulary(dataset.vocab_users)]
    items = [_text(name) for name in read_vocabulary(dataset.vocab_items)]
    shelves = choice.Shelves(items, catalogue)
    everybody = bool(catalogue) and not visitor_ids and len(users) <= _EVERYBODY
    rows = inputs.RowShards(dataset)
    if visitor_ids:
        chosen = rows.of_keys(_keys(visitor_ids, users, dataset))
        favourites: dict[int, Any] = {}
    else:
        chosen, favourites = choice.choose(rows, shelves, visitors, everybody)
    share = choice.Share(shelves, {users[k]: v for k, v in favourites.items()}) if everybody else None
    wanted = {users[row.key] for row in chosen}
    lists = inputs.read_recommendations(predictions, wanted, share)
    if not lists:
        raise UserError(f"{predictions.root} holds none of the visitors of {dataset.root}; make the predictions again")
    for row in chosen:
        visitor, history = users[row.key], shelves.read(row)
        title = _title(visitor, len(history), shelves.favourite_name(row))
        width = min(_WIDTH, console.width)
        console.print(_table(title, history, lists.get(visitor), catalogue, width))
    if not catalogue:
        console.print(f"No catalogue at {escape(catalogue_path or _CATALOGUE)}: items are shown by their ids.")
    if share and (line := share.line()):
        console.print(line)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("python -m pipeline.show", "Shows what some visitors read, and what is recommended to them.")
    add = parser.add_argument
    add("--dataset_dir", metavar="DIR", help="the dataset, where not the config's")
    add("--predictions_dir", metavar="DIR", help="the predictions, where not the config's")
    add("--catalogue", metavar="CSV", help=f"contentId, title, category (default: {_CATALOGUE} if it exists)")
    add("--visitors", type=int, default=5, metavar="N", help="how many visitors to choose (default: 5)")
    add("--visitor_id", nargs="+", default=[], metavar="ID", help="these visitors instead of chosen ones")
    return parser


def _keys(visitor_ids: Sequence[str], users: Sequence[str], dataset: Dataset) -> list[int]:
    index = {name: key for key, name in enumerate(users)}
    for name in visitor_ids:
        if name not in index:
            raise UserError(f"visitor {name} is not in {dataset.root} (which holds {len(users)} visitors)")
    return [index[name] for name in dict.fromkeys(visitor_ids)]


def _title(visitor: str, items: int, favourite: str) -> Text:
    most = f", most of {_printable(favourite)}" if favourite else ""
    return Text.assemble("Visitor ", (_printable(visitor)[:60], "bold"), f": {items} items read{most}")


def _table(
    title: Text,
    history: list[tuple[str, float]],
    recommended: list[tuple[str, float]] | None,
    catalogue: dict[str, tuple[str, str]],
    width: int,
) -> Table:
    """What one visitor read and what is recommended; recommended categories they have read of are green."""
    table = Table(title=title, title_justify="left", title_style="", width=width)
    table.add_column("", no_wrap=True)
    table.add_column("rating", justify="right", no_wrap=True)
    if catalogue:
        table.add_column("category", no_wrap=True)
    table.add_column("item", no_wrap=True, overflow="ellipsis", ratio=1)
    read = {catalogue[item][1] for item, _ in history if item in catalogue}

    def add(heading: str, items: list[tuple[str, float]]) -> None:
        for number, (item, value) in enumerate(items[:_LINES]):
            name, category = catalogue.get(item, (item, ""))
            style = "green" if category in read else ""
            cells = [Text(heading if number == 0 else ""), Text(f"{value:.3f}")]
            cells += [Text(_printable(category), style)] if catalogue else []
            table.add_row(*cells, Text(_printable(name)))

    add("read", history)
    table.add_section()
    add("recommended", recommended or [])
    if not recommended:
        table.add_row("recommended", *[""] * (2 if catalogue else 1), Text("nothing", "dim"))
    return table


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:400])


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(cli.run(main))
