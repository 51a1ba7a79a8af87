"""The catalogue, a CSV of contentId, title, category: what the site calls its items."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from configs.errors import UserError

COLUMNS = ("contentId", "title", "category")

Catalogue = dict[str, tuple[str, str]]


def parse(file: BinaryIO, path: str) -> Catalogue:
    """contentId -> title and category; closes the file.

    Raises:
        UserError: it lacks a column, or is no CSV in UTF-8.
    """
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"catalogue {path} has no column {missing[0]} (it needs {', '.join(COLUMNS)})")
            item, title, category = COLUMNS
            return {row[item]: (row[title] or row[item], row[category] or "") for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"catalogue {path} cannot be read: {error}") from error
