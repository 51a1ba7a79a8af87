"""Factors of visitors from their attributes in a training, for visitors without views."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from artifacts import factor_tables
from artifacts.features import feature_rows
from artifacts.features.feature_rows import Features
from artifacts.manifests import VisitorsAccount
from artifacts.names import USER
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking.attributes.prior import Prior
from ranking.attributes.segments import Segments, of_rows
from trainer.als.loop import Factorization
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import attributes


@dataclass(frozen=True)
class LearnedVisitors:
    """The regression of a model's visitors, or the lists of their segments, and its part of the manifest."""

    account: VisitorsAccount
    prior: Prior | None = None
    segments: Segments | None = None

    def write(self, model: Model) -> None:
        """Write what there is."""
        if self.prior:
            factor_tables.write_table(model.user_attributes, self.prior.table, 1)
        if self.segments:
            self.segments.write(model.segments)


def learn(settings: ColdStartSettings, info: DatasetInfo, state: Factorization) -> LearnedVisitors | None:
    """Learn the regression; None if the settings ask for none.

    Called by all processes after the last sweep, in the coordinates in which the factors are written. Raise UserError
    if the dataset has no features of visitors, or none of a visitor with items.
    """
    if settings.new_visitors == "popularity" or (settings.segment and info.interactions <= settings.min_site_ratings):
        return None
    cluster, rows, started = state.cluster, state.rows, time.perf_counter()
    known = cluster.agree(lambda: _read(info.root))
    items, table = cluster.all_gather(rows.counts, rows.size), cluster.all_gather(rows.table, rows.size)
    shown = known.has_some & (items > 0)
    if not shown.any():
        raise UserError(f"cold_start.new_visitors: no visitor of {info.root} has features and items; set popularity")
    if settings.segment:
        segments = _segments(settings.segment, info, state, known)
        account = VisitorsAccount(
            features=known.width,
            visitors=int(shown.sum()),
            segments=len(segments.items),
            seconds=round(time.perf_counter() - started, 3),
        )
        return LearnedVisitors(account, segments=segments)
    prior = attributes.regression(cluster, known, table, shown, settings.user_attributes_penalty)
    seconds = round(time.perf_counter() - started, 3)
    account = VisitorsAccount(features=known.width, visitors=int(shown.sum()), seconds=seconds)
    return LearnedVisitors(account, prior)


def _segments(name: str, info: DatasetInfo, state: Factorization, known: Features) -> Segments:
    """Return the lists of the segments by a category; in the first process, of empty lists in the others."""
    account = info.manifest.user_features
    categories = {field.name: field for field in (account.fields if account else []) if field.kind == "category"}
    if name not in categories:
        raise UserError(f"cold_start.segment: {name} is not a category of user_features; {_one_of(categories)}")
    field = categories[name]
    first, size = field.offset + 1, field.size - 1  # the first feature states that the value is missing
    if state.cluster.rank:
        return Segments(first, np.zeros((size, 0), np.int64), np.zeros((size, 0), np.float32))
    blocks = state.row_blocks
    if state.cluster.size > 1:
        blocks = info.row_files(Dataset(info.root).items_for_user)
    of_visitors = of_rows(known.indptr, known.indices, first, size)
    return Segments.learn(SparseRows.stacked(list(blocks), info.users), of_visitors, first, size, info.items)


def _one_of(names: Iterable[str]) -> str:
    return f"set one of {', '.join(names)}" if names else "the dataset has none"


def _read(root: str) -> Features:
    known = feature_rows.read_known(root, USER)
    if known is None:
        raise UserError(
            f"cold_start.new_visitors: {root} has no features of visitors; make it again with user_features.fields"
        )
    return known


def describe(account: VisitorsAccount) -> str:
    """Return one line about the factors of visitors."""
    if account.segments:
        return f"visitors: {account.segments:,} segments answer those without views, {account.seconds:.1f} s"
    return (
        f"visitors: {account.features:,} features of {account.visitors:,} visitors answer those without views, "
        f"{account.seconds:.1f} s"
    )
