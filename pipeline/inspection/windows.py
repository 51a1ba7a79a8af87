"""Pairs that the proposed settings make of a sample, by the rules of the pipeline itself."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from artifacts.names import CONTENT_ID, DAY_MS, TIME_MS, VISITOR_ID
from configs.settings import Settings
from pipeline.inspection.sampling.files import Sample
from pipeline.interactions import bots, columns
from pipeline.sources.select import source_of

WINDOWS = (7, 30, 90)  # days
BOT_VIEWS_A_DAY = 500  # more than a person reads


class Window(NamedTuple):
    """The pairs of the last days of a sample, and the share of their visitors that have several items."""

    days: int
    pairs: int
    visitors: int
    items: int
    several: float


class Interest(NamedTuple):
    """The windows, the last of them all days; the account; visitors that look like bots, and their views."""

    windows: list[Window]
    counts: Counter[str]
    bots: int
    bot_views: int


def interest_of(sample: Sample, settings: Settings, days: int) -> Interest:
    """Apply the settings to a sample, which has so many days."""
    source = source_of(settings.source, settings.rating, settings.split)
    parts, counts = [], Counter[str]()
    for path, raw in sample.batches:
        extract = source.extract(raw, path)
        parts.append(columns.to_bytes(extract.table))
        counts.update(extract.counts)
    views, more = source.interactions(columns.from_bytes(iter(parts)))
    counts += more
    bounded = settings.source.model_copy(update={"max_views_a_day": BOT_VIEWS_A_DAY})
    suspects = bots.leave_out(views, bounded).counts if settings.source.has_times else Counter[str]()
    times = views[TIME_MS].to_numpy()
    end = int(times.max(initial=0)) // DAY_MS + 1
    windows = []
    for length in [each for each in WINDOWS if each < days and settings.source.has_times] + [days]:
        inside = times >= (end - length) * DAY_MS if length < days else np.ones(len(times), bool)
        pairs, more = source.combine(views.filter(pa.array(inside)))
        windows.append(_window(length, pairs))
    counts += more
    return Interest(windows, counts, suspects["visitors.skipped.bot"], suspects["views.rejected.bot"])


def _window(days: int, pairs: pa.Table) -> Window:
    visitors, items = (pairs[name].combine_chunks().indices.to_numpy() for name in (VISITOR_ID, CONTENT_ID))
    _, sizes = np.unique(visitors, return_counts=True)
    several = float((sizes > 1).mean()) if len(sizes) else 0.0
    return Window(days, pairs.num_rows, len(sizes), len(np.unique(items)), several)
