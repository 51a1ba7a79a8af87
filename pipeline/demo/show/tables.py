"""Tables of what some visitors read and what is recommended to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifacts import catalogue, storage
from artifacts.catalogue import Catalogue
from artifacts.manifests import DatasetManifest, PredictionsManifest
from artifacts.paths import Dataset, Predictions, join, shard_name
from artifacts.tfrecords import read_rows
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from pipeline.demo.show.choice import Share, choose
from ranking.examples import Row, favourite

_ITEMS = 6  # per list
_WIDTH = 90

RankedItems = list[tuple[str, float]]  # contentId and score or rating, best first


def show(
    dataset: Dataset,
    predictions: Predictions,
    catalogue_path: str | None,
    visitors: int | Sequence[str],
    console: Console,
    *,
    catalogue_required: bool = False,
    everybody_up_to: int = 20_000,
    candidates: int = 2000,
) -> None:
    """Print tables of some visitors.

    Args:
        catalogue_path: of the catalogue, whose titles and categories win over the dataset's; None for none.
        visitors: ids, or a number of visitors with different tastes to choose.
        catalogue_required: whether it must exist.
        everybody_up_to: the number of visitors up to which all are counted for the last line.
        candidates: the number of visitors to choose from, where not all are counted.

    Raises:
        UserError: the dataset or the predictions do not exist or are not finished, or a visitor is unknown.
    """
    manifest = DatasetManifest.read(dataset.manifest)
    answers = PredictionsManifest.read(predictions.manifest)
    titles = catalogue.of_dataset(dataset, catalogue_path, catalogue_required)
    users = Vocabulary.read(dataset.vocab_users).texts()
    items = Vocabulary.read(dataset.vocab_items).texts()
    categories = [titles.get(item, ("", ""))[1] for item in items]
    share = Share(categories)
    suffix, shards = ".gz" if manifest.compression == "gzip" else "", manifest.shards["items_for_user"]
    paths = [shard_name(dataset.items_for_user, shard, shards, suffix) for shard in range(shards)]
    of_visitor: dict[str, str] = {}  # favourite categories, where all visitors are counted
    if isinstance(visitors, int):
        everybody = any(categories) and len(users) <= everybody_up_to
        all_rows = (Row(*row) for path in paths for row in read_rows(path))
        rows, favourites = choose(all_rows, categories, visitors, everybody, candidates)
        of_visitor = {users[key]: category for key, category in favourites.items()}
    else:
        rows = _rows_of(visitors, users, paths, dataset.root)

    wanted, recommended = {users[row.key] for row in rows}, dict[str, RankedItems]()
    for visitor, entries in _recommendations(predictions, answers):
        if visitor in of_visitor:
            share.count(of_visitor[visitor], [titles.get(item, ("", ""))[1] for item, _ in entries])
        if visitor in wanted:
            recommended[visitor] = entries
        if not of_visitor and recommended.keys() == wanted:
            break
    if not recommended:
        raise UserError(
            f"{predictions.root} contains none of the visitors of {dataset.root}; make the predictions again"
        )
    for row in rows:
        visitor, history = (
            users[row.key],
            zip((items[index] for index in row.indices), row.values.tolist(), strict=True),
        )
        read = sorted(history, key=lambda entry: (-entry[1], entry[0]))
        recommendations = recommended.get(visitor, [])
        table = _table(visitor, favourite(row, categories), read, recommendations, titles, any(categories))
        table.width = min(_WIDTH, console.width)
        console.print(table)
    if not titles:
        console.print("Neither the dataset nor a catalogue has titles: items are shown by their ids.")
    if text := share.text():
        console.print(text)


def _rows_of(visitor_ids: Sequence[str], users: Sequence[str], paths: Sequence[str], root: str) -> list[Row]:
    """Return visitors' rows of items_for_user; a key's shard is the key modulo the number of shards."""
    keys = {name: key for key, name in enumerate(users)}
    rows: list[Row] = []
    for number, name in enumerate(dict.fromkeys(visitor_ids), 1):
        if name not in keys:
            raise UserError(f"{root} has {len(users)} visitors, but not number {number} of --visitor_id; check the id")
        key = keys[name]
        row = next((row for row in map(Row._make, read_rows(paths[key % len(paths)])) if row.key == key), None)
        if row is None:
            raise UserError(f"{root} has no row of user {key}; make the dataset again")
        rows.append(row)
    return rows


def _recommendations(predictions: Predictions, manifest: PredictionsManifest) -> Iterator[tuple[str, RankedItems]]:
    """Yield all visitors and their recommendations; raise UserError if JSON lines are missing or cannot be read."""
    prefix = predictions.text.rpartition("/")[2]
    names = sorted(name for name in manifest.files if name.startswith(f"{prefix}-") and name.endswith(".jsonl"))
    if not names:
        raise UserError(f"{predictions.root} has no files {prefix}-*.jsonl; predict with jsonl in prediction.formats")
    for path in (join(predictions.root, name) for name in names):
        try:
            file = storage.open_to_read(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error}); predict again") from error
        with file:
            for number, line in enumerate(file, 1):
                try:
                    record = orjson.loads(line)
                    entries = sorted(record["recommendations"], key=lambda entry: entry["rank"])
                    yield record["visitorId"], [(entry["contentId"], float(entry["score"])) for entry in entries]
                except (ValueError, KeyError, TypeError):
                    raise UserError(f"{path}, line {number} is not a prediction; predict again") from None


def _table(
    visitor: str,
    favourite: str,
    history: RankedItems,
    recommended: RankedItems,
    titles: Catalogue,
    with_categories: bool,
) -> Table:
    """Return one visitor's table; recommended categories that the visitor has read are green."""
    most = f", most of {_printable(favourite)}" if favourite else ""
    title = Text.assemble("Visitor ", (_printable(visitor)[:60], "bold"), f": {len(history)} items read{most}")
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("", no_wrap=True)
    table.add_column("rating", justify="right", no_wrap=True)
    if with_categories:
        table.add_column("category", no_wrap=True)
    table.add_column("item", no_wrap=True, overflow="ellipsis", ratio=1)
    read = {titles[item][1] for item, _ in history if item in titles}
    for heading, ranked in (("read", history), ("recommended", recommended)):
        table.add_section()
        for number, (item, value) in enumerate(ranked[:_ITEMS]):
            name, category = titles.get(item, (item, ""))
            cells = [Text("" if number else heading), Text(f"{value:.3f}")]
            cells += [Text(_printable(category), "green" if category in read else "")] if with_categories else []
            table.add_row(*cells, Text(_printable(name)))
        if not ranked:
            table.add_row(heading, *[""] * (2 if with_categories else 1), Text("nothing", "dim"))
    return table


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:400])
