"""The items as a worker holds them: factors, ids, popularity, and which of them may be given."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artifacts import catalogue, factor_tables, id_lists
from artifacts.names import CONTENT_ID, FIRST_TIME_MS, LAST_TIME_MS, POPULARITY
from artifacts.paths import Dataset
from artifacts.storage import open_to_read
from artifacts.vocabulary import order_of, read_vocabulary
from configs.errors import UserError
from pipeline.prediction.writers.answers import Names
from ranking import cold_start, similarity
from ranking.fold_in import Projection

if TYPE_CHECKING:
    from pipeline.prediction.plan import Plan

_DAY_MS = 86_400_000


class Items:
    """All items in the order of their ids' bytes, so that the lower place wins a tie.

    Attributes:
        names: their ids. place_of: int64 [m], the place of each itemId. factors: float32 [m, d].
        compared: float32 [m, d], what scores are made of: the factors, or their directions.
        allowed: bool [m], whether each may be given (or asked about). given: int64 [g], the places of those.
        table: float32 [g, d], the rows of `compared` of those that may be given.
        categories: int32 [g], -1 for none; None without a cap.
    """

    def __init__(self, plan: Plan):
        ids = read_vocabulary(plan.dataset.vocab_items)
        self._plan, options = plan, plan.options
        order = order_of(ids)
        self.place_of = np.empty(len(ids), np.int64)
        self.place_of[order] = np.arange(len(ids))
        self.names = Names([ids[item] for item in order])
        self.factors = factor_tables.read_table(plan.model.item_factors, plan.item_shards, plan.items, self.place_of)
        items = read_items(plan.dataset, plan.items)
        self._popularity = items[POPULARITY].to_numpy().astype(np.float32)[order]
        self.allowed = _allowed(plan, self.names.ids, items.take(pa.array(order)))
        self.given = np.flatnonzero(self.allowed)
        kinds = _categories(plan, self.names.ids)
        self.categories = None if kinds is None else kinds[self.given]
        similar = options.kind == "similar_items" and options.metric == "cosine"
        self.compared = similarity.directions(self.factors) if similar else self.factors
        self.table = self.compared if len(self.given) == len(ids) else self.compared[self.given]
        self._local = np.full(len(ids), -1, np.int64)
        self._local[self.given] = np.arange(len(self.given))

    @cached_property
    def projection(self) -> Projection:
        """Solves rows on these items."""
        plan = self._plan
        weights = factor_tables.read_table(plan.model.item_weights, plan.item_shards, plan.items, self.place_of)
        return Projection(self.factors, weights[:, 0], plan.objective)

    @cached_property
    def mean(self) -> np.ndarray:
        """Factors float32 [d] of an item that nobody viewed yet."""
        return cold_start.mean_item(self.factors)

    @cached_property
    def by_popularity(self) -> tuple[np.ndarray, np.ndarray]:
        """Those that may be given, the most popular first: rows int64 [g] of the table, and its values float32 [g]."""
        values = self._popularity[self.given]
        return np.argsort(-values, kind="stable"), values

    def rows(self, offsets: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lists of places, without those that are not given, as lists of rows of the table."""
        if len(self.given) == len(self.place_of):
            return offsets, places
        local = self._local[places]
        kept = np.concatenate([[0], np.cumsum(local >= 0)])
        return kept[offsets], local[local >= 0]

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Places of rows of the table; -1 of -1."""
        return np.where(rows >= 0, self.given[rows], -1)


def check(plan: Plan) -> None:
    """Looks whether the options leave items at all, before any worker starts.

    Raises:
        UserError: they do not, or a file that they name is wrong.
    """
    options = plan.options
    if options.max_per_category is not None or options.max_age_days is not None or options.allow or options.block:
        ids = read_vocabulary(plan.dataset.vocab_items)
        _categories(plan, ids)
        if not _allowed(plan, ids, read_items(plan.dataset, plan.items)).any():
            raise UserError("prediction.allow, block and max_age_days leave no items; widen them")


def read_items(dataset: Dataset, size: int) -> pa.Table:
    """items.parquet, by itemId.

    Raises:
        UserError: the dataset has none, or of another size.
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


def _allowed(plan: Plan, ids: Sequence[bytes], items: pa.Table) -> np.ndarray:
    """bool [m]: which items may be given (or asked about, where visitors are given)."""
    options = plan.options
    allowed: np.ndarray = np.ones(len(ids), bool)
    if not plan.gives_visitors:
        allowed &= np.array(id_lists.allowed(ids, options.allow, options.block), bool)
    if options.max_age_days is not None:
        first, last = (items[name].to_numpy(zero_copy_only=False) for name in (FIRST_TIME_MS, LAST_TIME_MS))
        if not np.isfinite(last.astype(float)).any():
            raise UserError(
                "prediction.max_age_days: the dataset has no times; set source.time_column and make it again"
            )
        oldest = np.nanmax(last.astype(float)) - options.max_age_days * _DAY_MS
        allowed &= np.nan_to_num(first.astype(float), nan=-np.inf) >= oldest
    return allowed


def _categories(plan: Plan, ids: Sequence[bytes]) -> np.ndarray | None:
    """int32 [m], a number for each category, -1 without one; None where there is no cap."""
    if plan.options.max_per_category is None:
        return None
    if not plan.catalogue:
        raise UserError("prediction.max_per_category needs a catalogue; set catalogue in the config")
    try:
        with open_to_read(plan.catalogue) as file:
            known = catalogue.parse(file, plan.catalogue)
    except FileNotFoundError:
        raise UserError(f"catalogue {plan.catalogue} does not exist; prediction.max_per_category needs it") from None
    numbers: dict[str, int] = {"": -1}
    found = [known.get(name.decode(), ("", ""))[1] for name in ids]
    return np.array([numbers.setdefault(category, len(numbers) - 1) for category in found], np.int32)
