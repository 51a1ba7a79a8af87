"""The best items for a block of visitors (or of items), under the options of a job."""

from __future__ import annotations

import numpy as np

from configs.settings import PredictionSettings
from pipeline.prediction.items import Items
from ranking import popularity
from ranking.diversity import capped_top_k
from ranking.heap import Best
from ranking.sparse_rows import SparseRows
from ranking.topk import top_k


def best(items: Items, queries: np.ndarray, left_out: SparseRows, options: PredictionSettings) -> Best:
    """Return the itemIds of the greatest scores with queries float32 [b, d].

    Args:
        left_out: b rows of the itemIds that each query is not given.
    """
    excluded, k = items.in_table(left_out), options.top_k
    if items.cap is None:
        answers = top_k(queries, items.table, excluded, k)
    else:
        answers = capped_top_k(queries, items.table, excluded, k, items.cap)
    if options.min_score is not None:
        low = answers.scores < np.float32(options.min_score)  # lists are best first: only the end is cut off
        answers.indices[low], answers.scores[low] = -1, -np.inf
    return items.item_ids(answers)


def popular(items: Items, left_out: SparseRows, options: PredictionSettings) -> Best:
    """Return the most popular itemIds for each row of `left_out`; the scores are popularities."""
    ordered, values = items.by_popularity
    excluded = items.in_table(left_out)
    return items.item_ids(popularity.first_k(ordered, values, excluded, options.top_k, items.cap))
