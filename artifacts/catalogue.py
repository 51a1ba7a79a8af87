"""The catalogue: a CSV of contentId, title and category, the site's names of its items."""

from __future__ import annotations

import csv
import io

from artifacts import storage
from configs.errors import UserError

COLUMNS = ("contentId", "title", "category")

Catalogue = dict[str, tuple[str, str]]


def read(path: str) -> Catalogue:
    """Return title and category by contentId.

    Args:
        path: local or gs://.

    Raises:
        UserError: the file does not exist, cannot be read, lacks a column, or is not a CSV in UTF-8.
    """
    try:
        with io.TextIOWrapper(storage.open_to_read(path), encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"catalogue {path} has no column {missing[0]} (it needs {', '.join(COLUMNS)})")
            item, title, category = COLUMNS
            return {row[item]: (row[title] or row[item], row[category] or "") for row in reader}
    except FileNotFoundError:
        raise UserError(f"catalogue {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"catalogue {path} cannot be read: {error}") from error
