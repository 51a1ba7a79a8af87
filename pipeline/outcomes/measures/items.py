"""Exposures and clicks of single items by rank: the items that are clicked more, or less, than their positions are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.stats import chi2

from artifacts.manifests.outcome import Estimate, ItemLift
from artifacts.names import CONTENT_ID

RANKS = 50  # that are told apart
UNKNOWN_RANK = "unknown"
SHARDS = 16  # of the items, added up in parallel
RANK, EXPOSURES, CLICKS, VERSION = "rank", "exposures", "clicks", "version"
ITEMS = pa.schema(
    {VERSION: pa.string(), CONTENT_ID: pa.binary(), RANK: pa.int16(), EXPOSURES: pa.int64(), CLICKS: pa.int64()}
)
_KEPT = 100  # items of a shard and version, those with the most exposures
_NAMED = 8  # best items and worst items of a version


def rank_name(rank: int) -> str:
    """Return the name of the group of a rank, such as `03`."""
    if rank <= 0:
        return UNKNOWN_RANK
    return f"{rank:02d}" if rank <= RANKS else f"{RANKS + 1}+"


def of_version(
    version: str, items: pa.Array, ranks: np.ndarray, clicked: np.ndarray, ids: pa.BinaryArray
) -> pa.RecordBatch:
    """Return the sums of a version's exposures [n] by item, a code among `ids`, and rank: columns of ITEMS."""
    size = int(ranks.max(initial=0)) + 1
    keys, place = np.unique(items * size + ranks, return_inverse=True)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([version] * len(keys), pa.string()),
            ids.take(pa.array(keys // size)),
            pa.array((keys % size).astype(np.int16)),
            pa.array(np.bincount(place, minlength=len(keys))),
            pa.array(np.bincount(place, clicked, len(keys)).astype(np.int64)),
        ],
        schema=ITEMS,
    )


def summed(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return the sums of all batches by version, item and rank, in no order."""
    table = pa.Table.from_batches(batches, ITEMS)
    whole = table.group_by([VERSION, CONTENT_ID, RANK]).aggregate([(EXPOSURES, "sum"), (CLICKS, "sum")])
    names = [VERSION, CONTENT_ID, RANK, f"{EXPOSURES}_sum", f"{CLICKS}_sum"]
    return whole.select(names).rename_columns(ITEMS.names)


def added_up(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the sums of all batches, which have all rows of some items; those of the items with the most exposures."""
    keys, whole = [VERSION, CONTENT_ID], summed(batches)
    of_items = whole.group_by(keys).aggregate([(EXPOSURES, "sum")])
    order = [(VERSION, "ascending"), (f"{EXPOSURES}_sum", "descending"), (CONTENT_ID, "ascending")]
    of_items = of_items.sort_by(order)
    versions = of_items[VERSION].to_numpy(zero_copy_only=False)
    first = np.searchsorted(versions.astype(str), versions.astype(str))
    kept = of_items.filter(pa.array(np.arange(len(versions)) - first < _KEPT)).select(keys)
    sums = whole.join(kept, keys, join_type="inner").select(ITEMS.names).cast(ITEMS)
    yield from sums.sort_by([(name, "ascending") for name in (*keys, RANK)]).combine_chunks().to_batches()


def lifts(
    sums: Sequence[pa.RecordBatch], by_rank: Mapping[str, float], confidence: float
) -> tuple[list[ItemLift], list[ItemLift]]:
    """Return the best and the worst items of a version: clicks, over those that their ranks have on average.

    Args:
        sums: columns of ITEMS, of one version.
        by_rank: the CTR of all items at each rank, by its name.
        confidence: of the intervals, which are those of Poisson counts (Garwood 1936). Items are ordered by the limit
            that is nearer to 1, so that few exposures make neither a best item nor a worst one.
    """
    found: dict[bytes, list[float]] = {}
    for batch in sums:
        for item, rank, exposures, clicks in zip(*(batch[name].to_pylist() for name in ITEMS.names[1:]), strict=True):
            one = found.setdefault(item, [0, 0, 0.0])
            one[0] += exposures
            one[1] += clicks
            one[2] += exposures * by_rank.get(rank_name(rank), 0.0)
    made = [
        _lift(item, exposures, clicks, expected, confidence)
        for item, (exposures, clicks, expected) in found.items()
        if expected > 0
    ]
    best = sorted((one for one in made if one.value > 1), key=lambda one: (-one.low, one.item))
    worst = sorted((one for one in made if one.value < 1), key=lambda one: (one.high, one.item))
    return [one.named() for one in best[:_NAMED]], [one.named() for one in worst[:_NAMED]]


class _Lift(NamedTuple):
    item: bytes
    exposures: int
    clicks: int
    value: float
    low: float
    high: float

    def named(self) -> ItemLift:
        name = self.item.decode("utf-8", "backslashreplace")
        lift = Estimate(value=self.value, low=self.low, high=self.high)
        return ItemLift(item=name, exposures=self.exposures, clicks=self.clicks, lift=lift)


def _lift(item: bytes, exposures: float, clicks: float, expected: float, confidence: float) -> _Lift:
    """Return clicks over expected clicks, with the limits of that."""
    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * clicks)) / 2 if clicks else 0.0
    high = float(chi2.ppf(1 - tail, 2 * clicks + 2)) / 2
    return _Lift(item, int(exposures), int(clicks), clicks / expected, low / expected, high / expected)
