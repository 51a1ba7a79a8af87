"""The best contents for a block of visitors (or of contents), under the options of a job."""

from __future__ import annotations

from typing import cast

import numpy as np

from configs.settings import PredictionSettings
from pipeline.prediction.items import Contents
from ranking import topk


def best(
    contents: Contents, queries: np.ndarray, offsets: np.ndarray, left_out: np.ndarray, options: PredictionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The contents of the greatest scores.

    Args:
        queries: float32 [b, d].
        offsets: int64 [b + 1]; query r does not get the places left_out[offsets[r]:offsets[r + 1]].

    Returns:
        places int64 [b, K], -1 behind the last, and scores float32 [b, K], -inf there.
    """
    bounds, without = contents.rows(offsets, left_out)
    table, k = contents.table, options.top_k
    if contents.categories is None:
        rows, scores = topk.top_k(queries, table, bounds, without, k)
    else:
        most = cast(int, options.max_per_category)  # categories are read for it
        rows, scores = topk.top_k_capped(queries, table, bounds, without, k, contents.categories, most)
    if options.min_score is not None:
        low = scores < np.float32(options.min_score)
        rows[low], scores[low] = -1, -np.inf  # the lists are best first: nothing stands behind it
    return contents.places(rows), scores


def popular(
    contents: Contents, offsets: np.ndarray, left_out: np.ndarray, options: PredictionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The most popular contents for each of b visitors, as `best` gives them; the scores are popularities."""
    order, values = contents.by_popularity
    bounds, without = contents.rows(offsets, left_out)
    caps = contents.categories, options.max_per_category or 0
    rows, scores = topk.first_k(order, values, bounds, without, options.top_k, *caps)
    return contents.places(rows), scores
