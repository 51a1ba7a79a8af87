"""Distinct pairs of an item and a value against plain Python."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.items.pairs import NOTHING, Coded, count_pairs

CODES = st.sampled_from([NOTHING, 0, 1, 2, 1 << 16])
ROWS = st.lists(st.tuples(CODES, st.integers(NOTHING, 5), st.integers(-(1 << 62), 1 << 62)), max_size=60)


@given(ROWS)
def test_as_a_dict_of_lists(rows):
    items, places, times = (
        np.array(column, kind)
        for column, kind in zip(
            zip(*rows, strict=True) if rows else ((), (), ()), (np.int32, np.int64, np.int64), strict=True
        )
    )
    is_value = np.array([True, True, False, True])
    codes = np.array([2, 0, 3, NOTHING, 1, 0], np.int32)
    expected = defaultdict(list)
    for item, place, time in rows:
        value = NOTHING if place == NOTHING else int(codes[place])
        if NOTHING not in (item, value) and is_value[value]:
            expected[item, value].append(time)
    pairs = count_pairs(items, Coded(codes, places, is_value), times)
    counted = zip(*(column.tolist() for column in pairs), strict=True)
    assert {(item, value): each for item, value, *each in counted} == {
        pair: [len(each), max(each)] for pair, each in expected.items()
    }
