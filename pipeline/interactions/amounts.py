"""A histogram of the amounts of interactions, which are dwells, counts or ratings of a table -> statistics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from artifacts.names import AMOUNT

# Four bins from each number to its double. They depend on nothing, so that the histograms of two nights compare.
EDGES = np.concatenate([[0.0], np.exp2(np.arange(-40, 161) / 4)])
_NAME = "statistics.amount."


def count(pairs: pa.Table) -> Counter[str]:
    """Count interactions, one row per pair, by the bin of their amount; larger ones are in the last bin."""
    bins = np.searchsorted(EDGES, pairs[AMOUNT].to_numpy(), side="right") - 1
    counts = np.bincount(np.clip(bins, 0, len(EDGES) - 2))
    return Counter({f"{_NAME}{number}": int(counts[number]) for number in np.flatnonzero(counts)})


def describe(counts: Mapping[str, int]) -> dict[str, list[float]]:
    """Return the edges and the counts of the bins, from the first one with interactions to the last one."""
    bins = {int(name.removeprefix(_NAME)): number for name, number in counts.items() if name.startswith(_NAME)}
    first, last = (min(bins), max(bins)) if bins else (0, 0)
    return {
        "edges": [float(f"{edge:.6g}") for edge in EDGES[first : last + 2]],
        "counts": [bins.get(number, 0) for number in range(first, last + 1)],
    }
