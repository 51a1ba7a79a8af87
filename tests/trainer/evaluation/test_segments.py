"""Groups of visitors by what they have and what is held out, against plain loops."""

from collections import Counter

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from artifacts.items_table import ItemsTable
from artifacts.names import CATEGORY, VISITORS
from artifacts.sparse_rows import SparseRows
from trainer.evaluation.segments import HAVE, HELD_OUT, MIDDLE, MOST_POPULAR, RARE, Segments

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
