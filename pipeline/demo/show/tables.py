"""Tables of what some visitors read and what is recommended to them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from artifacts import catalogue, storage
from artifacts.catalogue import Catalogue
from artifacts.manifests import DatasetManifest, PredictionsManifest
from artifacts.paths import Dataset, Predictions
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from pipeline.demo.show.choice import Categories, Choice, FavouriteShare, choose
from pipeline.demo.show.inputs import RankedItems, Row, RowShards, read_recommendations

CATALOGUE = "data/export/catalogue.csv"
_ITEMS = 6  # per list
_WIDTH = 90


def show(
    dataset: Dataset,
    predictions: Predictions,
    catalogue_path: str | None,
    visitors: int | Sequence[str],
    console: Console,
    *,
    everybody_up_to: int = 20_000,
    candidates: int = 2000,
) -> None:
    """Print tables of some visitors.

    Args:
        catalogue_path: of the catalogue; None reads CATALOGUE if it exists.
        visitors: ids, or a number of visitors with different tastes to choose.
        everybody_up_to: the number of visitors up to which all are counted for the last line.
        candidates: the number of visitors to choose from, where not all are counted.

    Raises:
        UserError: the dataset or the predictions do not exist or are not finished, or a visitor is unknown.
    """
    manifest = DatasetManifest.read(dataset.manifest)
    answers = PredictionsManifest.read(predictions.manifest)
    titles = catalogue.read(catalogue_path or CATALOGUE) if catalogue_path or storage.exists(CATALOGUE) else {}
    users = Vocabulary.read(dataset.vocab_users).texts()
    categories = Categories(Vocabulary.read(dataset.vocab_items).texts(), titles)
    rows = RowShards(dataset, manifest)
    everybody = bool(titles) and isinstance(visitors, int) and len(users) <= everybody_up_to
    if isinstance(visitors, int):
        choice = choose(rows, categories, visitors, everybody, candidates)
    else:
        choice = Choice(rows.of_keys(_keys(visitors, users, dataset)))
    share = FavouriteShare(categories, {users[key]: number for key, number in choice.favourites.items()})
    wanted = {users[row.key] for row in choice.rows}
    recommended = read_recommendations(predictions, answers, wanted, share.add if everybody else None)
    if not recommended:
        raise UserError(
            f"{predictions.root} contains none of the visitors of {dataset.root}; make the predictions again"
        )
    for row in choice.rows:
        console.print(_table(row, users[row.key], recommended, categories, titles, min(_WIDTH, console.width)))
    if not titles:
        console.print(f"No catalogue at {escape(catalogue_path or CATALOGUE)}: items are shown by their ids.")
    if share.line():
        console.print(share.line())


def _keys(visitor_ids: Sequence[str], users: Sequence[str], dataset: Dataset) -> list[int]:
    keys = {name: key for key, name in enumerate(users)}
    for name in visitor_ids:
        if name not in keys:
            raise UserError(f"visitor {name} is not in {dataset.root}, which has {len(users)} visitors; check the id")
    return [keys[name] for name in dict.fromkeys(visitor_ids)]


def _table(
    row: Row,
    visitor: str,
    recommended: dict[str, RankedItems],
    categories: Categories,
    titles: Catalogue,
    width: int,
) -> Table:
    """Return one visitor's table; recommended categories that the visitor has read are green."""
    history, answers = categories.history(row), recommended.get(visitor, [])
    favourite = categories.favourite_name(row)
    most = f", most of {_printable(favourite)}" if favourite else ""
    title = Text.assemble("Visitor ", (_printable(visitor)[:60], "bold"), f": {len(history)} items read{most}")
    table = Table(title=title, title_justify="left", title_style="", width=width)
    table.add_column("", no_wrap=True)
    table.add_column("rating", justify="right", no_wrap=True)
    if titles:
        table.add_column("category", no_wrap=True)
    table.add_column("item", no_wrap=True, overflow="ellipsis", ratio=1)
    read = {titles[item][1] for item, _ in history if item in titles}

    def add(heading: str, items: RankedItems) -> None:
        for number, (item, value) in enumerate(items[:_ITEMS]):
            name, category = titles.get(item, (item, ""))
            cells = [Text(heading if number == 0 else ""), Text(f"{value:.3f}")]
            cells += [Text(_printable(category), "green" if category in read else "")] if titles else []
            table.add_row(*cells, Text(_printable(name)))

    add("read", history)
    table.add_section()
    add("recommended", answers)
    if not answers:
        table.add_row("recommended", *[""] * (2 if titles else 1), Text("nothing", "dim"))
    return table


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:400])
