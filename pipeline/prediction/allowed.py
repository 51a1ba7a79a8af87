"""The items that the options of a job allow, and the categories that limit an answer."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import catalogue, id_lists
from artifacts.names import CONTENT_ID, FIRST_TIME_MS, LAST_TIME_MS, POPULARITY
from artifacts.paths import Dataset
from artifacts.storage import open_to_read
from artifacts.vocabulary import read_vocabulary
from configs.errors import UserError
from configs.settings import PredictionSettings

_DAY_MS = 86_400_000


def check(options: PredictionSettings, dataset: Dataset, items: int, catalogue_path: str | None) -> None:
    """Check that the options leave items to answer with, before any worker starts.

    Raises:
        UserError: the options leave no items, or a file that they name is wrong.
    """
    if options.max_per_category is not None or options.max_age_days is not None or options.allow or options.block:
        ids = read_vocabulary(dataset.vocab_items)
        categories(options, ids, catalogue_path)
        if not allowed_items(options, ids, read_items(dataset, items)).any():
            raise UserError("prediction.allow, block and max_age_days leave no items; widen them")


def read_items(dataset: Dataset, size: int) -> pa.Table:
    """Read items.parquet, by itemId.

    Raises:
        UserError: the dataset has no such file, or one of another size.
    """
    try:
        with open_to_read(dataset.items) as file:
            table = pq.read_table(io.BytesIO(file.read()))
    except FileNotFoundError:
        raise UserError(f"{dataset.items} does not exist; make the dataset again") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{dataset.items} cannot be read: {error}; make the dataset again") from error
    if table.num_rows != size or not {CONTENT_ID, POPULARITY} <= set(table.column_names):
        raise UserError(f"{dataset.items} does not describe {size} items; make the dataset again")
    return table


def allowed_items(options: PredictionSettings, ids: Sequence[bytes], items: pa.Table) -> np.ndarray:
    """Return bool [m], by itemId: the items that may be answers, or be asked about if visitors are the answers.

    Raises:
        UserError: a list is missing or empty, or the dataset has no times.
    """
    allowed: np.ndarray = np.ones(len(ids), bool)
    if not options.returns_visitors:
        allowed &= np.array(id_lists.allowed(ids, options.allow, options.block), bool)
    if options.max_age_days is not None:
        first, last = (
            items[name].to_numpy(zero_copy_only=False).astype(float) for name in (FIRST_TIME_MS, LAST_TIME_MS)
        )
        if not np.isfinite(last).any():
            raise UserError(
                "prediction.max_age_days: the dataset has no times; set source.time_column and make it again"
            )
        oldest = np.nanmax(last) - options.max_age_days * _DAY_MS
        allowed &= np.nan_to_num(first, nan=-np.inf) >= oldest
    return allowed


def categories(options: PredictionSettings, ids: Sequence[bytes], catalogue_path: str | None) -> np.ndarray | None:
    """Return int32 [m], by itemId: a number for each category, -1 without one; None without max_per_category.

    Raises:
        UserError: the catalogue is unset or missing.
    """
    if options.max_per_category is None:
        return None
    if not catalogue_path:
        raise UserError("prediction.max_per_category needs a catalogue; set catalogue in the config")
    try:
        with open_to_read(catalogue_path) as file:
            known = catalogue.parse(file, catalogue_path)
    except FileNotFoundError:
        raise UserError(f"catalogue {catalogue_path} does not exist; prediction.max_per_category needs it") from None
    numbers: dict[str, int] = {"": -1}
    names = [known.get(name.decode(), ("", ""))[1] for name in ids]
    return np.array([numbers.setdefault(name, len(numbers) - 1) for name in names], np.int32)
