"""Factors of visitors from their attributes in a training, for visitors without views."""

from __future__ import annotations

import time
from dataclasses import dataclass

from artifacts import factor_tables
from artifacts.features import feature_rows
from artifacts.features.feature_rows import Features
from artifacts.manifests import VisitorsAccount
from artifacts.names import USER
from artifacts.paths import Model
from configs.errors import UserError
from configs.settings import ColdStartSettings
from ranking.attributes.prior import Prior
from trainer.als.loop import Factorization
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import attributes


@dataclass(frozen=True)
class LearnedVisitors:
    """The regression of a model's visitors, and its part of the manifest."""

    prior: Prior
    account: VisitorsAccount

    def write(self, model: Model) -> None:
        """Write the regression."""
        factor_tables.write_table(model.user_attributes, self.prior.table, 1)


def learn(settings: ColdStartSettings, info: DatasetInfo, state: Factorization) -> LearnedVisitors | None:
    """Learn the regression; None if the settings ask for none.

    Called by all processes after the last sweep, in the coordinates in which the factors are written. Raise UserError
    if the dataset has no features of visitors, or none of a visitor with items.
    """
    if settings.new_visitors != "attributes":
        return None
    cluster, rows, started = state.cluster, state.rows, time.perf_counter()
    known = cluster.agree(lambda: _read(info.root))
    items, table = cluster.all_gather(rows.counts, rows.size), cluster.all_gather(rows.table, rows.size)
    shown = known.has_some & (items > 0)
    if not shown.any():
        raise UserError(f"cold_start.new_visitors: no visitor of {info.root} has features and items; set popularity")
    prior = attributes.regression(cluster, known, table, shown, settings.user_attributes_penalty)
    seconds = round(time.perf_counter() - started, 3)
    return LearnedVisitors(prior, VisitorsAccount(features=known.width, visitors=int(shown.sum()), seconds=seconds))


def _read(root: str) -> Features:
    known = feature_rows.read_known(root, USER)
    if known is None:
        raise UserError(
            f"cold_start.new_visitors: {root} has no features of visitors; make it again with user_features.fields"
        )
    return known


def describe(account: VisitorsAccount) -> str:
    """Return one line about the factors of visitors."""
    return (
        f"visitors: {account.features:,} features of {account.visitors:,} visitors answer those without views, "
        f"{account.seconds:.1f} s"
    )
