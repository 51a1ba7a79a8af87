"""Groups of visitors by what they have and what is held out, against plain loops."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, DAY_MS, FIRST_TIME_MS, LAST_TIME_MS, VISITORS
from artifacts.sparse_rows import SparseRows
from trainer.evaluation.segments import AGED, HAVE, HELD_OUT, MIDDLE, MOST_POPULAR, RARE, Segments

USERS, ITEMS = 60, 30
BANDS = (MOST_POPULAR, MIDDLE, RARE)


def rows(table: np.ndarray) -> SparseRows:
    return SparseRows.from_matrix(sp.csr_matrix(table.astype(np.float32)))


def world():
    rng = np.random.default_rng(3)
    has = rng.random((USERS, ITEMS)) < np.linspace(0.6, 0.05, ITEMS)
    has[7] = False
    held = ~has & (rng.random((USERS, ITEMS)) < 0.1)
    categories = [None if number == 4 else f"k{number % 4}" for number in range(ITEMS)]
    return has, held, categories, np.sort(has.sum(0))[::-1]


def of(visitors, categories=None) -> Segments:
    columns = {VISITORS: pa.array(visitors)} | ({CATEGORY: pa.array(categories)} if categories else {})
    return Segments.of(ItemsTable(pa.table(columns)))


def test_members_are_those_of_plain_loops():
    has, held, categories, visitors = world()
    whole, before, bands = visitors.sum(), 0, []
    for count in visitors:
        bands.append(BANDS[min(3 * before // whole, 2)])
        before += count
    expected = set()
    for user in range(USERS):
        own, truth = np.flatnonzero(has[user]).tolist(), np.flatnonzero(held[user]).tolist()
        if own:
            expected.add((user, HAVE + bands[own[(len(own) - 1) // 2]], tuple(truth)))
        for names, prefix in ((bands, ""), (categories, "category ")):
            of_truth = {names[item] for item in truth} - {None}
            for name in of_truth:
                items = tuple(item for item in truth if names[item] == name)
                expected.add((user, f"{HELD_OUT}{prefix}{name}", items))
        kinds = Counter(categories[item] for item in own if categories[item])
        if kinds:
            order = sorted(dict.fromkeys(kinds), key=lambda kind: (-kinds[kind], rank(kind, visitors, categories)))
            expected.add((user, f"{HAVE}category {order[0]}", tuple(truth)))
    segments = of(visitors, categories)
    members = {
        (user, segments.names[group], tuple(part.truth.indices[start:end]))
        for part in segments.members(rows(has), rows(held))
        for user, group, start, end in zip(
            part.positions, part.groups, part.truth.indptr[:-1], part.truth.indptr[1:], strict=True
        )
    }
    assert members == expected and len(members) > 200


def rank(kind, visitors, categories):
    """Return the place of a category among all, the one with the most visitors first."""
    sums = Counter()
    for count, category in zip(visitors, categories, strict=True):
        sums[category] += count
    return sorted(sums, key=lambda name: -sums[name] if name else 1).index(kind)


def test_a_dataset_without_categories_has_bands_alone():
    segments = of(np.array([5, 3, 1]))
    assert segments.names == [kind + band for kind in (HAVE, HELD_OUT) for band in BANDS]


def test_only_the_twenty_categories_with_the_most_visitors_are_measured():
    segments = of(np.arange(25, 0, -1), [f"k{number}" for number in range(25)])
    assert segments.items[3:] == [f"category k{number}" for number in range(20)]
    assert segments.of_items[1].tolist() == [*range(3, 23), -1, -1, -1, -1, -1]


def test_held_out_items_are_in_groups_by_the_days_since_their_first_view():
    has, held, _, visitors = world()
    days = np.random.default_rng(4).choice([1, 7, 8, 28, 29, 60], ITEMS).tolist()
    days[3] = None
    last = 100 * DAY_MS
    first = [None if age is None else last - age * DAY_MS for age in days]
    times = {FIRST_TIME_MS: pa.array(first), LAST_TIME_MS: pa.array([None if age is None else last for age in days])}
    segments = Segments.of(ItemsTable(pa.table({VISITORS: pa.array(visitors), **times})))
    expected = set()
    for user in range(USERS):
        for low, high, name in ((0, 7, "up to 7"), (7, 28, "7 to 28"), (28, 99, "over 28")):
            truth = [item for item in np.flatnonzero(held[user]) if days[item] and low < days[item] <= high]
            if truth:
                expected.add((user, f"{AGED}{name} days old", tuple(truth)))
    parts = list(segments.members(rows(has), rows(held)))
    members = {
        (user, segments.names[group], tuple(row.indices))
        for part in parts
        for user, group, row in zip(
            part.positions,
            part.groups,
            (part.truth.take(np.array([each])) for each in range(len(part.truth))),
            strict=True,
        )
    }
    assert {member for member in members if not member[1].startswith((HAVE, HELD_OUT))} == expected
    same = {FIRST_TIME_MS: pa.array([last] * ITEMS), LAST_TIME_MS: pa.array([last] * ITEMS)}
    assert Segments.of(ItemsTable(pa.table({VISITORS: pa.array(visitors), **same}))).ages is None


def test_coverage_by_band_counts_the_items_that_are_recommended():
    segments = of(np.array([6, 3, 3, 2, 2, 2]))  # thirds of 18 pairs: the first item, the next two, the last three
    exposure = np.array([0, 4, 0, 1, 0, 2])
    assert segments.coverage_by_band(exposure) == {MOST_POPULAR: 0.0, MIDDLE: 0.5, RARE: pytest.approx(2 / 3)}
