"""The best items for a block of visitors (or of items), under the options of a job."""

from __future__ import annotations

from typing import cast

import numpy as np

from configs.settings import PredictionSettings
from pipeline.prediction.items import Items
from ranking import topk


def best(
    items: Items, queries: np.ndarray, offsets: np.ndarray, left_out: np.ndarray, options: PredictionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The items of the greatest scores.

    Args:
        queries: float32 [b, d].
        offsets: int64 [b + 1]; query r does not get the places left_out[offsets[r]:offsets[r + 1]].

    Returns:
        places int64 [b, K], -1 behind the last, and scores float32 [b, K], -inf there.
    """
    bounds, without = items.rows(offsets, left_out)
    table, k = items.table, options.top_k
    if items.categories is None:
        rows, scores = topk.top_k(queries, table, bounds, without, k)
    else:
        most = cast(int, options.max_per_category)  # categories are read for it
        rows, scores = topk.top_k_capped(queries, table, bounds, without, k, items.categories, most)
    if options.min_score is not None:
        low = scores < np.float32(options.min_score)
        rows[low], scores[low] = -1, -np.inf  # the lists are best first: nothing stands behind it
    return items.places(rows), scores


def popular(
    items: Items, offsets: np.ndarray, left_out: np.ndarray, options: PredictionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The most popular items for each of b visitors, as `best` gives them; the scores are popularities."""
    order, values = items.by_popularity
    bounds, without = items.rows(offsets, left_out)
    caps = items.categories, options.max_per_category or 0
    rows, scores = topk.first_k(order, values, bounds, without, options.top_k, *caps)
    return items.places(rows), scores
