"""Items between two trainings: wals items add new.jsonl"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artifacts.features.added_items import AddedItems
from artifacts.paths import Dataset
from configs import cli
from configs.errors import UserError
from configs.settings import Settings

_ACTIONS = ("add", "views", "remove", "list")
_EPILOG = """\
add FILE     the items of a table (.jsonl, .csv or .parquet) with contentId and attributes; an item that is there is
             changed. They are in the answers of wals serve at once, and in those of the next wals predict.
views FILE   views of added items since: a table with contentId, visitorId and maybe rating. They move an item towards
             those who viewed it.
remove FILE  the items of a list, one contentId per line
list         the items that were added

examples:
  wals items add new.jsonl
  wals items views today.csv
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and change the file of added items."""
    parser = cli.parser("wals items", "Bring items in between two trainings, by their attributes.", epilog=_EPILOG)
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("file", nargs="?", metavar="FILE", help="local or gs://; list takes none")
    flags = {
        "added_items": ("added_items", "FILE", "the file of added items, which is changed"),
        "dataset_dir": ("dataset_dir", "DIR", "the dataset, whose attributes count"),
    }
    cli.add_flags(parser, flags)
    args = parser.parse_args(argv)
    settings = cli.settings_with(args, flags)
    path = cli.required(settings.added_items, "added_items")
    if (args.file is None) != (args.action == "list"):
        raise UserError("wals items list takes no file" if args.file else f"wals items {args.action} needs a file")
    _show(path) if args.action == "list" else _change(args.action, args.file, path, settings)


def _change(action: str, file: str, path: str, settings: Settings) -> None:
    from pipeline.prediction import added_items  # imported late, so that --help answers at once

    if action == "add":
        added = added_items.add(Dataset(cli.required(settings.dataset_dir, "dataset_dir")), path, file)
        change, rows = added.change, added_items.described(added)
    elif action == "views":
        change = added_items.add_views(path, file, settings.privacy)
        rows = [("views added", change.added), ("views changed", change.changed)]
        rows += [("views of items that were not added", change.unknown)]
    else:
        change = added_items.remove(path, file)
        rows = [("items removed", change.changed), ("ids that are not there", change.unknown)]
    cli.print_table(path, [*rows, ("version", change.version)])


def _show(path: str) -> None:
    items = AddedItems.read(path)
    titles = items.titles()
    rows = [(name, titles.get(name, ("", ""))[0]) for name in (name.decode("utf-8", "replace") for name in items.ids)]
    cli.print_table(f"{path}, version {items.version}", [*rows, ("items", len(rows))])


if __name__ == "__main__":
    sys.exit(cli.run(main))
