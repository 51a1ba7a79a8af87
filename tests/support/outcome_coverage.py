"""Simulated days whose truth is known, measured without files and Beam: how often intervals contain the truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.manifests.outcome import Estimate, VersionOutcome
from artifacts.paths import Dataset
from configs.settings import EvaluationSettings, OutcomeSettings, RatingSettings, SourceSettings
from pipeline.demo.lists import events as ga4_events
from pipeline.demo.lists import sessions as ga360_sessions
from pipeline.demo.lists.deeds import List, Site
from pipeline.demo.lists.habits import Habits, draw
from pipeline.demo.sample.rows import Row
from pipeline.outcomes import figures
from pipeline.outcomes.live.items import Groups, Items
from pipeline.outcomes.live.lists import PREDICTED
from pipeline.outcomes.live.runs import Run
from pipeline.outcomes.measures.shard import Live, Tables
from pipeline.outcomes.measures.tally import Tally
from pipeline.outcomes.transforms import measure
from pipeline.readers.records import RawBatch
from pipeline.sources.items.pages import PageRules
from pipeline.sources.lists import ga4, ga360
from pipeline.sources.lists.rows import Asked
from pipeline.sources.select import source_of
from pipeline.sources.source import Source

DAY_S, DAYS, START_S = 86_400, 4, 1_704_067_200
NAME, VERSION = "recommendations", "v1"
HABITS = Habits(attraction={"factors": 0.2, "projection": 0.14, "popularity": 0.08}, buys=0.25, buys_late=0.0)
LENGTHS = {"factors": 5, "projection": 4, "popularity": 3}  # of the lists: rule and rank go together
K = max(LENGTHS.values())
_KINDS = {"ga4": (ga4_events, ga4), "ga360": (ga360_sessions, ga360)}


RUN = Run(
    version=VERSION,
    root="made",
    dataset=Dataset("made"),
    files=(),
    start_ms=START_S * 1000,
    end_ms=(START_S + 7 * DAY_S) * 1000,
    length=K,
    include_seen=False,
    users=450,
    items=50,
    user_shards=1,
    suffix="",
    bytes=0,
)


class _Known(Items):
    """Items c0 ... c49, all of one category and age."""

    def __init__(self) -> None:
        self.ids = pa.array([b"c%d" % number for number in range(50)], pa.binary())

    popularity = np.arange(50, 0, -1, np.float32)
    by_popularity = np.arange(50)
    categories = Groups(["all"], np.zeros(51, np.int64))
    ages = Groups(["older"], np.zeros(51, np.int64))


class Figure(NamedTuple):
    """A figure with its interval, and the truth."""

    estimate: Estimate
    truth: float

    @property
    def covers(self) -> bool:
        return bool(self.estimate.low <= self.truth <= self.estimate.high)


def trial(seed: int, visitors: int = 450, resamples: int = 500, kind: str = "ga4") -> dict[str, Figure]:
    """Simulate some days with a seed and measure them in an export of a kind; return the figures by name."""
    rng = np.random.default_rng([seed, 1])
    rules = list(LENGTHS)
    lists = []
    for number in range(visitors):
        rule = rules[number % 3]
        items = rng.permutation(40)[: LENGTHS[rule]]
        lists.append(List(f"v{number}", rule, [f"c{item}" for item in items]))
    outcome = _measured(lists, seed, resamples, kind)
    return _figures(outcome)


def _measured(lists: list[List], seed: int, resamples: int, kind: str) -> VersionOutcome:
    layout, _ = _KINDS[kind]
    draws = draw(HABITS, [one.rule for one in lists], K, DAYS, np.random.default_rng([seed, 2]))
    site = Site(NAME, catalogue=[f"new{number}" for number in range(500)], new_items=3)
    tally = tally_of_events(lists, [row for _, row in layout.rows(lists, draws, START_S, site)], kind)
    settings = EvaluationSettings(k=(1, K), resamples=resamples, seed=seed)
    return figures.of_tally(tally, (RUN,), settings, by_exposure=False).versions[VERSION]


def tally_of_events(
    lists: list[List], made: list[Row], kind: str, run: Run = RUN, variants: Sequence[str | None] = ()
) -> Tally:
    """Return the sums of the events of visitors with these lists."""
    layout, module = _KINDS[kind]
    batch = pa.RecordBatch.from_pylist(made, layout.SCHEMA)
    raw = RawBatch(batch, np.arange(1, len(made) + 1))
    options = OutcomeSettings(list_name=NAME)
    source = source_of(SourceSettings(preset=f"{kind}_shop"), RatingSettings())
    views, _ = source.interactions(pa.Table.from_batches([source.extract(raw, "made").table]))
    asked = Asked(options, RUN.start_ms, RUN.end_ms)
    rules = PageRules(source.settings.page_rules)
    events = pa.Table.from_batches([module.rows(raw, source.settings, rules, asked).table])
    return tally_of(lists, source, options, Tables.of(views, events), run, variants)


def tally_of(
    lists: list[List],
    source: Source,
    options: OutcomeSettings,
    tables: Tables,
    run: Run = RUN,
    variants: Sequence[str | None] = (),
) -> Tally:
    """Return the sums of visitors with these lists; tables: all but the lists; variants: of each list, if any."""
    entries = [(one.visitor, one.rule, item, rank) for one in lists for rank, item in enumerate(one.items, 1)]
    visitors, names, items, ranks = zip(*entries, strict=True)
    columns = [
        pa.array(visitors, pa.string()).cast(pa.binary()).dictionary_encode(),
        pa.array(np.zeros(len(entries), np.int16)),
        pa.array(names, pa.string()),
        pa.array(items, pa.string()).cast(pa.binary()).dictionary_encode(),
        pa.array(ranks, pa.int32()),
        pa.array([variant for one, variant in zip(lists, variants, strict=True) for _ in one.items], pa.string())
        if variants
        else pa.nulls(len(entries), pa.string()),
        pa.nulls(len(entries), pa.float64()),
    ]
    tables = Tables(tables.views, tables.events, pa.table(columns, schema=PREDICTED), tables.had)
    tally = Tally()
    measure(tables, Live((run,), (_Known(),), source, options, (1, K)), tally)
    return tally


def _figures(outcome: VersionOutcome) -> dict[str, Figure]:
    """Return each figure with its truth, from the habits and the lengths of the lists, of which each is a third."""
    tracked, sizes = outcome.tracked, np.array(list(LENGTHS.values()))
    attraction, examination = np.array([HABITS.attraction[rule] for rule in LENGTHS]), np.array(HABITS.examination[:K])
    has = np.arange(K) < sizes[:, None]  # [rules, ranks]
    shares = has.sum(0) / has.sum()
    expected = attraction[:, None] * examination * has
    found = {"CTR": Figure(tracked.whole.ctr, expected.sum() / has.sum())}
    for rank in range(K):
        group = tracked.by_rank[f"{rank + 1:02d}"]
        found[f"CTR at rank {rank + 1}"] = Figure(group.ctr, expected[:, rank].sum() / has[:, rank].sum())
        if rank:
            found[f"examination of rank {rank + 1}"] = Figure(group.examination, examination[rank])
    for place, rule in enumerate(LENGTHS):
        group = tracked.by_rule[rule]
        found[f"CTR of {rule}"] = Figure(group.ctr, expected[place].sum() / sizes[place])
        found[f"corrected CTR of {rule}"] = Figure(group.corrected, HABITS.corrected(rule, shares))
        found[f"purchases per click of {rule}"] = Figure(tracked.due["purchases"][rule].per_touch, HABITS.buys)
    for k in (1, K):
        found[f"hit_rate@{k}"] = Figure(outcome.next_days.whole.metrics[f"hit_rate@{k}"].live, _hit_rate(k))
    return found


@lru_cache
def _hit_rate(k: int, visitors: int = 150_000) -> float:
    """Return the share of active visitors with a hit, of many more visitors than a trial has."""
    rules = list(LENGTHS) * (visitors // 3)
    draws = draw(HABITS, rules, K, DAYS, np.random.default_rng(0))
    sizes = np.array([LENGTHS[rule] for rule in rules])
    clicks = draws.clicks & (np.arange(K) < sizes[:, None, None])
    finds = ~np.isnan(draws.finds)
    place = np.nan_to_num(draws.finds) * sizes[:, None]
    hits = clicks[:, :, :k].any((1, 2)) | (finds & draws.listed & (place < k)).any(1)
    active = clicks.any((1, 2)) | finds.any(1)
    return float(hits.sum() / active.sum())
