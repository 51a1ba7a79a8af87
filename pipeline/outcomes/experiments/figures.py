"""The figures of each variant of an experiment, and of another version by what was shown at random."""

from __future__ import annotations

import math

import numpy as np

from artifacts.manifests.outcome import Difference, Estimate, ExperimentOutcome, OffPolicy, VariantOutcome
from pipeline.outcomes.live.runs import Run
from pipeline.outcomes.measures import compared, variants
from pipeline.outcomes.measures.tally import BUCKETS, Tally
from ranking.experiments import off_policy, statistics
from ranking.measures.bootstrap import Bootstrap

# Metrics of a variant: the figure of the sums, the column that is divided, and by which; the units are its visitors.
METRICS = {
    "clicks per exposure": (variants.SHOWN, variants.CLICKS, variants.EXPOSURES),
    "clicks per visitor": (variants.SHOWN, variants.CLICKS, variants.EXPOSED),
    "active visitors": (variants.CAME, variants.ACTIVE, variants.LISTS),
    "new items per visitor": (variants.CAME, variants.ITEMS, variants.LISTS),
}
# Groups of visitors whose split is checked.
_GROUPS = {
    "with a list": (variants.CAME, variants.VISITORS),
    "who came": (variants.CAME, variants.ACTIVE_VISITORS),
    "exposed": (variants.SHOWN, variants.EXPOSED),
}
_PRIOR = 10.0  # exposures at the rank's CTR that a cell's CTR begins with


def of_experiments(
    tally: Tally, runs: tuple[Run, ...], draws: Bootstrap, confidence: float
) -> dict[str, ExperimentOutcome]:
    """Return the outcome of each experiment of the runs, by its name."""
    names = dict.fromkeys(run.experiment.name for run in runs if run.experiment)
    return {name: _Experiment(name, tally, runs, draws, confidence).outcome() for name in names}


class _Experiment:
    def __init__(self, name: str, tally: Tally, runs: tuple[Run, ...], draws: Bootstrap, confidence: float):
        self._name, self._tally, self._draws, self._confidence = name, tally, draws, confidence
        self._records = [run.experiment for run in runs if run.experiment and run.experiment.name == name]
        self._planned = self._records[-1].planned_visitors
        self._shares = _shares_in_all(
            [{v: one.share for v, one in record.variants.items()} for record in self._records]
        )

    def outcome(self) -> ExperimentOutcome:
        """Return the figures; the first variant is the control."""
        control, *others = self._shares
        found = {name: self._variant(name) for name in self._shares}
        for name in others:
            found[name].differences = {
                metric: difference
                for metric in METRICS
                if (difference := self._difference(metric, control, name)) is not None
            }
        counts = {
            group: [self._total(figure, name, column) for name in self._shares]
            for group, (figure, column) in _GROUPS.items()
        }
        return ExperimentOutcome(
            control=control,
            planned_visitors=self._planned,
            changed=self._tally.counts[f"{variants.EXPERIMENT}.{self._name}.skipped.variant_changed"],
            shares_changed=len({tuple(v.share for v in record.variants.values()) for record in self._records}) > 1,
            mismatch={
                group: statistics.mismatch(each, list(self._shares.values()))
                for group, each in counts.items()
                if sum(each)
            },
            variants=found,
        )

    def _sums(self, figure: str, variant: str) -> np.ndarray | None:
        return self._tally.sums.get((variants.EXPERIMENT, self._name, figure, variant))

    def _total(self, figure: str, variant: str, column: int) -> float:
        sums = self._sums(figure, variant)
        return 0.0 if sums is None else float(sums[:, column].sum())

    def _variant(self, name: str) -> VariantOutcome:
        visitors, active = (
            round(self._total(variants.CAME, name, column)) for column in (variants.VISITORS, variants.ACTIVE_VISITORS)
        )
        metrics = {}
        for metric in METRICS:
            figure, above, below = METRICS[metric]
            sums = self._sums(figure, name)
            if sums is not None and sums[:, below].any():
                with np.errstate(invalid="ignore", divide="ignore"):  # a draw may have nobody of a small variant
                    cell = self._draws.mean(sums[:, above], sums[:, below])
                metrics[metric] = Estimate(value=cell.value, low=cell.low, high=cell.high)
        return VariantOutcome(
            share=self._shares[name],
            visitors=visitors,
            active=active,
            exposed=round(self._total(variants.SHOWN, name, variants.EXPOSED)),
            metrics=metrics,
        )

    def _difference(self, metric: str, control: str, variant: str) -> Difference | None:
        figure = METRICS[metric][0]
        pair = [self._ratio(metric, name) for name in (variant, control)]
        if pair[0] is None or pair[1] is None:
            return None
        found = statistics.difference(pair[0], pair[1])
        low, high = found.interval(self._confidence)
        column = variants.EXPOSED if figure == variants.SHOWN else variants.VISITORS
        visitors = sum(self._total(figure, name, column) for name in (control, variant))
        error = math.sqrt(found.variance)
        width = statistics.always_valid(error, visitors, self._planned, self._confidence)
        return Difference(
            value=found.value,
            low=low,
            high=high,
            always_low=found.value - width,
            always_high=found.value + width,
            visitors=round(visitors),
        )

    def _ratio(self, metric: str, variant: str) -> statistics.Ratio | None:
        figure, above, below = METRICS[metric]
        sums = self._sums(figure, variant)
        return None if sums is None else statistics.ratio(sums[:, above], sums[:, below])


