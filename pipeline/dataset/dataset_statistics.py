"""What the interactions of train look like: how many a day, and a histogram of their ratings -> statistics.json."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts.names import ITEM_ID, RATING, TIME_MS, USER_ID
from configs.settings import RatingSettings
from pipeline.interactions.blocks import values_of

_DAY, _RATING = "statistics.day.", "statistics.rating."
_DAY_MS = 86_400_000


def edges_of(rating: RatingSettings) -> np.ndarray:
    """Edges of the histogram, float64 [bins + 1]: by kind and settings alone, so that one night compares with another.

    median: even up to the cap. log: even. linear and ordinal: four bins from each number to its double.
    """
    if rating.kind == "median":
        return np.linspace(0, rating.cap, 31)
    if rating.kind == "log":
        return np.linspace(0, 24, 49)
    if rating.kind == "binary":
        return np.array([0.5, 1.5])
    return np.concatenate([[0.0], np.exp2(np.arange(-40, 161) / 4)])


def count(block: pa.RecordBatch, rating: RatingSettings, has_times: bool) -> Counter[str]:
    """Interactions of an encoded block by day (UTC, of a pair's last view) and by bin; what lies outside is in the
    first or the last bin."""
    users, items, ratings, times = (values_of(block, name) for name in (USER_ID, ITEM_ID, RATING, TIME_MS))
    kept = (users >= 0) & (items >= 0)
    edges = edges_of(rating)
    bins = np.clip(np.searchsorted(edges, ratings[kept], side="right") - 1, 0, len(edges) - 2)
    found = Counter({f"{_RATING}{place}": int(number) for place, number in enumerate(np.bincount(bins)) if number})
    if has_times:
        days, numbers = np.unique(times[kept] // _DAY_MS, return_counts=True)
        found.update({f"{_DAY}{day}": number for day, number in zip(days.tolist(), numbers.tolist(), strict=True)})
    return found


def describe(counts: Mapping[str, int], rating: RatingSettings) -> bytes:
    """The JSON: `interactions_by_day`, empty where there are no times, and `ratings` with edges and counts."""
    days = {int(name.removeprefix(_DAY)): number for name, number in counts.items() if name.startswith(_DAY)}
    bins = {int(name.removeprefix(_RATING)): number for name, number in counts.items() if name.startswith(_RATING)}
    first, last = (min(bins), max(bins)) if bins else (0, 0)
    edges = edges_of(rating)[first : last + 2] if rating.kind in ("linear", "ordinal") else edges_of(rating)
    first = first if rating.kind in ("linear", "ordinal") else 0
    content: dict[str, Any] = {
        "interactions_by_day": {_date(day): days[day] for day in sorted(days)},
        "ratings": {
            "kind": rating.kind,
            "edges": [float(f"{edge:.6g}") for edge in edges],
            "counts": [bins.get(first + place, 0) for place in range(len(edges) - 1)],
        },
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _date(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(day)).isoformat()
