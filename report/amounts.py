"""Amounts of interactions, which are dwells, strengths of signals or ratings of a table, next to their ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from artifacts.manifests import DatasetManifest
from configs.settings import RatingSettings
from report.charts import Axis, Curve, histogram
from trainer.tuning import rating_kinds

_POINTS = 160  # of the curve
_DECADES = 5  # of the axis, at most
_AMOUNTS = RatingSettings(kind="linear", scale=1)  # ratings that are the amounts themselves

Histogram = Mapping[str, Sequence[float]]  # edges and counts, as in statistics.json


def kind_of(dataset: DatasetManifest) -> tuple[str, str]:
    """Return what an amount of a dataset is, and its unit."""
    source = dataset.settings.source
    if source.counts_dwell:
        return "Dwell", "s"
    return ("Rating in the data", "") if source.kind == "table" else ("Strength of the signals", "")


def chart(found: Histogram, dataset: DatasetManifest) -> str:
    """Return a histogram of the amounts on a logarithmic axis, with the rating of each amount as a curve over it."""
    name, unit = kind_of(dataset)
    scale = 1000.0 if unit == "s" else 1.0
    edges = np.maximum(np.array(found["edges"]) / scale, 1e-9)
    highest = max(float(edges[-1]), 1e-6)
    lowest = max(float(edges[0]), highest * 10.0**-_DECADES)
    x = Axis(lowest, highest, f"{name.lower()}, {unit}" if unit else name.lower(), log=True)
    points = np.geomspace(lowest, highest, _POINTS)
    rating = dataset.settings.rating
    wanted = _AMOUNTS if rating.kind == "ordinal" else rating  # an answer's amount is its rating
    rated = rating_kinds.convert(points * scale, _AMOUNTS, wanted, dataset.median)
    curve = Curve("rating", points.tolist(), rated.tolist())
    return histogram(edges.tolist(), found["counts"], name, x, "interactions", curve)


def share_at_cap(found: Histogram, dataset: DatasetManifest) -> float | None:
    """Return the share of interactions whose rating is at the cap, from the histogram; None if ratings have no cap."""
    rating = dataset.settings.rating
    edges, counts = np.array(found["edges"]), np.array(found["counts"], float)
    if rating.kind != "median" or not counts.sum():
        return None
    enough = rating.cap * (dataset.median or 0.0) / rating.factor
    above = np.clip((edges[1:] - enough) / np.diff(edges), 0.0, 1.0)
    return float((counts * above).sum() / counts.sum())


def of_rating(rating: float, dataset: DatasetManifest) -> str:
    """Return the dwell or strength that a rating comes from, as text, or the rating if that cannot be told."""
    rule, (_, unit) = dataset.settings.rating, kind_of(dataset)
    if rule.half_life_days:
        return f"{rating:.2f}"
    if rule.kind == "median" and dataset.median:
        amount = rating / rule.factor * dataset.median
    elif _AMOUNTS.kind in rating_kinds.possible(rule):
        amount = float(rating_kinds.convert(np.array([rating]), rule, _AMOUNTS, dataset.median)[0])
    else:
        return f"{rating:.2f}"
    seconds = f"{amount / 1000:,.0f} s" if amount >= 10_000 else f"{amount / 1000:.1f} s"
    shown = seconds if unit else f"{amount:.3g}"
    return f"\u2265 {shown}" if rule.kind == "median" and rating >= rule.cap else shown
