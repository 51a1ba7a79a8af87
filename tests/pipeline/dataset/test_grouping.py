"""Interactions -> rows by shards, against plain Python's dictionaries."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.names import ITEM_ID, RATING, TIME_MS, USER_ID, WEIGHT
from pipeline.dataset import grouping

pairs = st.dictionaries(
    st.tuples(st.integers(-1, 9), st.integers(-1, 7)), st.floats(0.125, 8192, width=32), min_size=1, max_size=40
)


def encoded(interactions: dict, weighs: bool = False) -> pa.RecordBatch:
    """Return a block; where it has weights, that of an interaction is twice its rating."""
    users, items = zip(*interactions, strict=True)
    ratings = np.array(list(interactions.values()))
    columns = [pa.array(users, pa.int64()), pa.array(items, pa.int64()), pa.array(ratings)]
    columns += [pa.array(2 * ratings)] if weighs else []
    arrays = [pa.LargeListArray.from_arrays(pa.array([0, len(column)]), column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, [USER_ID, ITEM_ID, RATING, WEIGHT][: len(arrays)])


@given(pairs)
def test_what_a_minimum_count_left_out_is_counted_once_the_visitor_first(interactions):
    (users, items, ratings, *_), skipped = grouping.used_interactions(encoded(interactions))
    kept = [(user, item, np.float32(rating)) for (user, item), rating in interactions.items() if min(user, item) >= 0]
    assert list(zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True)) == kept
    assert ratings.dtype == np.float32
    assert skipped == {
        "pairs.skipped.below_min_items_per_user": sum(user < 0 for user, _ in interactions),
        "pairs.skipped.below_min_users_per_item": sum(item < 0 <= user for user, item in interactions),
    }


@given(pairs, st.integers(1, 5), st.booleans())
def test_every_row_is_whole_in_the_shard_of_its_key_on_both_sides(interactions, shards, weighs):
    used, _ = grouping.used_interactions(encoded(interactions, weighs))
    expected: dict = {side: defaultdict(dict) for side in grouping.SIDES}
    for user, item, rating in zip(*(column.tolist() for column in used[:3]), strict=True):
        expected[grouping.ITEMS_FOR_USER][user][item] = rating
        expected[grouping.USERS_FOR_ITEM][item][user] = rating
    found: dict = {side: {} for side in grouping.SIDES}
    for (side, shard), entries in grouping.partition(used, shards):
        rows, _ = grouping.group(pa.Table.from_batches([entries, entries.slice(0, 0)]))
        assert rows.keys.tolist() == sorted(rows.keys.tolist())
        assert rows.weights.tolist() == (2 * rows.values if weighs else rows.weights[:0]).tolist()
        for row, key in enumerate(rows.keys.tolist()):
            assert key % shards == shard
            part = slice(rows.indptr[row], rows.indptr[row + 1])
            assert rows.indices[part].tolist() == sorted(rows.indices[part].tolist())
            assert key not in found[side]
            found[side][key] = dict(zip(rows.indices[part].tolist(), rows.values[part].tolist(), strict=True))
        assert rows.indptr[0] == 0
        assert rows.indptr[-1] == len(rows.indices) == entries.num_rows
    assert found == expected


def test_one_side_alone_is_partitioned_where_one_is_asked_for():
    used = grouping.EncodedInteractions(np.array([4, 5]), np.array([1, 1]), np.ones(2, np.float32))
    (((side, shard), entries),) = grouping.partition(used, 3, [grouping.USERS_FOR_ITEM])
    assert (side, shard) == (grouping.USERS_FOR_ITEM, 1)
    assert entries.column(1).to_pylist() == [4, 5]


@pytest.mark.parametrize(
    ("interactions", "chosen", "shards"),
    [(0, None, 1), (1, None, 1), (2_000_000, None, 1), (2_000_001, None, 2), (10**12, None, 10_000), (10**9, 7, 7)],
)
def test_a_shard_has_no_more_interactions_than_a_worker_sorts_at_once(interactions, chosen, shards):
    assert grouping.shards_for(interactions, chosen) == shards


@given(pairs, st.integers(1, 5))
def test_what_may_be_recommended_again_and_days_are_in_the_rows_of_users_alone(interactions, shards):
    used, _ = grouping.used_interactions(encoded(interactions))
    again = (used.users + used.items) % 3 == 0
    used = used._replace(again=again, days=(100 * used.users + used.items).astype(np.uint16))
    for (side, _), entries in grouping.partition(used, shards):
        rows, days = grouping.group(pa.Table.from_batches([entries]))
        users = np.repeat(rows.keys, rows.lengths)
        expected = (users + rows.indices) % 3 == 0 if side == grouping.ITEMS_FOR_USER else np.zeros(0, bool)
        assert rows.again.tolist() == expected.tolist()
        if side == grouping.USERS_FOR_ITEM:
            assert days is None
        else:
            assert days.dtype == np.uint16 and days.tolist() == (100 * users + rows.indices).tolist()


def test_days_are_those_of_last_views_within_the_numbers_that_a_file_has():
    block = encoded({(1, 1): 1.0, (-1, 1): 1.0, (2, 1): 1.0, (3, 1): 1.0, (4, 1): 1.0})
    times = pa.array([86_399_999, 5, 86_400_000, -1, 2**62])
    block = block.append_column(TIME_MS, pa.LargeListArray.from_arrays(pa.array([0, 5]), times))
    used, _ = grouping.used_interactions(block, timed=True)
    assert used.days.tolist() == [0, 1, 0, 65_535]
    assert grouping.used_interactions(block)[0].days is None
