"""The sums of all visitors -> figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc

from artifacts.manifests.outcome import (
    Compared,
    Due,
    EntryGroup,
    Estimate,
    ItemLift,
    NextDays,
    Outcome,
    RankGroup,
    ShownGroup,
    Tracked,
    VersionOutcome,
    Visitor,
    VisitorGroup,
)
from configs.settings import EvaluationSettings
from pipeline.outcomes.experiments import figures as experiments
from pipeline.outcomes.live.items import AGES
from pipeline.outcomes.live.runs import OtherLists, Run
from pipeline.outcomes.measures import items, positions
from pipeline.outcomes.measures.items import UNKNOWN_RANK
from pipeline.outcomes.measures.next_days import ACTIVITY, ALL, ENTRIES, NO_ITEMS, VISITORS
from pipeline.outcomes.measures.tally import BUCKETS, Group, Tally
from pipeline.outcomes.measures.tracked import CELL, DAY, DUE, SHOWN
from ranking.measures.bootstrap import Bootstrap

Sums = np.ndarray  # float64 [BUCKETS]
ALL_VERSIONS = "all versions"
_ORDER = {name: place for place, name in enumerate([NO_ITEMS, *ACTIVITY, *AGES])}  # of groups that are not by name


def of_tally(
    tally: Tally,
    runs: tuple[Run, ...],
    settings: EvaluationSettings,
    by_exposure: bool,
    compared: OtherLists | None = None,
) -> Outcome:
    """Return the figures of each version and variant; by_exposure: what follows is per exposure, not per click.

    compared: the lists that exposures were compared with.
    """
    figures = _Figures(tally, settings, by_exposure)
    of_variants = experiments.of_experiments(tally, runs, figures.draws, settings.confidence)
    off_policy = experiments.of_compared(tally, compared.version, figures.draws) if compared else None
    lengths = {run.version: run.length for run in runs}
    versions = {version: figures.of_version(version, length) for version, length in lengths.items()}
    together = None
    if lengths and len(set(lengths.values())) == 1:
        _add_together(tally, list(lengths))
        together = figures.of_version(ALL_VERSIONS, next(iter(lengths.values())))
    return Outcome(
        confidence=settings.confidence,
        versions=versions,
        together=together,
        experiments=of_variants,
        compared=off_policy,
    )


def _add_together(tally: Tally, versions: list[str]) -> None:
    """Add the sums of all versions, as of one more."""
    for key, sums in [(key, sums) for key, sums in tally.sums.items() if key[0] in versions]:
        whole = (ALL_VERSIONS, *key[1:])
        tally.sums[whole] = tally.sums[whole] + sums if whole in tally.sums else sums
    for name in ("visitors", "active", "pairs"):
        tally.counts[f"{ALL_VERSIONS}.{name}"] = sum(tally.counts[f"{version}.{name}"] for version in versions)


class _Figures:
    """One set of draws for all figures, so that differences are paired."""

    def __init__(self, tally: Tally, settings: EvaluationSettings, by_exposure: bool):
        self._tally, self._ks, self._by_exposure = tally, sorted(set(settings.k)), by_exposure
        self._confidence = settings.confidence
        self.draws = Bootstrap(BUCKETS, settings.resamples, settings.confidence, settings.seed)

    def of_version(self, version: str, length: int) -> VersionOutcome:
        """Return the outcome of one version, whose lists have this length."""
        ks = [k for k in self._ks if k <= length] or [length]
        counts = self._tally.counts
        groups = {kind: self._groups(version, VISITORS, kind) for kind in (ALL, "rule", "activity")}
        visitors = {kind: {one.name: self._visitors(one, ks) for one in found} for kind, found in groups.items()}
        of_entries = {kind: self._groups(version, ENTRIES, kind) for kind in ("rank", "category", "age")}
        entries = {kind: {one.name: self._entries(one) for one in found} for kind, found in of_entries.items()}
        next_days = NextDays(
            visitors=counts[f"{version}.visitors"],
            active=counts[f"{version}.active"],
            pairs=counts[f"{version}.pairs"],
            whole=visitors[ALL].get(ALL),
            by_rule=visitors["rule"],
            by_activity=visitors["activity"],
            by_rank=entries["rank"],
            by_category=entries["category"],
            by_age=entries["age"],
        )
        hits, misses = (
            [Visitor.model_validate_json(one.shown) for one in self._tally.examples.get((version, hit), ())]
            for hit in (True, False)
        )
        return VersionOutcome(next_days=next_days, tracked=self._tracked(version), hits=hits, misses=misses)

    def _groups(self, *key: str) -> list[Group]:
        return sorted(self._tally.groups(*key), key=lambda group: _ORDER.get(group.name, len(_ORDER)))

    def _visitors(self, group: Group, ks: list[int]) -> VisitorGroup:
        visitors, half = group.sums[:, 0], 2 * len(ks)
        names = [f"{metric}@{k}" for metric in ("hit_rate", "recall") for k in ks]
        metrics = {}
        for column, name in enumerate(names, 1):
            live, popular = group.sums[:, column], group.sums[:, column + half]
            metrics[name] = Compared(
                live=self._ratio(live, visitors),
                popularity=self._ratio(popular, visitors),
                difference=self._ratio(live - popular, visitors),
            )
        return VisitorGroup(visitors=round(visitors.sum()), metrics=metrics)

    def _entries(self, group: Group) -> EntryGroup:
        entries, hits, others, other_hits = group.sums.T
        (value, draws), (other, other_draws) = self._drawn(hits, entries), self._drawn(other_hits, others)
        return EntryGroup(
            entries=round(entries.sum()),
            hits=round(hits.sum()),
            share=Compared(
                live=self._estimate(value, draws),
                popularity=self._estimate(other, other_draws),
                difference=self._estimate(value - other, draws - other_draws),
            ),
        )

    def _tracked(self, version: str) -> Tracked | None:
        cells = list(self._tally.groups(version, SHOWN, CELL))
        if not cells:
            return None
        rules, ranks = zip(*(one.name.split("\t") for one in cells), strict=True)
        of_rule, of_rank = sorted(set(rules)), sorted(set(ranks))
        table = np.zeros((len(of_rule), len(of_rank), BUCKETS, 2))
        for cell, rule, rank in zip(cells, rules, ranks, strict=True):
            table[of_rule.index(rule), of_rank.index(rank)] = cell.sums
        corrected, examination = self._by_position(table, of_rank)
        by_rank = {}
        for place, name in enumerate(of_rank):
            shown = self._shown(table[:, place].sum(0))
            by_rank[name] = RankGroup(**shown.model_dump(), examination=examination.get(name))
        by_rule = {}
        for place, name in enumerate(of_rule):
            by_rule[name] = self._shown(table[place].sum(0), corrected[place])
        of_items = {
            kind: {one.name: self._shown(one.sums) for one in self._groups(version, SHOWN, kind)}
            for kind in (DAY, "category", "age")
        }
        best, worst = self._items(version, by_rank)
        return Tracked(
            whole=self._shown(table.sum((0, 1))),
            by_day=of_items[DAY],
            by_rank=by_rank,
            by_rule=by_rule,
            by_category=of_items["category"],
            by_age=of_items["age"],
            due=self._due(version, dict(zip(of_rule, table.sum(1), strict=True))),
            best=best,
            worst=worst,
        )

    def _items(self, version: str, by_rank: Mapping[str, RankGroup]) -> tuple[list[ItemLift], list[ItemLift]]:
        of_version = [batch.filter(pc.equal(batch[items.VERSION], version)) for batch in self._tally.items]
        rates = {name: group.ctr.value or 0.0 for name, group in by_rank.items()}
        return items.lifts(of_version, rates, self._confidence)

    def _by_position(self, table: np.ndarray, ranks: list[str]) -> tuple[list[Estimate | None], dict[str, Estimate]]:
        """Return the corrected CTR of each rule, and the examination of each known rank.

        table: float64 [rules, ranks, BUCKETS, 2], exposures and clicks.
        """
        known = [place for place, name in enumerate(ranks) if name != UNKNOWN_RANK]
        if not known:
            return [None] * len(table), {}
        table = table[:, known]
        whole, drawn = table.sum(2), np.einsum("db,rkbc->drkc", self.draws.draws, table)
        value, draws = (positions.fit(sums[..., 0], sums[..., 1]) for sums in (whole, drawn))
        shares = whole[..., 0].sum(0) / whole[..., 0].sum()
        corrected, of_draws = value.corrected(shares), draws.corrected(shares)
        by_rule: list[Estimate | None] = [
            self._estimate(float(corrected[rule]), of_draws[:, rule]) for rule in range(len(table))
        ]
        by_rank = {
            ranks[rank]: self._estimate(float(value.examination[place]), draws.examination[:, place])
            for place, rank in enumerate(known)
        }
        return by_rule, by_rank

    def _shown(self, sums: np.ndarray, corrected: Estimate | None = None) -> ShownGroup:
        exposures, clicks = sums.T
        return ShownGroup(
            exposures=round(exposures.sum()),
            clicks=round(clicks.sum()),
            ctr=self._ratio(clicks, exposures),
            corrected=corrected,
        )

    def _due(self, version: str, shown: dict[str, np.ndarray]) -> dict[str, dict[str, Due]]:
        """Return what is attributed, by kind and rule; shown: exposures and clicks of each rule."""
        kinds = sorted({key[2] for key in self._tally.sums if key[:2] == (version, DUE)})
        touches = {rule: sums[:, 0 if self._by_exposure else 1] for rule, sums in shown.items()}
        return {
            kind: {
                one.name: Due(
                    number=round(one.sums[:, 0].sum()),
                    value=float(one.sums[:, 1].sum()),
                    per_touch=self._ratio(one.sums[:, 0], touches[one.name]),
                )
                for one in self._tally.groups(version, DUE, kind)
            }
            for kind in kinds
        }

    def _ratio(self, totals: Sums, counts: Sums) -> Estimate:
        return self._estimate(*self._drawn(totals, counts))

    def _drawn(self, totals: Sums, counts: Sums) -> tuple[float, np.ndarray]:
        """Return a ratio of sums, and that of each draw; NaN where there is nothing to divide by."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(totals.sum() / counts.sum()), (self.draws.draws @ totals) / (self.draws.draws @ counts)

    def _estimate(self, value: float, draws: np.ndarray) -> Estimate:
        if not np.isfinite(value):
            return Estimate(value=None, low=None, high=None)
        cell = self.draws.cell(value, np.where(np.isfinite(draws), draws, np.nan))
        return Estimate(value=cell.value, low=cell.low, high=cell.high)
