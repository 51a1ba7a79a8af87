"""One trial of a search: fit on a part of train, measured after each pass on the rest of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from artifacts.paths import Dataset
from configs.errors import UserError
from configs.settings import RatingSettings, TrainingSettings
from configs.settings.search import RATING_KIND, RIDGE, TRAINING, SearchSettings, rating_with
from ranking.sparse_rows import SparseRows
from trainer.als.collectives import Alone
from trainer.als.loop import Factorization, fit
from trainer.evaluation import metrics
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo, RowFiles
from trainer.job import training_job
from trainer.tuning import rating_kinds, validation_split

AfterPass = Callable[[int, float], str | None]


@dataclass(frozen=True)
class About:
    """What a dataset's manifest says that a search must know."""

    info: DatasetInfo
    rating: RatingSettings
    median: float | None

    @classmethod
    def read(cls, dataset_dir: str) -> About:
        """Reads the manifest.

        Raises:
            UserError: there is no finished dataset.
        """
        info = dataset_rows.read_info(dataset_dir)
        return cls(info, info.rating, info.manifest.median)


@dataclass(frozen=True)
class Material:
    """What every trial of a process works on: the split rows, and both sides of what is trained on, by rating kind."""

    about: About
    rows: validation_split.Split
    _sides: dict[str, tuple[SparseRows, SparseRows]] = field(default_factory=dict)

    @classmethod
    def read(cls, dataset_dir: str, search: SearchSettings) -> Material:
        """Reads a dataset and holds out a part of it.

        Raises:
            UserError: no dataset, K above its catalogue, or nobody of whom something could be held out.
        """
        about = About.read(dataset_dir)
        info = about.info
        if search.k > info.items:
            raise UserError(f"k is {search.k}, and {dataset_dir} has {info.items} items; lower k in the search")
        files = RowFiles(info.shards(Dataset(info.root).items_for_user), info.users, info.items)
        rows = validation_split.split(SparseRows.stacked(files.load(), info.users), search.validation)
        if not rows.held_out.entries:
            raise UserError(
                f"nothing could be held out of {dataset_dir}: no visitor has two items, "
                "or validation.share is too small"
            )
        return cls(about, rows)

    def sides(self, rating: RatingSettings) -> tuple[SparseRows, SparseRows]:
        """The rows to train on by user and by item, with ratings of this kind; the last kinds are kept."""
        if rating.kind not in self._sides:
            own, kept = self.rows.train, self.about
            values = rating_kinds.convert(own.values, kept.rating, rating, kept.median)
            rows = SparseRows(own.keys, own.indptr, own.indices, values)
            self._sides[rating.kind] = rows, rows.transpose(kept.info.items)
        return self._sides[rating.kind]


def settings_of(
    params: Mapping[str, Any], base: TrainingSettings, material: Material
) -> tuple[TrainingSettings, RatingSettings]:
    """The settings that the parameters of a trial stand for; what they do not name is as in `base`."""
    own = {key.removeprefix(TRAINING): value for key, value in params.items() if key.startswith(TRAINING)}
    training = TrainingSettings.model_validate(base.model_dump() | own)
    if RIDGE in params:
        train, items = material.rows.train, material.about.info.items
        mean = train.entries / max(int(np.count_nonzero(train.lengths)), 1)
        scale = (mean + training.unobserved_weight * items) ** training.frequency_exponent
        training = training.model_copy(update={"regularization_coeff": float(f"{params[RIDGE] / scale:.6g}")})
    stored = material.about.rating
    return training, rating_with(stored, params.get(RATING_KIND, stored.kind))


@dataclass(frozen=True)
class Outcome:
    """value: of the metric. passes: after which it was reached. seconds: of the whole trial."""

    value: float
    passes: int
    seconds: float
    stopped: str


def run(
    material: Material,
    training: TrainingSettings,
    rating: RatingSettings,
    search: SearchSettings,
    after_pass: AfterPass,
    to_the_end: bool = False,
    threads: int | None = None,
) -> Outcome:
    """Trains with these settings and measures after each pass.

    Args:
        after_pass: called with the pass and its value; gives why to stop, or None. What it raises ends the trial.
        to_the_end: the last pass counts, as in training; otherwise the best one, and `patience` passes without a
            better one are the end.
    """
    started, info, values = time.perf_counter(), material.about.info, []
    sides = material.sides(rating)
    state = training_job.assemble(
        training, Dataset(info.root), [[side] for side in sides], (info.users, info.items), Alone(), threads
    )

    def measure(state: Factorization) -> str | None:
        found = metrics.of_factors(
            state.rows.table, state.cols.table, material.rows.held_out, material.rows.train, search.k
        )
        values.append(float(getattr(found, search.metric)))
        if reason := after_pass(len(values), values[-1]):
            return reason
        if not to_the_end and len(values) - 1 - int(np.argmax(values)) >= search.pruning.patience:
            return f"no better for {search.pruning.patience} passes"
        return None

    reason = fit(state, training.max_sweeps, training.tolerance, after_pass=measure)
    best = len(values) - 1 if to_the_end else int(np.argmax(values))
    return Outcome(values[best], best + 1, time.perf_counter() - started, reason)
