"""Lifts of items against plain loops: what is clicked more, and less, than its ranks are."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import poisson

from pipeline.interactions import columns
from pipeline.outcomes.measures import items
from pipeline.outcomes.transforms import SumItems

RATES = {"01": 0.4, "02": 0.1, "unknown": 0.2}


def sums(seed: int, version: str = "v") -> tuple[list[pa.RecordBatch], list]:
    """Return the sums of random exposures in two parts, and (item, rank, clicked) of each."""
    rng = np.random.default_rng(seed)
    codes, ranks = rng.integers(0, 30, 4000), rng.integers(0, 3, 4000)
    clicked = rng.random(4000) < np.array([0.2, 0.4, 0.1])[ranks] * np.linspace(0.2, 2, 30)[codes]
    ids = pa.array([b"c%02d" % number for number in range(30)], pa.binary())
    parts = np.array_split(np.arange(4000), 2)
    batches = [items.of_version(version, codes[part], ranks[part], clicked[part], ids) for part in parts]
    return batches, list(zip(codes.tolist(), ranks.tolist(), clicked.tolist(), strict=True))


def test_lifts_are_those_of_plain_loops():
    batches, exposures = sums(0)
    best, worst = items.lifts(list(items.added_up(batches)), RATES, 0.9)
    counts, clicks, expected = defaultdict(int), defaultdict(int), defaultdict(float)
    for code, rank, clicked in exposures:
        name = f"c{code:02d}"
        counts[name] += 1
        clicks[name] += clicked
        expected[name] += RATES[("unknown", "01", "02")[rank]]
    for one in (*best, *worst):
        assert (one.exposures, one.clicks) == (counts[one.item], clicks[one.item])
        assert one.lift.value == pytest.approx(clicks[one.item] / expected[one.item])
        low, high = one.lift.low * expected[one.item], one.lift.high * expected[one.item]
        assert poisson.sf(one.clicks - 1, low) == pytest.approx(0.05) or not one.clicks
        assert poisson.cdf(one.clicks, high) == pytest.approx(0.05)
    assert {one.item for one in best[:3]} <= {f"c{code}" for code in range(20, 30)}
    assert {one.item for one in worst[:3]} <= {f"c{code:02d}" for code in range(10)}
    lows = np.array([one.lift.low for one in best], float)
    assert (lows[:-1] >= lows[1:]).all()


def test_only_the_items_that_are_shown_most_are_kept():
    """Keep as many of each version, once the sums of two parts are added up."""
    ids = pa.array([b"c%03d" % number for number in range(150)], pa.binary())
    many = np.repeat(np.arange(150), np.arange(1, 151))
    batches = []
    for version in ("a", "b"):
        for part in np.array_split(many, 2):
            batches.append(items.of_version(version, part, np.ones(len(part), int), np.zeros(len(part), bool), ids))
    (kept,) = items.added_up(batches)
    assert kept["version"].to_pylist() == ["a"] * 100 + ["b"] * 100
    assert kept["contentId"].to_pylist()[:100] == [b"c%03d" % number for number in range(50, 150)]
    assert kept["exposures"].to_pylist()[:100] == list(range(51, 151))


def test_sums_of_many_shards_are_those_of_all_at_once_and_take_no_more_memory():
    combine, whole = SumItems(), []
    parts = combine.create_accumulator()
    for seed in range(40):
        batches, _ = sums(seed)
        whole += batches
        for batch in batches:
            parts = combine.add_input(parts, columns.to_bytes(batch))
            assert len(parts) < 16
    left, right = (combine.add_input([], columns.to_bytes(batch)) for batch in whole[:2])
    assert len(combine.merge_accumulators([left, right])) == 2
    found = columns.from_bytes(iter(combine.extract_output(parts)))
    assert found.equals(pa.Table.from_batches(items.added_up(whole)))
