"""Statistics of train: interactions per day, histograms of the amounts and the ratings -> statistics.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts.names import DAY_MS, ITEM_ID, RATING, TIME_MS, USER_ID
from configs.settings import RatingSettings
from pipeline.interactions import amounts
from pipeline.interactions.blocks import values_of

_DAY, _RATING = "statistics.day.", "statistics.rating."


def edges_of(rating: RatingSettings) -> np.ndarray:
    """Return the edges of the histogram, float64 [bins + 1]; they depend only on settings, so nights are comparable.

    median: equal bins up to the cap. log: equal bins. linear and ordinal: those of the amounts.
    """
    if rating.kind == "median":
        return np.linspace(0, rating.cap, 31)
    if rating.kind == "log":
        return np.linspace(0, 24, 49)
    if rating.kind == "binary":
        return np.array([0.5, 1.5])
    return amounts.EDGES


def count(block: pa.RecordBatch, rating: RatingSettings, has_times: bool) -> Counter[str]:
    """Count an encoded block's interactions by day (UTC, of a pair's last view) and by bin.

    Ratings outside the edges are in the first or the last bin.
    """
    users, items, ratings, times = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING, TIME_MS))
    used = (users >= 0) & (items >= 0)
    edges = edges_of(rating)
    bins = np.clip(np.searchsorted(edges, ratings[used], side="right") - 1, 0, len(edges) - 2)
    counts = Counter({f"{_RATING}{number}": int(count) for number, count in enumerate(np.bincount(bins)) if count})
    if has_times:
        days, of_day = np.unique(times[used] // DAY_MS, return_counts=True)
        counts.update({f"{_DAY}{day}": count for day, count in zip(days.tolist(), of_day.tolist(), strict=True)})
    return counts


def describe(counts: Mapping[str, int], rating: RatingSettings) -> bytes:
    """Return the JSON: `interactions_by_day`, empty without times; `amounts` and `ratings` with edges and counts.

    The amounts are those of all pairs, also of those that a minimum count left out.
    """
    days = {int(name.removeprefix(_DAY)): number for name, number in counts.items() if name.startswith(_DAY)}
    bins = {int(name.removeprefix(_RATING)): number for name, number in counts.items() if name.startswith(_RATING)}
    first, edges = 0, edges_of(rating)
    if rating.kind in ("linear", "ordinal"):  # many bins: only those of ratings are written
        first, last = (min(bins), max(bins)) if bins else (0, 0)
        edges = edges[first : last + 2]
    content: dict[str, Any] = {
        "interactions_by_day": {str(np.datetime64(day, "D")): days[day] for day in sorted(days)},
        "amounts": amounts.describe(counts),
        "ratings": {
            "kind": rating.kind,
            "edges": [float(f"{edge:.6g}") for edge in edges],
            "counts": [bins.get(first + number, 0) for number in range(len(edges) - 1)],
        },
    }
    return (json.dumps(content, indent=1) + "\n").encode()
