"""Matching against plain loops, the position-based model against its truth, and sums that add up over shards."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import OutcomeSettings, RatingSettings, SourceSettings
from pipeline.demo.lists.deeds import List
from pipeline.interactions.matching import Moments, firsts, last_before
from pipeline.interactions.sessions import INTERACTIONS
from pipeline.outcomes.live.lists import HAD
from pipeline.outcomes.measures import positions
from pipeline.outcomes.measures.shard import Tables
from pipeline.outcomes.measures.tally import BUCKETS, Tally
from pipeline.sources.select import source_of
from tests.support.outcome_coverage import START_S, VERSION, tally_of

MOMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=12)


def moments(rows) -> Moments:
    return Moments(*(np.array([row[side] for row in rows], np.int64) for side in (0, 1)))


@given(MOMENTS, MOMENTS, st.integers(0, 9))
def test_the_last_row_before_is_that_of_plain_loops(earlier, later, window):
    found = last_before(moments(earlier), moments(later), window)
    for (pair, time), place in zip(later, found.tolist(), strict=True):
        at = [
            (when, row) for row, (other, when) in enumerate(earlier) if other == pair and time - window <= when <= time
        ]
        assert place == (max(at)[1] if at else -1)


@given(MOMENTS)
def test_the_first_row_of_each_key_is_kept(rows):
    found = moments(rows)
    assert firsts(*found).tolist() == [row not in rows[:place] for place, row in enumerate(rows)]


def test_the_model_of_positions_finds_what_made_the_clicks():
    """Rule and rank go together, so that CTR by rule misleads; an empty rule, an empty rank and one without clicks."""
    attraction, examination = np.array([0.2, 0.1, 0.3, 0.1]), np.array([1.0, 0.5, 0.25, 0.9, 0.0])
    exposures = np.array([[900, 100, 50, 0, 40], [50, 100, 900, 0, 40], [0, 0, 0, 0, 0], [10, 10, 10, 0, 10]], float)
    clicks = exposures * attraction[:, None] * examination
    found = positions.fit(exposures, clicks)
    np.testing.assert_allclose(found.attraction[[0, 1, 3]], attraction[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(found.examination[[0, 1, 2, 4]], examination[[0, 1, 2, 4]], rtol=1e-6)
    assert np.isnan(found.attraction[2]) and np.isnan(found.examination[3])
    shares = exposures.sum(0) / exposures.sum()
    np.testing.assert_allclose(found.corrected(shares)[:2], attraction[:2] * (shares @ examination), rtol=1e-6)
    stacked = positions.fit(np.stack([exposures, exposures]), np.stack([clicks, clicks / 2]))
    np.testing.assert_allclose(stacked.attraction[1][[0, 1]], attraction[:2] / 2, rtol=1e-6)


def test_what_may_be_recommended_again_counts_as_new():
    """A visitor had two items, one of which may be recommended again: it counts, and popularity may name it."""
    visitors = pa.array([b"v0", b"v0"]).dictionary_encode()
    items = pa.array([b"c0", b"c1"]).dictionary_encode()
    views = pa.table([visitors, items, [1.0, 1.0], [START_S * 1000] * 2], schema=INTERACTIONS)
    had = pa.table([visitors, pa.array([0, 0], pa.int16()), [0, 1], [True, False]], schema=HAD)
    source = source_of(SourceSettings(preset="ga4_shop"), RatingSettings())
    lists = [List("v0", "factors", ["c1", "c7"])]
    tally = tally_of(lists, source, OutcomeSettings(), Tables.of(views, had=had))
    (group,) = tally.groups(VERSION, "visitors", "all")
    number, *hits = group.sums.sum(0)[[0, 1, 2, 5, 6]]
    assert number == 1 and hits == [1, 1, 1, 1], "in the first item of both lists"
    assert tally.counts["pairs.skipped.had_before"] == 1


def test_tallies_of_shards_add_up():
    rng = np.random.default_rng(0)
    buckets, values, groups = rng.integers(0, BUCKETS, 50), rng.random(50), rng.integers(0, 2, 50)
    whole, parts = Tally(), [Tally(), Tally()]
    whole.add_groups(("v", "f", "k"), ["a", "b"], groups, buckets, [np.ones(50), values])
    for number, part in enumerate(parts):
        rows = np.arange(50) % 2 == number
        part.add_groups(("v", "f", "k"), ["a", "b"], groups[rows], buckets[rows], [np.ones(rows.sum()), values[rows]])
        part.counts["rows"] = int(rows.sum())
    merged = Tally().merge(parts)
    assert merged.counts["rows"] == 50
    for one, other in zip(whole.groups("v", "f", "k"), merged.groups("v", "f", "k"), strict=True):
        assert one.name == other.name and one.sums == pytest.approx(other.sums)
