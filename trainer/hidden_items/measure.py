"""A training without a share of the items, and how well these are recommended by their attributes alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artifacts.features import feature_rows
from artifacts.items_table import ItemsTable
from artifacts.manifests import ModelManifest
from artifacts.names import CATEGORY, CONTENT_ID, DAY_MS, FIRST_TIME_MS, LAST_TIME_MS
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import EvaluationSettings
from configs.settings.search import ValidationSettings
from ranking import popularity
from ranking.attributes import last_places, one_list
from ranking.heap import Best
from ranking.topk import top_k
from trainer.als.collectives import Cluster
from trainer.als.loop import fit
from trainer.evaluation.intervals import Cells, Intervals
from trainer.evaluation.metrics import Sums, Users
from trainer.hidden_items import baselines
from trainer.inputs import validation_split
from trainer.inputs.dataset_rows import DatasetInfo, read_info
from trainer.inputs.hashing import hashes
from trainer.job import assembly, attributes

ATTRIBUTES, WITHOUT, LAST = "attributes", "without attributes", "newest in the last places"
VIEWS = {"1-5": (1, 5), "6-10": (6, 10), "11 and more": (11, None)}  # groups of known items
_HELD_OUT = 0.2  # of the entries of known items
_LAST_PLACES = 0.1  # the share of the newest items that is tried where the setting is 0
METRICS = ("recall", "ndcg")


@dataclass
class NewItemsEvaluation:
    """The result: cells are recall and NDCG at each K with their intervals."""

    share: float  # of the items that were hidden, or `days`
    days: int | None  # the items first viewed within so many days of the last view were hidden
    items: int  # hidden
    pairs: int  # of hidden items and users
    reach: float  # views from which on attributes do not count for known items, as the training chose it
    among_new: dict[str, Cells]  # lists of hidden items only, by system
    one_list: dict[str, dict[str, Cells]]  # lists of all items, by what is held out, and by system
    known_alone: dict[str, Cells]  # lists of known items: with attributes minus without, paired, by what is held out

    def as_json(self) -> dict[str, Any]:
        """Return the content of `new_items` in --output_json."""
        return asdict(self)


def measure(dataset_dir: str, model: ModelManifest, settings: EvaluationSettings) -> NewItemsEvaluation:
    """Train as the model was trained, without the items that are hidden, and measure.

    Raise UserError if the dataset has no features of items, or too few items are left on either side.
    """
    info = read_info(dataset_dir)
    known = feature_rows.read_known(info.root)
    if known is None:
        raise UserError(f"evaluation.new_items: {dataset_dir} has no features of items; set features and make it again")
    rows = SparseRows.stacked(list(info.row_files(Dataset(info.root).items_for_user)), info.users)
    views = np.bincount(rows.indices, minlength=info.items)
    hidden = _drawn(info, settings) & known.has_some & (views > 0)
    if not hidden.any() or not (known.has_some & ~hidden & (views > 0)).any():
        choice = "number of days" if settings.new_items_days else "share"
        raise UserError(f"evaluation.new_items: of the items, {hidden.sum()} are hidden; choose another {choice}")
    is_hidden = hidden[rows.indices]
    parts = validation_split.split(rows.keep(~is_hidden), ValidationSettings(share=_HELD_OUT, users=info.users))
    return _Measurement(info, model, settings, hidden, rows.keep(is_hidden), parts).result(known)


def _drawn(info: DatasetInfo, settings: EvaluationSettings) -> np.ndarray:
    """Return the items to hide, if they have features and views: bool [m]."""
    if settings.new_items_days is None:
        numbers = np.arange(info.items)
        return hashes(settings.seed, numbers, np.zeros_like(numbers)) < settings.new_items
    table = ItemsTable.read(Dataset(info.root).items, info.items, (CONTENT_ID,), (FIRST_TIME_MS, LAST_TIME_MS))
    if LAST_TIME_MS not in table.table.column_names or not np.isfinite(table.last_time_ms).any():
        raise UserError("evaluation.new_items_days: the dataset has no times; set evaluation.new_items, a share")
    return table.first_time_ms > np.nanmax(table.last_time_ms) - settings.new_items_days * DAY_MS


class _Measurement:
    """A training on `parts.train`, and its lists."""

    def __init__(
        self,
        info: DatasetInfo,
        model: ModelManifest,
        settings: EvaluationSettings,
        hidden: np.ndarray,
        new: SparseRows,
        parts: validation_split.Split,
    ):
        self._info, self._settings, self._cold_start = info, settings, model.cold_start
        self._hidden, self._new, self._parts = hidden, new, parts
        self._ks = sorted(set(settings.k))
        blocks, sizes = [[parts.train], [parts.train.transpose(info.items)]], (info.users, info.items)
        state = assembly.assemble(model.settings, Dataset(info.root), blocks, sizes, Cluster())
        fit(state, model.settings.max_sweeps, model.settings.tolerance)
        self._views, self._trained = state.cols.counts, state.cols.table.copy()
        self._learned = attributes.learn(model.cold_start.model_copy(update={"attributes": True}), info, state)
        self._users, self._items = state.rows.table, state.cols.table

    def result(self, known: feature_rows.Features) -> NewItemsEvaluation:
        """Return the metrics of all systems."""
        if self._learned is None:
            raise UserError("evaluation.new_items: no item that is left has features; choose a smaller share")
        new = self._learned.prior.scaled(known.matrix()[self._hidden], self._learned.account.scale)
        every = np.flatnonzero(np.maximum(self._new.lengths, self._parts.held_out.lengths))
        lists = {
            ATTRIBUTES: self._in_one_list(every, self._items, new),
            WITHOUT: self._in_one_list(every, self._trained, None),
        }
        if (last := self._newest_last(lists[WITHOUT])) is not None:
            lists[LAST] = last
        groups = {"new": self._new, "known": self._parts.held_out}
        for name, (low, high) in VIEWS.items():
            of_group = (self._views >= low) & (self._views <= (np.inf if high is None else high))
            groups[name] = self._parts.held_out.keep(of_group[self._parts.held_out.indices])
        groups["all"] = _joined(self._new, self._parts.held_out)
        alone = self._in_one_list(every, self._items, None)
        return NewItemsEvaluation(
            share=self._settings.new_items,
            days=self._settings.new_items_days,
            items=int(self._hidden.sum()),
            pairs=self._new.entries,
            reach=self._learned.account.reach,
            among_new=self._among_new(known, new),
            one_list={
                name: {system: self._cells(some, truth.take(every)) for system, some in lists.items()}
                for name, truth in groups.items()
                if truth.entries
            },
            known_alone={
                name: self._difference(alone, lists[WITHOUT], truth.take(every))
                for name, truth in groups.items()
                if truth.entries and name not in ("new", "all")
            },
        )

    def _among_new(self, known: feature_rows.Features, new: np.ndarray) -> dict[str, Cells]:
        """Return the metrics of lists of hidden items."""
        rated, k, ids = np.flatnonzero(self._new.lengths), self._ks[-1], np.flatnonzero(self._hidden)
        table = ItemsTable.read(
            Dataset(self._info.root).items, self._info.items, (CONTENT_ID,), (CATEGORY, FIRST_TIME_MS)
        )
        names, orders = table.table.column_names, dict[str, np.ndarray | None]()
        if CATEGORY in names:
            categories = table.table[CATEGORY].to_pylist()
            orders[baselines.CATEGORY] = baselines.by_category(categories, self._views, self._hidden)
        if FIRST_TIME_MS in names:
            orders[baselines.NEWEST] = baselines.newest(table.first_time_ms, self._hidden)
        histories, left_out = self._parts.train.take(rated), SparseRows.empty(len(rated))
        lists = {ATTRIBUTES: top_k(self._users[rated], new, left_out, k).indices}
        lists[baselines.KNN] = baselines.content_knn(histories, known.matrix(), self._hidden, k)
        for name, scores in orders.items():
            if scores is not None:
                lists[name] = popularity.first_k(popularity.order(scores), scores, left_out, k).indices
        truth = self._new.take(rated)
        return {name: self._cells(np.where(some >= 0, ids[some], -1), truth) for name, some in lists.items()}

    def _in_one_list(self, rated: np.ndarray, items: np.ndarray, new: np.ndarray | None) -> np.ndarray:
        """Return the itemIds of the best of all items for some users, int64 [b, k]; hidden ones by their attributes."""
        ids, k = np.flatnonzero(~self._hidden), self._ks[-1]
        rows = np.full(self._info.items, -1, np.int64)
        rows[ids] = np.arange(len(ids))
        left_out = self._parts.train.take(rated).left_out().renumbered(rows)
        best = top_k(self._users[rated], items[ids], left_out, k)
        if new is None:
            return np.where(best.indices >= 0, ids[best.indices], -1)
        most = one_list.most_new(self._cold_start.new_items_share, k)
        some = top_k(self._users[rated], new, SparseRows.empty(len(rated)), most)
        some = Best(np.where(some.indices >= 0, some.indices + len(ids), -1), some.scores)
        merged = one_list.merged(best, some, k).indices
        return np.where(merged >= 0, np.append(ids, np.flatnonzero(self._hidden))[merged], -1)

    def _newest_last(self, lists: np.ndarray) -> np.ndarray | None:
        """Return lists of known items with the newest hidden ones in their last places; None without times."""
        table = ItemsTable.read(Dataset(self._info.root).items, self._info.items, (CONTENT_ID,), (FIRST_TIME_MS,))
        times = table.first_time_ms if FIRST_TIME_MS in table.table.column_names else np.zeros(0)
        order = baselines.newest(times, self._hidden) if len(times) else None
        if order is None:
            return None
        given = np.flatnonzero(self._hidden)[popularity.order(order)]
        best = Best(lists, np.zeros(lists.shape, np.float32))
        share = self._cold_start.newest_items_share or _LAST_PLACES
        return last_places.in_last_places(best, given, np.full(len(lists), lists.shape[1]), share).indices

    def _cells(self, lists: np.ndarray, truth: SparseRows) -> Cells:
        """Return recall and NDCG of the lists of users with something held out."""
        sums = self._sums(lists, truth)
        return _of_metrics(self._intervals(sums).of(sums))

    def _difference(self, lists: np.ndarray, others: np.ndarray, truth: SparseRows) -> Cells:
        """Return the paired difference of two lists of the same users."""
        first, second = self._sums(lists, truth), self._sums(others, truth)
        return _of_metrics(self._intervals(first).differences(first, second))

    def _intervals(self, sums: Sums) -> Intervals:
        return Intervals(len(sums.counts), self._settings.resamples, self._settings.confidence, self._settings.seed)

    def _sums(self, lists: np.ndarray, truth: SparseRows) -> Sums:
        rated = np.flatnonzero(truth.lengths)
        sums = Sums(self._ks, np.zeros(self._info.items), len(rated))
        keys = truth.keys[rated]
        users = Users.of(keys, self._parts.train.lengths[keys], 0, len(rated), self._settings.seed)
        sums.add(lists[rated], truth.take(rated), users)
        return sums


def _of_metrics(cells: Cells) -> Cells:
    return {name: cell for name, cell in cells.items() if name.startswith(METRICS)}


def _joined(first: SparseRows, second: SparseRows) -> SparseRows:
    """Return rows with the entries of both, in order."""
    owners = np.concatenate([np.repeat(rows.keys, rows.lengths) for rows in (first, second)])
    indices = np.concatenate([first.indices, second.indices])
    order = np.lexsort((indices, owners))
    indptr = np.searchsorted(owners[order], np.arange(len(first) + 1))
    return SparseRows(first.keys, indptr, indices[order], np.ones(len(order), np.float32))