def _shares_in_all(splits: list[dict[str, float]]) -> dict[str, float]:
    """Return the share of visitors who have a variant in every split, of those who have one in all; in order."""
    names = list(dict.fromkeys(name for split in splits for name in split))
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0)
    for split in splits:
        ends = np.cumsum(list(split.values()))
        bounds = dict(zip(split, zip([0.0, *ends[:-1]], [*ends[:-1], 1.0], strict=True), strict=True))
        for name in names:
            start, end = bounds.get(name, (0.0, 0.0))
            low[name], high[name] = max(low[name], start), min(high[name], end)
    sizes = {name: max(high[name] - low[name], 0.0) for name in names}
    whole = sum(sizes.values()) or 1.0
    return {name: size / whole for name, size in sizes.items()}


def of_compared(tally: Tally, version: str, draws: Bootstrap) -> OffPolicy | None:
    """Return the estimates of the version that exposures were compared with; None without rounds."""
    whole = tally.sums.get((compared.COMPARED_KEY, compared.WHOLE, compared.WHOLE))
    if whole is None:
        return None
    logged, expected = (
        {one.name: one.sums for one in tally.groups(compared.COMPARED_KEY, key)}
        for key in (compared.LOGGED, compared.EXPECTED)
    )
    robust = whole[:, compared.REWARDS].copy()
    predicted = _predicted(logged, set(logged) | set(expected))
    for name, rewards in predicted.items():
        if name in expected:
            robust += expected[name][:, 0] * rewards
        if name in logged:
            robust -= logged[name][:, compared.CELL_WEIGHTS] * rewards
    sums = off_policy.Sums(whole[:, compared.ROUNDS], whole[:, compared.WEIGHTS], whole[:, compared.REWARDS], robust)
    value = off_policy.estimate(off_policy.Sums(*(column.sum() for column in sums)))
    drawn = off_policy.estimate(off_policy.Sums(*(draws.draws @ column for column in sums)))
    cells = {}
    for name, point, of_draws in zip(value._fields, value, drawn, strict=True):
        known = np.isfinite(point)
        cell = draws.cell(float(point), np.where(np.isfinite(of_draws), of_draws, np.nan)) if known else None
        cells[name] = Estimate(value=cell and cell.value, low=cell and cell.low, high=cell and cell.high)
    clicks = sum((sums[:, compared.CELL_CLICKS] for sums in logged.values()), np.zeros(BUCKETS))
    shown = draws.mean(clicks, whole[:, compared.ROUNDS])
    return OffPolicy(
        version=version,
        rounds=round(whole[:, compared.ROUNDS].sum()),
        shown=Estimate(value=shown.value, low=shown.low, high=shown.high),
        **cells,
    )


def _predicted(logged: dict[str, np.ndarray], cells: set[str]) -> dict[str, np.ndarray]:
    """Return the predicted reward of each cell for each bucket: the CTR of the cell in the other half of the buckets.

    A cell's CTR begins with `_PRIOR` exposures at its rank's, a rank's with as many at the CTR of all.
    """
    halves = [np.arange(BUCKETS) % 2 == half for half in (0, 1)]
    found = {name: np.zeros(BUCKETS) for name in cells}
    for own, other in (halves, halves[::-1]):
        sums = {name: table[other][:, : compared.CELL_CLICKS + 1].sum(0) for name, table in logged.items()}
        nothing = np.zeros(2)
        whole = sum(sums.values(), nothing)
        rate = whole[1] / whole[0] if whole[0] else 0.0
        by_rank: dict[str, np.ndarray] = {}
        for name, each in sums.items():
            rank = name.partition("\t")[0]
            by_rank[rank] = by_rank.get(rank, nothing) + each
        for name in cells:
            of_rank = by_rank.get(name.partition("\t")[0], nothing)
            of_rank = (of_rank[1] + _PRIOR * rate) / (of_rank[0] + _PRIOR)
            of_cell = sums.get(name, nothing)
            found[name][own] = (of_cell[1] + _PRIOR * of_rank) / (of_cell[0] + _PRIOR)
    return found
