"""Titles and categories of items: of a dataset's items.parquet, and of the catalogue, a CSV of the site."""

from __future__ import annotations

import pyarrow as pa

from artifacts import id_lists, storage
from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, CONTENT_ID, TITLE
from artifacts.paths import Dataset
from configs.errors import UserError

COLUMNS = (CONTENT_ID, TITLE, CATEGORY)

Catalogue = dict[str, tuple[str, str]]  # title and category by contentId; an item without a title has its id as title


def of_dataset(dataset: Dataset, path: str | None, required: bool = False) -> Catalogue:
    """Return titles and categories: of a catalogue, or else of the dataset's items.parquet.

    Args:
        path: of the catalogue, local or gs://; None for none.
        required: whether it must exist.

    Raises:
        UserError: the catalogue (see `read`) or items.parquet cannot be read.
    """
    names = of_items(dataset.items)
    return overlaid(names, read(path)) if path and (required or storage.exists(path)) else names


def of_items(path: str) -> Catalogue:
    """Return the titles and categories in an items.parquet, without the items that have neither."""
    table = ItemsTable.read(path, optional=(TITLE, CATEGORY)).table
    return titles_of(table[CONTENT_ID].to_pylist(), table)


def titles_of(ids: list[str], table: pa.Table) -> Catalogue:
    """Return the titles and categories of ids [n] from a table [n] that may have these columns; null is unknown."""
    titles, categories = (
        table[name].cast(pa.string()).fill_null("").to_pylist() if name in table.column_names else [""] * len(ids)
        for name in (TITLE, CATEGORY)
    )
    rows = zip(ids, titles, categories, strict=True)
    return {item: (title or item, category) for item, title, category in rows if title or category}


def overlaid(names: Catalogue, above: Catalogue) -> Catalogue:
    """Return names in which those above win; what is unknown above is as below."""
    result = dict(names)
    for item, (title, category) in above.items():
        old_title, old_category = names.get(item, (item, ""))
        result[item] = (old_title if title == item else title), category or old_category
    return result


def read(path: str) -> Catalogue:
    """Return title and category by contentId; of rows with one contentId, the last counts.

    Args:
        path: local or gs://.

    Raises:
        UserError: the file cannot be read (`id_lists.rows`), lacks a column, or has rows of different lengths.
    """
    rows = id_lists.rows(path, "catalogue")
    header = [name.strip() for name in next(rows, ("", []))[1]]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UserError(f"catalogue {path} has no column {missing[0]}: its first line must be {','.join(COLUMNS)}")
    item, title, category = map(header.index, COLUMNS)
    result: Catalogue = {}
    for where, row in rows:
        if len(row) != len(header):
            raise UserError(f"{where} has {len(row)} columns where {len(header)} are due; quote values with commas")
        for name in (row[item].strip(), row[item]):  # as in any list of ids
            result[name] = row[title] or name, row[category]
    return result
