"""Tables of what some visitors read and what is recommended to them, and the choice of these visitors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

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
from configs.nouns import counted
from ranking.examples import Row, favourite, varied

_FEWEST, _MOST = 5, 20  # items read by a visitor whose table is easy to read
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
    """Print tables of some visitors: those of these ids, or a number of them with different tastes.

    catalogue_path: its titles and categories win over the dataset's; it must exist if `catalogue_required`. Up to
    `everybody_up_to` visitors, all are counted for the last line; else as many as `candidates` are chosen from. Raise
    UserError if the dataset or the predictions are not finished, or a visitor is unknown.
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
        visitor = users[row.key]
        history = zip((items[index] for index in row.indices), row.values.tolist(), strict=True)
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
    count = sum(titles.get(item, ("", ""))[1] == favourite for item, _ in history)
    most = f", {count} of {_printable(favourite)}" if favourite else ""
    listed = f"; {_ITEMS} are shown" if len(history) > _ITEMS else ""
    about = f": {counted(len(history), 'item')} read{most}{listed}"
    title = Text.assemble("Visitor ", (_printable(visitor)[:60], "bold"), about)
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


class Share:
    """The share of recommendations that are of the visitor's favourite category, and the share that chance gives."""

    def __init__(self, categories: Sequence[str]):
        """Begin with nothing counted; categories: by itemId, "" where unknown."""
        self._items = Counter(categories)
        self._listed, self._in_favourite, self._by_chance = 0, 0, 0.0

    def count(self, favourite: str, recommended: Sequence[str]) -> None:
        """Count the categories of one visitor's recommendations."""
        if favourite:
            self._listed += len(recommended)
            self._in_favourite += recommended.count(favourite)
            self._by_chance += len(recommended) * self._items[favourite] / self._items.total()

    def text(self) -> str:
        """Return both shares in one line; empty if nothing was counted."""
        if not self._listed:
            return ""
        return (
            f"Of all recommendations, {self._in_favourite / self._listed:.0%} are of the category the visitor reads "
            f"most; by chance {self._by_chance / self._listed:.0%}."
        )


def choose(
    rows: Iterable[Row], categories: Sequence[str], count: int, everybody: bool, candidates: int
) -> tuple[list[Row], dict[int, str]]:
    """Choose `count` visitors with neither few nor many items, from as many favourite categories as possible.

    If `everybody`, all rows are read, and the favourite category of each key is returned too; otherwise reading stops
    after enough candidates. categories: by itemId, "" where unknown.
    """
    favourites: dict[int, str] = {}
    by_category: defaultdict[str, list[Row]] = defaultdict(list)
    others: list[Row] = []
    considered = 0
    for row in rows:
        category = favourite(row, categories)
        if everybody:
            favourites[row.key] = category
        if considered < candidates and _FEWEST <= len(row.indices) <= _MOST:
            by_category[category].append(row)
            considered += 1
        elif considered < count and len(row.indices):
            others = sorted([*others, row], key=_distance)[:count]
        if considered >= candidates and not everybody:
            break
    chosen = varied(by_category.values(), count)
    return chosen + others[: count - len(chosen)], favourites


def _distance(row: Row) -> tuple[int, int]:
    size = len(row.indices)
    return max(_FEWEST - size, size - _MOST), row.key
