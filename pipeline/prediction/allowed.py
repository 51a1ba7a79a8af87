"""The items that the options of a job allow, and the categories that limit an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artifacts import catalogue, id_lists
from artifacts.features.added_items import AddedItems
from artifacts.items_table import ItemsTable
from artifacts.names import FIRST_TIME_MS, LAST_TIME_MS, POPULARITY
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import PredictionSettings
from ranking.rules import items as item_rules

COLUMNS = (POPULARITY, FIRST_TIME_MS, LAST_TIME_MS)  # of items.parquet, that `allowed_items` and `Items` read


def check(
    options: PredictionSettings,
    dataset: Dataset,
    items: int,
    catalogue_path: str | None,
    new: Sequence[bytes] = (),
) -> dict[str, int]:
    """Raise UserError, before any worker starts, if the options leave no items to answer with.

    new: the ids of the model's new items.

    Return how many ids each list has, and how many of them are in the dataset, by `allow_listed` and so on.
    """
    if options.max_per_category is not None or options.max_age_days is not None or options.allow or options.block:
        ids = Vocabulary.read(dataset.vocab_items).ids
        categories(options, ids, dataset, catalogue_path)
        may_be = allowed_items(options, ids, ItemsTable.read(dataset.items, items, COLUMNS))
        if not may_be.any() and not allowed_new(options, new).any():
            raise UserError("prediction.allow, block and max_age_days leave no items; widen them")
        return _listed(options, {*ids, *new})
    return {}


def _listed(options: PredictionSettings, known: set[bytes]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in ("allow", "block"):
        if path := getattr(options, name):
            ids = id_lists.IdList.read(path, f"prediction.{name}")
            found = ids.found(known)
            counts |= {f"{name}_listed": found + len(ids.unknown(known)), f"{name}_found": found}
            if not found:
                print(f"no id of prediction.{name} {path} is in the dataset: write the contentIds as in the export")
    return counts


def allowed_items(options: PredictionSettings, ids: Sequence[bytes], items: ItemsTable) -> np.ndarray:
    """Return bool [m], by itemId: the items that may be answers, or be asked about if visitors are the answers."""
    allowed: np.ndarray = np.ones(len(ids), bool)
    if not options.returns_visitors:
        allowed &= np.array(id_lists.allowed(ids, options.allow, options.block), bool)
    if options.max_age_days is not None:
        first, last = items.first_time_ms, items.last_time_ms
        if not np.isfinite(last).any():
            raise UserError(
                "prediction.max_age_days: the dataset has no times; set source.time_column and make it again"
            )
        allowed &= item_rules.recent(first, np.nanmax(last), options.max_age_days)
    return allowed


def allowed_new(options: PredictionSettings, ids: Sequence[bytes]) -> np.ndarray:
    """Return bool [n]: the new items that may be answers, or be asked about; none is too old."""
    lists = (None, None) if options.returns_visitors else (options.allow, options.block)
    return np.array(id_lists.allowed(ids, *lists), bool)


def categories(
    options: PredictionSettings,
    ids: Sequence[bytes],
    dataset: Dataset,
    catalogue_path: str | None,
    added_path: str | None = None,
) -> np.ndarray | None:
    """Return int32 [n] of ids [n]: a number for each category, -1 without one; None without max_per_category.

    added_path: the file of added items, whose categories count where the catalogue has none.
    """
    if options.max_per_category is None:
        return None
    known = catalogue.of_dataset(dataset, catalogue_path)
    if added_path:
        known = catalogue.overlaid(AddedItems.read(added_path).titles(), known)
    names = [known.get(name.decode(), ("", ""))[1] for name in ids]
    if not any(names):
        where = f", nor has catalogue {catalogue_path}" if catalogue_path else ""
        raise UserError(
            f"prediction.max_per_category: no item of {dataset.root} has a category{where}; "
            "set source.attributes or a catalogue with the contentIds of the export, and make the dataset again"
        )
    return item_rules.numbered(names)[0]
