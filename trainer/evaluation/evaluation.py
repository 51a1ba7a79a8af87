"""The measurement of a model and the baselines on all that is held out, in one pass over the dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.names import RECENT_POPULARITY, VISITORS
from artifacts.paths import Dataset, Model
from configs import __version__
from configs.errors import UserError
from configs.settings import EvaluationSettings
from trainer.evaluation import baselines, inputs, metrics, verdicts
from trainer.evaluation.baselines import WALS, Factors, System
from trainer.evaluation.inputs import Block, HeldOut
from trainer.evaluation.intervals import Cells, Intervals
from trainer.evaluation.metrics import Sums, Users
from trainer.evaluation.verdicts import Comparison, Verdict
from trainer.inputs.dataset_rows import DatasetInfo


@dataclass
class Evaluation:
    """The result."""

    users: int  # those with something held out
    pairs: int  # those held out
    activity: dict[str, int]  # users by the number of items that they have in train
    cells: dict[str, Cells]  # metrics by system
    by_activity: dict[str, dict[str, Cells]]  # the same by activity
    differences: dict[str, Cells]  # ours minus each other system's, paired by user
    differences_by_activity: dict[str, dict[str, Cells]]  # the same by activity
    overlap: Cells  # the share of the two models' lists that is the same
    against: str | None  # the name of the other model
    about: dict[str, Any] = field(default_factory=dict)  # the model, the dataset, the settings, and what was left out

    @property
    def headline(self) -> list[str]:
        """The metrics that decide, at the greatest K, such as recall@20."""
        settings = self.about["settings"]
        return [f"{metric}@{max(settings['k'])}" for metric in settings["headline"]]

    @property
    def verdicts(self) -> list[Verdict]:
        """The comparison with each other system."""
        return [
            verdicts.of(
                name,
                Comparison(self.cells[WALS], self.cells[name], paired),
                {
                    group: (users, Comparison(*(cells[group] for cells in self._groups(name))))
                    for group, users in self.activity.items()
                },
                self.headline,
                self.about["settings"]["confidence"],
            )
            for name, paired in self.differences.items()
        ]

    def _groups(self, system: str) -> tuple[dict[str, Cells], ...]:
        return self.by_activity[WALS], self.by_activity[system], self.differences_by_activity[system]

    def as_json(self) -> dict[str, Any]:
        """Return the content of --output_json (docs/evaluation.md)."""
        plain = asdict(self)
        content = {
            "kind": "evaluation",
            "code_version": __version__,
            **self.about,
            **{name: plain[name] for name in ("users", "pairs", "activity")},
            "systems": plain["cells"],
            **{name: plain[name] for name in ("by_activity", "differences", "differences_by_activity")},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }
        if self.against is not None:
            content["against"] = {"system": self.against, "overlap": plain["overlap"]}
        return content


def evaluate(
    dataset_dir: str,
    model_dir: str,
    settings: EvaluationSettings,
    against_dir: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a model, the baselines and, if there is one, another model.

    progress: is called with the number of users that are done, and of all users. Raise UserError without a split, or if
    a model is of another dataset, or K is above the number of items.
    """
    started, held_out = time.time(), HeldOut.read(dataset_dir)
    info, ks = held_out.info, sorted(set(settings.k))
    if ks[-1] > info.items:
        raise UserError(f"K is {ks[-1]}, and {dataset_dir} has {info.items} items; lower evaluation.k")
    read = {path: inputs.read_model(path, info) for path in (model_dir, against_dir) if path}
    items = ItemsTable.read(Dataset(info.root).items, info.items, (VISITORS, RECENT_POPULARITY))
    systems: dict[str, System] = {WALS: Factors(Model(model_dir), info, read[model_dir].neighbourhood.gamma)}
    against = f"WALS of {against_dir}" if against_dir else None
    if against_dir and against:
        systems[against] = Factors(Model(against_dir), info, read[against_dir].neighbourhood.gamma)
    systems |= baselines.baselines(info, items, settings.baselines, settings.neighbours)
    run = _Run(held_out, systems, against, items.visitors, settings.model_copy(update={"k": tuple(ks)}))
    for block in held_out.blocks():
        run.take(block)
        progress(run.done, held_out.users)
    evaluation = run.finish()
    evaluation.about = {
        "model": {"root": model_dir, "digest": read[model_dir].digest()},
        "dataset": {"root": dataset_dir, "fingerprint": info.fingerprint, "split": info.manifest.split.model_dump()},
        "settings": settings.model_dump(mode="json") | {"k": ks},
        "left_out": _left_out(info, evaluation.users),
        "seconds": round(time.time() - started, 3),
    }
    return evaluation


