"""A model and the baselines on all that is held out, in one reading of the dataset."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from artifacts import manifests as manifest
from artifacts.paths import Model
from configs import __version__
from configs.errors import UserError
from configs.settings import EvaluationSettings
from trainer.als import parallel
from trainer.evaluation import baselines, inputs, metrics, ranking
from trainer.evaluation.baselines import WALS, Factors, ItemCounts, System
from trainer.evaluation.inputs import Block, HeldOut
from trainer.evaluation.intervals import Cell, Cells, Intervals
from trainer.evaluation.metrics import Sums, Users
from trainer.evaluation.verdicts import verdicts


@dataclass
class Overlap:
    """How many of two lists' items are the same: float64 [buckets, ks] summed shares, and users [buckets]."""

    shares: np.ndarray
    counts: np.ndarray

    def add(self, one: np.ndarray, other: np.ndarray, ks: np.ndarray, users: Users) -> None:
        """Takes lists int32 [b, k] of the same users."""
        shares = np.empty((len(one), len(ks)))
        ranking.in_both(one, other, ks, shares)
        np.add.at(self.shares, users.buckets, shares)
        np.add.at(self.counts, users.buckets, 1)


@dataclass
class Evaluation:
    """What was found. cells, by_activity: by system. differences: ours against each other system, paired."""

    users: int
    pairs: int
    activity: dict[str, int]
    cells: dict[str, Cells]
    by_activity: dict[str, dict[str, Cells]]
    differences: dict[str, Cells]
    overlap: dict[str, Cell]
    against: str | None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Whether the model is better than each other system, by recall at the greatest K."""
        return verdicts(self.cells, self.differences, max(self.about["settings"]["k"]))

    def as_json(self) -> dict[str, Any]:
        """What --output_json writes (docs/evaluation.md)."""

        def tree(cells: Cells) -> dict[str, Any]:
            return {name: cell.as_json() for name, cell in cells.items()}

        content = {
            "kind": "evaluation",
            "code_version": __version__,
            **self.about,
            "users": self.users,
            "pairs": self.pairs,
            "activity": self.activity,
            "systems": {name: tree(cells) for name, cells in self.cells.items()},
            "by_activity": {
                name: {group: tree(cells) for group, cells in groups.items()}
                for name, groups in self.by_activity.items()
            },
            "differences": {name: tree(cells) for name, cells in self.differences.items()},
            "verdicts": self.verdicts,
        }
        if self.against is not None:
            content["against"] = {"system": self.against, "overlap": tree(self.overlap)}
        return content


def evaluate(
    dataset_dir: str,
    model_dir: str,
    settings: EvaluationSettings,
    against_dir: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measures a model, the baselines and, where there is one, another model.

    Args:
        progress: called with the users done and all of them.

    Raises:
        UserError: no split, a model of another dataset, K above the catalogue.
    """
    started, held_out = time.time(), HeldOut.read(dataset_dir)
    info, ks = held_out.info, sorted(set(settings.k))
    if ks[-1] > info.items:
        raise UserError(f"K is {ks[-1]}, and {dataset_dir} has {info.items} items; lower evaluation.k")
    manifests = {path: inputs.read_model(path, info) for path in (model_dir, against_dir) if path}
    counts = ItemCounts.read(info)
    compared: dict[str, System] = {WALS: Factors(Model(model_dir), info)}
    against = f"WALS of {against_dir}" if against_dir else None
    if against_dir and against:
        compared[against] = Factors(Model(against_dir), info)
    compared |= baselines.baselines(info, counts, settings.baselines, settings.neighbours)
    run = _Run(held_out, compared, against, ks, metrics.information(counts.visitors, info.users), settings.seed)
    for block in held_out.blocks():
        run.take(block)
        progress(run.done, held_out.users)
    found = run.finish(settings)
    found.about = {
        "model": {"root": model_dir, "digest": manifest.digest(manifests[model_dir])},
        "dataset": {"root": dataset_dir, "fingerprint": info.fingerprint, "split": held_out.split},
        "settings": settings.model_dump(mode="json") | {"k": ks},
        "left_out": {
            "visitors without anything held out": info.users - found.users,
            "held-out pairs already in train": held_out.split["already_in_train"],
            "held-out pairs of a visitor unknown to train": held_out.split["unknown_visitor"],
            "held-out pairs of an item unknown to train": held_out.split["unknown_item"],
        },
        "seconds": round(time.time() - started, 3),
    }
    return found


class _Run:
    """The sums of all systems, filled block by block."""

    def __init__(
        self,
        held_out: HeldOut,
        compared: dict[str, System],
        against: str | None,
        ks: list[int],
        information: np.ndarray,
        seed: int,
    ):
        self._held_out, self._compared, self._against, self._seed = held_out, compared, against, seed
        self._sums = {name: Sums(ks, information, held_out.users) for name in compared}
        buckets = len(self._sums[WALS].counts)
        self._overlap = Overlap(np.zeros((buckets, len(ks))), np.zeros(buckets))
        self.done, self._pairs = 0, 0

    def take(self, block: Block) -> None:
        for system in self._compared.values():
            system.prepare(block.keys)
        pieces = block.pieces(self._held_out.info.items)
        most = int(self._sums[WALS].ks[-1])
        for lists, piece in zip(parallel.each(lambda piece: self._lists(piece, most), pieces), pieces, strict=True):
            items = piece.seen.lengths
            users = Users.of(piece.keys, items, self.done, self._held_out.users, self._seed)
            for name, top in lists.items():
                self._sums[name].add(top, piece.truth, users)
            if self._against:
                self._overlap.add(lists[WALS], lists[self._against], self._sums[WALS].ks, users)
            if self._held_out.explicit:
                self._add_errors(piece, users)
            self.done += len(piece.keys)
            self._pairs += piece.truth.entries

    def _lists(self, piece: Block, most: int) -> dict[str, np.ndarray]:
        return {name: system.top(piece.keys, piece.seen, most) for name, system in self._compared.items()}

    def _add_errors(self, piece: Block, users: Users) -> None:
        for name, system in self._compared.items():
            if isinstance(system, Factors):
                rows = system.rows(np.repeat(piece.keys, piece.truth.lengths)).astype(np.float64)
                predicted = np.einsum("ij,ij->i", rows, system.items[piece.truth.indices])
                self._sums[name].add_errors(piece.truth.values - predicted, piece.truth, users)

    def finish(self, settings: EvaluationSettings) -> Evaluation:
        sums = self._sums
        intervals = Intervals(len(sums[WALS].counts), settings.resamples, settings.confidence, settings.seed)
        counts = sums[WALS].counts.sum(axis=0)
        overlap = {}
        if self._against:
            for place, k in enumerate(sums[WALS].ks):
                overlap[f"overlap@{k}"] = intervals.mean(self._overlap.shares[:, place], self._overlap.counts)
        return Evaluation(
            self.done,
            self._pairs,
            {name: int(count) for name, count in zip(metrics.ACTIVITY, counts, strict=True) if count},
            {name: intervals.of(own) for name, own in sums.items()},
            {name: intervals.by_activity(own) for name, own in sums.items()},
            {name: intervals.differences(sums[WALS], own) for name, own in sums.items() if name != WALS},
            overlap,
            self._against,
        )
