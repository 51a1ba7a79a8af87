"""Factors from attributes in a training: the regression, the known items, and those that nobody has viewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from artifacts import factor_tables
from artifacts.features import feature_rows
from artifacts.features.feature_rows import Features
from artifacts.manifests import AttributesAccount, FieldFeatures
from artifacts.paths import Model
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings
from ranking.attributes import newest, one_list
from ranking.attributes import prior as priors
from ranking.attributes.new_items import NewItems
from ranking.attributes.prior import Prior
from trainer.als import wals
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization
from trainer.als.wals import Side
from trainer.attributes import reach, ridge
from trainer.attributes.reach import Tables, Trial
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.saved_model.attributes_graph import Regression

_ENTRIES = 1 << 20  # of the rows that are folded in at once


@dataclass(frozen=True)
class Learned:
    """A model's regression, its new items, and their part of the manifest."""

    prior: Prior
    new: NewItems
    telling: np.ndarray  # bool [f], see `ranking.attributes.newest`
    account: AttributesAccount

    @property
    def regression(self) -> Regression:
        """The regression, and what it is multiplied by for new items."""
        return Regression(self.prior, self.account.scale, self.telling)

    def write(self, model: Model) -> None:
        """Write the regression and the new items."""
        factor_tables.write_table(model.item_attributes, self.prior.table, 1)
        self.new.write(model)


def learn(settings: ColdStartSettings, info: DatasetInfo, state: Factorization) -> Learned | None:
    """Learn the regression, and change the items' table of the fit.

    Called by all processes after the last sweep, in the coordinates in which the factors are written. Return None if
    the settings or the dataset have no attributes, or no item has features and views.
    """
    cluster, cols, started = state.cluster, state.cols, time.perf_counter()
    known = cluster.agree(lambda: feature_rows.read_known(info.root) if settings.attributes else None)
    if known is None:
        return None
    views, table = cluster.all_gather(cols.counts, cols.size), cluster.all_gather(cols.table, cols.size)
    shown = known.has_some & (views > 0)
    if not shown.any():
        return None

    prior = regression(cluster, known, table, shown, settings.attributes_penalty)
    predicted = prior.factors(known.matrix())
    scale = one_list.scale(table[shown], predicted[shown], settings.new_items_length)
    trial = _change_known(state, predicted, (shown, views, table), settings)
    ids, rows = feature_rows.read_new(info.root) or ([], Features.from_matrix(known.matrix()[:0]))
    new = _new_items(ids, rows, fields_of(info), prior, scale)
    account = AttributesAccount(
        features=known.width,
        items=int(shown.sum()),
        known_items=int((shown & (trial.reach.nearness(views, settings.few_views) > 0)).sum()),
        reach=trial.reach.none * settings.few_views,
        reach_gain=round(trial.gain, 6),
        reach_views=trial.views,
        scale=scale,
        new_items=len(new),
        newest_items=len(new.newest),
        without_features=len(ids) - len(new.all_ids),
        seconds=round(time.perf_counter() - started, 3),
    )
    return Learned(prior, new, newest.telling(fields_of(info), known.width), account)


def start_from(settings: ColdStartSettings, info: DatasetInfo, state: Factorization) -> Callable[[], None]:
    """Return what a pass ends with by `cold_start.attributes_in_training`: items start from their attributes.

    A regression of the items' factors as they are becomes their prior, and their views add to it, so that the users'
    next sweep sees items as their attributes have them. Without the setting or features, nothing is done.
    """
    cluster, cols = state.cluster, state.cols
    wanted = settings.attributes and settings.attributes_in_training
    known = cluster.agree(lambda: feature_rows.read_known(info.root) if wanted else None)
    shown = None if known is None else known.has_some & (cluster.all_gather(cols.counts, cols.size) > 0)

    def start() -> None:
        if known is None or shown is None or not shown.any():
            return
        table = cluster.all_gather(cols.table, cols.size)
        prior = regression(cluster, known, table, shown, settings.attributes_penalty).factors(known.matrix())
        mine, users = slice(cluster.rank, None, cluster.size), _all_users(state)
        for rows in _pieces(state.col_blocks, shown[mine]):
            cols.table[rows.keys] = folded(state, prior[mine][rows.keys], rows, users)

    return start


def regression(cluster: Cluster, known: Features, table: np.ndarray, shown: np.ndarray, penalty: float) -> Prior:
    """Return the regression of one side, the same in all processes.

    known: the features of all rows [n]. table: float32 [n, d], their factors. shown: bool [n], the rows to learn from.
    """

    def fit() -> np.ndarray:
        if cluster.rank:
            return np.zeros((known.width + 1, table.shape[1]), np.float32)
        return ridge.fit(known.matrix()[shown], table[shown], penalty).table

    return Prior(cluster.broadcast(cluster.agree(fit)).astype(np.float32))


