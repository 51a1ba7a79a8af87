"""One trial of a search: fit on a part of train, measured after each pass on the rest of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings
from configs.settings.search import RATING_KIND, RIDGE, TRAINING, SearchSettings, rating_with
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, fit
from trainer.evaluation import metrics
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.inputs.validation_split import Split, divide, scored_users
from trainer.job.assembly import assemble
from trainer.tuning import rating_kinds

AfterPass = Callable[[int, float], str | None]


@dataclass(frozen=True)
class Material:
    """The data of all trials of a process: the split rows, and both sides of the training rows by rating kind."""

    info: DatasetInfo
    rows: Split
    test: Split | None = None  # all rows of train, and those that the dataset holds out
    _sides: dict[str, tuple[SparseRows, SparseRows]] = field(default_factory=dict)

    @classmethod
    def read(cls, dataset_dir: str, search: SearchSettings) -> Material:
        """Read a dataset and hold out a part of it; raise UserError if that part is empty, or k exceeds the items."""
        info = dataset_rows.read_info(dataset_dir)
        if search.k > info.items:
            raise UserError(f"k is {search.k}, and {dataset_dir} has {info.items} items; lower k in the search")
        blocks = info.row_files(Dataset(info.root).items_for_user).load()
        whole, days = SparseRows.stacked(blocks, info.users), dataset_rows.view_days(info, blocks)
        rows = divide(whole, days, search.validation)
        if not rows.held_out.entries:
            raise UserError(
                f"nothing could be held out of {dataset_dir}: no visitor has two items, "
                "or validation.share is too small; raise it"
            )
        return cls(info, rows, _test(info, whole, search))

    def sides(self, rating: RatingSettings) -> tuple[SparseRows, SparseRows]:
        """Return the training rows by user and by item, with ratings of this kind; each kind is converted once."""
        if rating.kind not in self._sides:
            stored, median = self.info.rating, self.info.manifest.median
            rows = self.rows.train
            rows = replace(rows, values=rating_kinds.convert(rows.values, stored, rating, median))
            self._sides[rating.kind] = rows, rows.transpose(self.info.items)
        return self._sides[rating.kind]


def _test(info: DatasetInfo, train: SparseRows, search: SearchSettings) -> Split | None:
    """Return train and what the dataset holds out of as many users as validation scores; None if there is nothing."""
    if not search.report_test or info.manifest.split.kind == "none":
        return None
    held_out = SparseRows.stacked(info.row_files(Dataset(info.root).held_out).load(), info.users)
    scored = scored_users(np.flatnonzero(held_out.lengths), search.validation)
    held_out = held_out.keep(np.isin(np.repeat(held_out.keys, held_out.lengths), scored))
    return Split(train, held_out) if held_out.entries else None


def settings_of(
    params: Mapping[str, Any], base: TrainingSettings, material: Material
) -> tuple[TrainingSettings, RatingSettings]:
    """Return the settings of a trial: its parameters, and the other settings of `base`."""
    own = {key.removeprefix(TRAINING): value for key, value in params.items() if key.startswith(TRAINING)}
    training = TrainingSettings.model_validate(base.model_dump() | own)
    if RIDGE in params:
        train, items = material.rows.train, material.info.items
        mean = train.entries / max(int(np.count_nonzero(train.lengths)), 1)
        scale = (mean + training.unobserved_weight * items) ** training.frequency_exponent
        training = training.model_copy(update={"regularization_coeff": float(f"{params[RIDGE] / scale:.6g}")})
    stored = material.info.rating
    return training, rating_with(stored, params.get(RATING_KIND, stored.kind))


class Outcome(NamedTuple):
    """The result of a trial: the metric, the pass after which it was reached, and the seconds of the whole trial.

    last: the metric after the last pass on validation, and on test, if the dataset has one.
    """

    value: float
    passes: int
    seconds: float
    last: tuple[float, float] | None


def run(
    material: Material,
    training: TrainingSettings,
    rating: RatingSettings,
    search: SearchSettings,
    after_pass: AfterPass,
    *,
    to_the_end: bool = False,
    threads: int | None = None,
) -> Outcome:
    """Train with these settings and measure after each pass.

    Args:
        after_pass: called with the pass and its value; returns a reason to stop, or None. An exception ends the trial.
        to_the_end: the last pass counts, as in training. Otherwise the best pass counts, and the trial ends after
            `patience` passes without a better one.
    """
    started, info, values = time.perf_counter(), material.info, []
    sides = material.sides(rating)
    state = assemble(
        training, Dataset(info.root), [[side] for side in sides], (info.users, info.items), Cluster(), threads
    )

    def metric(state: Factorization, parts: Split) -> float:
        found = metrics.of_factors(state.rows.table, state.cols.table, parts.held_out, parts.train, search.k)
        return float(getattr(found, search.metric))

    def measure(state: Factorization) -> str | None:
        values.append(metric(state, material.rows))
        if reason := after_pass(len(values), values[-1]):
            return reason
        if not to_the_end and len(values) - 1 - int(np.argmax(values)) >= search.pruning.patience:
            return f"no better for {search.pruning.patience} passes"
        return None

    fit(state, training.max_sweeps, training.tolerance, after_pass=measure)
    best = len(values) - 1 if to_the_end else int(np.argmax(values))
    last = (values[-1], metric(state, material.test)) if material.test else None
    return Outcome(values[best], best + 1, time.perf_counter() - started, last)
