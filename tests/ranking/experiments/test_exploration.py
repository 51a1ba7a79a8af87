"""Explored slots: against plain Python, with propensities that are the frequencies of many draws."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from artifacts.sparse_rows import SparseRows
from ranking.experiments import exploration
from ranking.heap import Best

K, MASK = 4, 2**64 - 1


def rows(*items: list[int]) -> SparseRows:
    indptr = np.cumsum([0, *map(len, items)])
    flat = np.array([item for row in items for item in row], np.int32)
    return SparseRows(np.arange(len(items)), indptr, flat, np.ones(len(flat), np.float32))


def uniform(key: int, slot: int, attempt: int) -> float:
    z = (key + (slot * 2**20 + attempt + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 11) / 2**53


def plainly(listed: list[int], pool: list[int], had: list[int], share: float, visitor: bytes) -> list[tuple]:
    key = int.from_bytes(hashlib.sha256(b"5\x002024-01-31\0" + visitor).digest()[:8], "big")
    given = [item for item in pool if item not in listed and item not in had]
    sides, drawn, entries = max(len(given), len(listed)), [], []
    for slot, item in enumerate(listed):
        entry = item, 1 - share * len(given) / sides
        if uniform(key, slot, 0) < share:
            attempt = 1
            while (number := int(uniform(key, slot, attempt) * sides)) in drawn:
                attempt += 1
            drawn.append(number)
            if number < len(given):
                entry = given[number], share / sides
        entries.append(entry)
    return entries


@pytest.mark.parametrize("pool", [[8, 9, 10, 11, 12, 13, 20], [9], []], ids=["large", "one item", "empty"])
def test_lists_and_propensities_are_those_of_plain_python(pool):
    lists, had = [[0, 1, 2, 3], [9, 1, 13], [5], []], [[8, 12], [], [0], [1]]
    visitors = [f"v{number}".encode() for number in range(400)]
    best = Best.empty(400, K)
    for row in range(400):
        listed = lists[row % 4]
        best.indices[row, : len(listed)], best.scores[row, : len(listed)] = listed, 7
    of_visitors = exploration.keys(5, "2024-01-31", visitors)
    found = exploration.explore(
        best, np.array(pool, np.int64), rows(*(had[row % 4] for row in range(400))), 0.4, of_visitors
    )
    for row, visitor in enumerate(visitors):
        listed = lists[row % 4]
        entries = plainly(listed, pool, had[row % 4], 0.4, visitor)
        assert found.best.indices[row, : len(listed)].tolist() == [item for item, _ in entries]
        assert found.propensity[row, : len(listed)].tolist() == pytest.approx([share for _, share in entries])
        assert np.isnan(found.propensity[row, len(listed) :]).all()
        assert (found.best.indices[row, len(listed) :] == -1).all()
    assert found.explored.any() == bool(pool)
    assert (found.best.scores[found.explored] == 0).all() and (best.scores[found.explored] == 7).all()


@pytest.mark.parametrize("pool", [6, 2], ids=["more than slots", "fewer than slots"])
def test_a_propensity_is_how_often_an_item_is_in_a_slot(pool):
    visitors = [str(number).encode() for number in range(60_000)]
    best = Best(np.tile(np.arange(K), (len(visitors), 1)), np.zeros((len(visitors), K), np.float32))
    nothing = SparseRows.empty(len(visitors))
    of_visitors = exploration.keys(0, "2024-01-31", visitors)
    found = exploration.explore(best, np.arange(10, 10 + pool), nothing, 0.3, of_visitors)
    for slot in range(K):
        counts = Counter(found.best.indices[:, slot].tolist())
        assert len(counts) == pool + 1
        for item, count in counts.items():
            (propensity,) = set(found.propensity[found.best.indices[:, slot] == item, slot].tolist())
            assert count / len(visitors) == pytest.approx(propensity, abs=4 * np.sqrt(propensity / len(visitors)))
    assert all(len(set(row)) == K for row in found.best.indices[:1000].tolist())


def test_another_day_and_another_seed_draw_other_lists():
    visitors = [str(number).encode() for number in range(50)]
    one = exploration.keys(0, "2024-01-31", visitors)
    assert (one == exploration.keys(0, "2024-01-31", visitors)).all()
    assert not (one == exploration.keys(0, "2024-02-01", visitors)).any()
    assert not (one == exploration.keys(1, "2024-01-31", visitors)).any()


def test_the_pool_is_the_last_share_of_the_items():
    assert exploration.least_known(100, 0.2) == 80 and exploration.least_known(3, 0.2) == 3
    assert exploration.least_known(100, 1) == 0