def _left_out(info: DatasetInfo, users: int) -> dict[str, int]:
    split = info.manifest.split
    return {
        "visitors without anything held out": info.users - users,
        "held-out pairs already in train": split.already_in_train,
        "held-out pairs of a visitor unknown to train": split.unknown_visitor,
        "held-out pairs of an item unknown to train": split.unknown_item,
    }


class _Run:
    """The sums of all systems, block by block."""

    def __init__(
        self,
        held_out: HeldOut,
        systems: Mapping[str, System],
        against: str | None,
        visitors: np.ndarray,
        settings: EvaluationSettings,
    ):
        self._held_out, self._systems, self._against, self._settings = held_out, systems, against, settings
        information = metrics.information(visitors, held_out.info.users)
        self._sums = {name: Sums(settings.k, information, held_out.users) for name in systems}
        self._ks, self._buckets = self._sums[WALS].ks, len(self._sums[WALS].counts)
        self._overlap = np.zeros((self._buckets, len(self._ks)))
        self.done, self._pairs = 0, 0

    def take(self, block: Block) -> None:
        """Add the users of one file."""
        for system in self._systems.values():
            system.prepare(block.keys)
        for piece in block.pieces(int(self._ks[-1])):
            keys, seed = piece.keys, self._settings.seed
            users = Users.of(keys, piece.seen.lengths, self.done, self._held_out.users, seed)
            lists = {name: system.top(keys, piece.seen, int(self._ks[-1])) for name, system in self._systems.items()}
            for name, top in lists.items():
                self._sums[name].add(top, piece.truth, users)
            if self._against:
                shares = metrics.overlap(lists[WALS], lists[self._against], self._ks)
                np.add.at(self._overlap, users.buckets, shares)
            if self._held_out.info.manifest.settings.source.rating_column:  # else ratings are computed from dwell
                self._add_errors(piece, users)
            self.done += len(keys)
            self._pairs += piece.truth.entries

    def _add_errors(self, piece: Block, users: Users) -> None:
        for name, system in self._systems.items():
            if isinstance(system, Factors):
                rows = system.rows(np.repeat(piece.keys, piece.truth.lengths)).astype(np.float64)
                predicted = np.einsum("ij,ij->i", rows, system.items[piece.truth.indices])
                self._sums[name].add_errors(piece.truth.values - predicted, piece.truth, users)

    def finish(self) -> Evaluation:
        """Return the metrics with their intervals."""
        sums, settings = self._sums, self._settings
        intervals = Intervals(self._buckets, settings.resamples, settings.confidence, settings.seed)
        counts, buckets = sums[WALS].counts.sum(axis=0), sums[WALS].counts.sum(axis=1)
        shares = self._overlap.T if self._against else ()
        overlap = {f"overlap@{k}": intervals.mean(column, buckets) for k, column in zip(self._ks, shares, strict=False)}
        return Evaluation(
            self.done,
            self._pairs,
            {name: int(count) for name, count in zip(metrics.ACTIVITY, counts, strict=True) if count},
            {name: intervals.of(own) for name, own in sums.items()},
            {name: intervals.by_activity(own) for name, own in sums.items()},
            {name: intervals.differences(sums[WALS], own) for name, own in sums.items() if name != WALS},
            {name: intervals.differences_by_activity(sums[WALS], own) for name, own in sums.items() if name != WALS},
            overlap,
            self._against,
        )
