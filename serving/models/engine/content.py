"""The content of a version's tables, as ranking's code takes it. Processes that serve a version share its memory."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import join
from artifacts.served.ids import IdTable
from artifacts.served.tables import Tables
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings
from ranking import cold_start, popularity
from ranking.attributes.new_items import NewItems
from ranking.attributes.segments import Segments
from ranking.compressed.search import Table
from ranking.compressed.table import Compressed
from ranking.fold_in import Objective, Projection
from ranking.neighbourhood import Neighbourhood, as_matrix


class Content:
    """The tables of a version: u visitors by userId, m items by itemId, d factors."""

    def __init__(self, path: str):
        """Open the tables of a SavedModel; raise UserError or OSError if one is missing or damaged."""
        self.tables, self._path = Tables(path), path
        self.about: dict[str, Any] = self.tables.about
        self.visitor_ids, self.item_ids = self._ids(VOCAB_USERS), self._ids(VOCAB_ITEMS)
        self.users, self.items = self._searched("users"), self._searched("items")
        self.histories, self.owners = self.tables.rows("histories"), self.tables.rows("owners")
        self.user_weights, self.popularity = self.tables.array("user_weights"), self.tables.array("popularity")
        self.cold_start = ColdStartSettings(**self.about["cold_start"])
        self.default_row_weight: float = self.about["default_row_weight"]
        names, last = ([name.encode("latin-1") for name in self.about[key]] for key in ("new_ids", "newest_ids"))
        self.new = NewItems(names, self.tables.array("new_items"), tuple(last))
        self.projection = Projection(
            self.items.rows, self.tables.array("item_weights"), self._objective, self.tables.array("gramian")
        )
        self.neighbourhood: Neighbourhood | None = None
        if self.about["gamma"] is not None:
            few_items = self.about.get("few_items", False)  # an older trainer has the same weight for all
            self.neighbourhood = Neighbourhood(self.tables.rows("related"), self.about["gamma"], few_items)

    @cached_property
    def viewers(self) -> Projection:
        """The solver of items' rows on the visitors, for views of items that were added later."""
        gramian = self.tables.array("viewers.gramian")
        return Projection(self.users.rows, self.user_weights, self._objective, gramian)

    @cached_property
    def item_directions(self) -> Table:
        """The items, compared by cosine."""
        return self.items.directions(self.tables.array("items.norms"))

    @cached_property
    def user_directions(self) -> Table:
        """The visitors, compared by cosine."""
        return self.users.directions(self.tables.array("users.norms"))

    @cached_property
    def segments(self) -> Segments | None:
        """The lists of segments of visitors, if the model answers by them."""
        if "first_segment" not in self.about:
            return None
        tables = (self.tables.array(f"segment_{name}") for name in ("items", "scores"))
        return Segments(self.about["first_segment"], *tables)

    @cached_property
    def mean_item(self) -> np.ndarray:
        """The factors that answer for an item that the model does not have, float32 [d]."""
        return cold_start.mean_item(self.items.rows)

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """The items by popularity, int64 [m]."""
        return popularity.order(self.popularity)

    @cached_property
    def sources(self) -> scipy.sparse.csr_matrix:
        """The item-item matrix, transposed: the items that add to each item."""
        rows = self.tables.rows("sources")
        return as_matrix(rows, len(rows), rows.values)

    @cached_property
    def all_owners(self) -> scipy.sparse.csr_matrix:
        """The visitors of each item, those who may be recommended it again included."""
        rows = self.tables.rows("all_owners") if self.tables.has("all_owners.indptr") else self.owners
        return as_matrix(rows, len(self.users.rows))

    @cached_property
    def items_of_each(self) -> np.ndarray:
        """The number of items of each visitor, int64 [n]."""
        return self.histories.lengths

    @property
    def _objective(self) -> Objective:
        return Objective(*self.about["objective"])

    def _searched(self, name: str) -> Table:
        array = self.tables.array
        compressed = Compressed(*(array(f"{name}.{part}") for part in Compressed._fields))
        return Table.of(array(name), compressed, array(f"{name}.norms"))

    def _ids(self, name: str) -> IdTable:
        text = np.memmap(join(self._path, "assets", name), np.uint8, "c")
        return IdTable(np.asarray(text), self.tables.array(f"{name}.starts"), self.tables.array(f"{name}.order"))

    def new_items(self, ids: list[bytes], factors: np.ndarray) -> NewItems:
        """Return the new items of the model, and of others those that it does not have."""
        is_known = self.item_ids.indices(np.array(ids, object)) >= 0
        own = set(self.new.all_ids)
        others = [row for row, name in enumerate(ids) if name and not is_known[row] and name not in own]
        return self.new.followed_by(NewItems.of_added([ids[row] for row in others], factors[others]))


def rows_of(table: SparseRows, indices: np.ndarray) -> SparseRows:
    """Return the rows int64 [b] of a table keyed 0, 1, ...; an empty row for -1."""
    is_known = indices >= 0
    chosen = table.take(indices[is_known])
    lengths = np.zeros(len(indices), np.int64)
    lengths[is_known] = chosen.lengths
    indptr = np.append(0, np.cumsum(lengths))
    return SparseRows(np.arange(len(indices)), indptr, chosen.indices, chosen.values, chosen.weights, chosen.again)