def _change_known(
    state: Factorization,
    predicted: np.ndarray,
    of_all: tuple[np.ndarray, np.ndarray, np.ndarray],
    settings: ColdStartSettings,
) -> Trial:
    """Change the factors of known items with attributes, in the table of this process; return the reach of attributes.

    of_all: which items have attributes and views, bool [m]; the views int [m] and the factors of all items.
    """
    cluster, cols, few = state.cluster, state.cols, settings.few_views
    mine, (shown, views, table) = slice(cluster.rank, None, cluster.size), of_all
    users, prior = _all_users(state), predicted[mine]
    tables = reach.Tables(users.table, table, one_list.metric(users.table))
    trial = _tried(state, tables, prior, reach.sample(views, few, shown)[mine], users)
    changed = shown & (trial.reach.nearness(views, few) > 0)
    for rows in _pieces(state.col_blocks, changed[mine]):
        keys = rows.keys
        near = trial.reach.nearness(cols.counts[keys], few)
        share = one_list.lengthening(cols.counts[keys], few, settings.new_items_length)
        made = folded(state, prior[keys], rows, users)
        cols.table[keys] = one_list.of_known(cols.table[keys], made, near, share, tables.metric)
    return trial


def _tried(state: Factorization, tables: Tables, prior: np.ndarray, wanted: np.ndarray, users: Side) -> Trial:
    """Return the reach that some items of this process show, bool [own]."""
    cluster = state.cluster
    rows = SparseRows.concatenated([SparseRows.empty(0), *_pieces(state.col_blocks, wanted)])
    keys = rows.keys

    def fold_in(start: np.ndarray, left: SparseRows) -> np.ndarray:
        return folded(state, start, left, users)

    return reach.choose(rows, keys * cluster.size + cluster.rank, prior[keys], tables, fold_in, cluster)


def folded(state: Factorization, prior: np.ndarray, rows: SparseRows, users: Side | None = None) -> np.ndarray:
    """Return the prior float32 [b, k] of b items and what their rows add to it; the prior for a row without entries.

    rows: keyed by the items of this process. users: all of them; by default gathered by all processes.
    """
    users = users or _all_users(state)
    weights, count = state.cols.weights[rows.keys], state.cols.size
    rest = priors.residuals(prior, users.table, users.weights, state.objective.unobserved_weight, rows, weights)
    rest = replace(rest, keys=np.arange(len(rows)))
    return prior + wals.project(rest, weights, users, count, state.objective, state.solver)[0]


def _all_users(state: Factorization) -> Side:
    rows, cluster = state.rows, state.cluster
    table, counts, weights = (cluster.all_gather(part, rows.size) for part in (rows.table, rows.counts, rows.weights))
    return Side(table, counts, weights, rows.size)


def _pieces(blocks: Iterable[SparseRows], wanted: np.ndarray) -> Iterator[SparseRows]:
    """Yield the rows that are wanted, some at a time, whole although a row may be several records."""
    waiting = SparseRows.empty(0)
    for block in blocks:
        waiting = SparseRows.concatenated([waiting, block.take(np.flatnonzero(wanted[block.keys]))])
        if waiting.entries >= _ENTRIES:
            is_last = waiting.keys == waiting.keys[-1]  # more of this row may follow
            yield waiting.take(np.flatnonzero(~is_last)).joined()
            waiting = waiting.take(np.flatnonzero(is_last))
    if len(waiting):
        yield waiting.joined()


def fields_of(info: DatasetInfo) -> list[FieldFeatures]:
    """Return the fields of the features of items."""
    account = info.manifest.item_features
    return account.fields if account else []


def _new_items(ids: list[bytes], rows: Features, fields: list[FieldFeatures], prior: Prior, scale: float) -> NewItems:
    """Return the new items with attributes, and the newest of the others, which the constant alone does not rank."""
    some = np.flatnonzero(newest.described(rows, fields))
    last = tuple(ids[row] for row in newest.order(rows, fields).tolist())
    return NewItems([ids[row] for row in some.tolist()], prior.scaled(rows.matrix()[some], scale), last)


def describe(account: AttributesAccount) -> str:
    """Return one line about the factors from attributes."""
    return (
        f"attributes: {account.features:,} features of {account.items:,} items; {account.known_items:,} known items "
        f"of fewer than {account.reach:,.0f} views changed; {account.new_items:,} new items, "
        f"{account.newest_items:,} more of known time alone, {account.without_features:,} more without features, "
        f"{account.seconds:.1f} s"
    )
