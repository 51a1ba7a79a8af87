"""The measurement of a model and the baselines on all that is held out, in one pass over the dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

from artifacts.items_table import ItemsTable
from artifacts.names import RECENT_POPULARITY
from artifacts.paths import Dataset, Model
from configs import __version__
from configs.errors import UserError
from configs.settings import EvaluationSettings
from trainer.evaluation import baselines, inputs, metrics, verdicts
from trainer.evaluation.baselines import WALS, Factors, System
from trainer.evaluation.diversity import Diversity
from trainer.evaluation.inputs import Block, HeldOut
from trainer.evaluation.intervals import Cells, Intervals
from trainer.evaluation.metrics import ACTIVITY, Directions, Sums, Users
from trainer.evaluation.segments import COLUMNS, HAVE, HELD_OUT, OPTIONAL, Segments
from trainer.evaluation.verdicts import Comparison, Group, Verdict
from trainer.inputs.dataset_rows import DatasetInfo


class ByGroup(NamedTuple):
    """The metrics by group of users, without empty groups."""

    users: dict[str, int]
    cells: dict[str, dict[str, Cells]]  # by system
    differences: dict[str, dict[str, Cells]]  # ours minus each other system's, paired by user

    @classmethod
    def of(cls, sums: Mapping[str, Sums], names: Sequence[str], intervals: Intervals) -> ByGroup:
        """Return the metrics of all systems; names: of the groups of their sums, in order."""
        counts = sums[WALS].counts.sum(axis=0)
        drawn = {name: intervals.drawn_by_group(own, names) for name, own in sums.items()}
        return cls(
            {name: int(count) for name, count in zip(names, counts, strict=True) if count},
            {name: {group: intervals.means(own) for group, own in groups.items()} for name, groups in drawn.items()},
            {
                name: {group: intervals.difference(drawn[WALS][group], own) for group, own in groups.items()}
                for name, groups in drawn.items()
                if name != WALS
            },
        )

    def compared(self, system: str) -> dict[str, tuple[int, Comparison]]:
        """Return the users of each group, and the comparison with a system."""
        theirs, differences = self.cells[system], self.differences[system]
        return {
            name: (users, Comparison(self.cells[WALS][name], theirs[name], differences[name]))
            for name, users in self.users.items()
        }


@dataclass
class Evaluation:
    """The result."""

    users: int  # those with something held out
    pairs: int  # those held out
    cells: dict[str, Cells]  # metrics by system
    differences: dict[str, Cells]  # ours minus each other system's, paired by user
    by_activity: ByGroup  # by the number of items that a user has in train
    by_segment: ByGroup  # by what a user has and what is held out (`trainer.evaluation.segments`), at the greatest K
    overlap: Cells  # the share of the two models' lists that is the same
    against: str | None  # the name of the other model
    about: dict[str, Any] = field(default_factory=dict)  # the model, the dataset, the settings, and what was left out
    # by system, the share of the items of a band of popularity that is recommended at all
    coverage_by_band: dict[str, dict[str, float]] = field(default_factory=dict)
    diversity: dict[str, Cells] = field(default_factory=dict)  # metrics of our lists by MMR, by lambda

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
                self._visitors(name),
                self._held_out(name),
                self.headline,
                self.about["settings"]["confidence"],
            )
            for name, paired in self.differences.items()
        ]

    @property
    def by_chance(self) -> str | None:
        """A sentence on how many groups would be weak spots or trade-offs by chance; None if there are none."""
        return verdicts.by_chance(self.verdicts, self.about["settings"]["confidence"])

    def _visitors(self, system: str) -> list[Group]:
        advice = verdicts.for_visitors(system, self.about["model"]["gamma"])
        activity = {
            f"visitors with {name} item{'s' * (name != '1')}": compared
            for name, compared in self.by_activity.compared(system).items()
        }
        segments = self.by_segment.compared(system).items()
        groups = activity | {name: compared for name, compared in segments if name.startswith(HAVE)}
        return [Group(name, *compared, advice) for name, compared in groups.items()]

    def _held_out(self, system: str) -> list[Group]:
        return [
            Group(name, *compared, verdicts.for_held_out(name.removeprefix(HELD_OUT)))
            for name, compared in self.by_segment.compared(system).items()
            if name.startswith(HELD_OUT)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the content of --output_json (docs/evaluation.md)."""
        plain = asdict(self)
        activity, segments = plain["by_activity"], plain["by_segment"]
        content = {
            "kind": "evaluation",
            "code_version": __version__,
            **self.about,
            **{name: plain[name] for name in ("users", "pairs", "differences", "coverage_by_band", "diversity")},
            "systems": plain["cells"],
            "activity": activity.users,
            "by_activity": activity.cells,
            "differences_by_activity": activity.differences,
            "segments": segments.users,
            "by_segment": segments.cells,
            "differences_by_segment": segments.differences,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "by_chance": self.by_chance,
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
    items = ItemsTable.read(Dataset(info.root).items, info.items, (*COLUMNS, RECENT_POPULARITY), OPTIONAL)
    systems: dict[str, System] = {WALS: Factors(Model(model_dir), info, read[model_dir].neighbourhood)}
    against = f"WALS of {against_dir}" if against_dir else None
    if against_dir and against:
        systems[against] = Factors(Model(against_dir), info, read[against_dir].neighbourhood)
    systems |= baselines.baselines(info, items, settings.baselines, settings.neighbours)
    run = _Run(held_out, systems, against, items, settings.model_copy(update={"k": tuple(ks)}))
    for block in held_out.blocks():
        run.take(block)
        progress(run.done, held_out.users)
    evaluation = run.finish()
    evaluation.about = {
        "model": {"root": model_dir, "digest": read[model_dir].digest()}
        | read[model_dir].neighbourhood.model_dump(include={"gamma", "few_items"}),
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
        items: ItemsTable,
        settings: EvaluationSettings,
    ):
        self._held_out, self._systems, self._against, self._settings = held_out, systems, against, settings
        information = metrics.information(items.visitors, held_out.info.users)
        self._sums = {name: Sums(settings.k, information, held_out.users) for name in systems}
        self._segments = Segments.of(items)
        size, model = len(self._segments.names), cast(Factors, systems[WALS])
        self._directions = Directions.of(model.items)
        self._diversity = Diversity(model, settings, lambda: Sums(settings.k, information, held_out.users))
        self._parts = {name: Sums(settings.k[-1:], information, held_out.users, size) for name in systems}
        self._ks, self._buckets = self._sums[WALS].ks, len(self._sums[WALS].counts)
        self._overlap = np.zeros((self._buckets, len(self._ks)))
        self.done, self._pairs = 0, 0

    def take(self, block: Block) -> None:
        """Add the users of one file."""
        for system in self._systems.values():
            system.prepare(block.keys)
        for piece in block.pieces(max(int(self._ks[-1]), self._diversity.width)):
            keys, seed = piece.keys, self._settings.seed
            users = Users.of(keys, piece.seen.lengths, self.done, self._held_out.users, seed)
            lists = {name: system.top(keys, piece.seen, int(self._ks[-1])) for name, system in self._systems.items()}
            segments = list(self._segments.members(piece.seen, piece.truth))
            for name, top in lists.items():
                self._sums[name].add(top, piece.truth, users)
                self._sums[name].add_similarity(top, self._directions, users)
                for positions, groups, truth in segments:
                    self._parts[name].add(top[positions], truth, users.take(positions, groups))
            self._diversity.add(piece, users, self._directions)
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
        buckets = sums[WALS].counts.sum(axis=1)
        shares = self._overlap.T if self._against else ()
        overlap = {f"overlap@{k}": intervals.mean(column, buckets) for k, column in zip(self._ks, shares, strict=False)}
        return Evaluation(
            self.done,
            self._pairs,
            {name: intervals.of(own) for name, own in sums.items()},
            {name: intervals.differences(sums[WALS], own) for name, own in sums.items() if name != WALS},
            ByGroup.of(sums, list(ACTIVITY), intervals),
            ByGroup.of(self._parts, self._segments.names, intervals),
            overlap,
            self._against,
            coverage_by_band={
                name: self._segments.coverage_by_band(own.exposure.sum(axis=(0, 1))) for name, own in sums.items()
            },
            diversity=self._diversity.cells(intervals),
        )
