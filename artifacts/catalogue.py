"""The catalogue: a CSV of contentId, title and category, the site's names of its items."""

from __future__ import annotations

from artifacts import id_lists
from configs.errors import UserError

COLUMNS = ("contentId", "title", "category")

Catalogue = dict[str, tuple[str, str]]


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
            result[name] = row[title] or row[item], row[category]
    return result
