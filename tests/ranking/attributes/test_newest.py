"""New items without attributes: which they are, their order, and the last places of lists, in plain Python too."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from artifacts.manifests import FieldFeatures
from ranking.attributes import last_places, newest
from ranking.heap import Best
from tests.support.features import rows_of
from trainer.saved_model.new_items_graph import in_last_places

FIELDS = [
    FieldFeatures(name="tags", kind="tags", weight=1, offset=0, size=3),
    FieldFeatures(name="published", kind="time", weight=1, offset=3, size=14),
    FieldFeatures(name="vector", kind="embedding", weight=1, offset=17, size=2),
]


def test_items_of_which_only_a_recent_time_is_known_come_newest_first():
    """The first feature of a field states that it is missing; the next of a time are below 1, 3, 7, 15 ... days."""
    rows = np.zeros((8, 19))
    rows[0, [0, 6]] = 1  # below 7 days
    rows[1, [0, 4]] = 1  # below a day
    rows[2, [1, 4]] = 1  # and a tag
    rows[3, [0, 7]] = 1  # below 15 days
    rows[4, [0, 3]] = 1  # no time
    rows[5, [0, 4]] = 1
    rows[6, [0, 4, 17]] = 1  # and an embedding
    features = rows_of(rows)
    assert newest.order(features, FIELDS).tolist() == [1, 5, 0]
    assert newest.described(features, FIELDS).tolist() == [False, False, True, False, False, False, True, False]
    only_tags = rows_of(rows[:, :3])
    assert newest.described(only_tags, FIELDS[:1]).tolist() == only_tags.has_some.tolist()
    assert not len(newest.order(only_tags, FIELDS[:1]))


def expected(ids, scores, names, each, seen):
    """Return one list with the newest in its last places, a tenth of it or two."""
    given = [name for name in names[: int(0.2 * each)] if name not in seen]
    kept = ids[: max(0, min(len(ids), each - len(given)))]
    if not kept:
        return ids[:each], scores[: len(ids[:each])]
    return kept + given, scores[: len(kept)] + [scores[len(kept) - 1]] * len(given)


@pytest.mark.parametrize("seed", range(4))
def test_the_newest_have_the_last_places_in_lists_and_in_the_graph(seed):
    rng = np.random.default_rng(seed)
    names, share = [100, 101, 102], 0.2
    each = rng.integers(0, 13, 30)
    lengths = np.minimum(rng.integers(0, 13, 30), each)
    indices, scores = np.full((30, 12), -1), np.full((30, 12), -np.inf, np.float32)
    for row, length in enumerate(lengths):
        indices[row, :length] = rng.permutation(50)[:length]
        scores[row, :length] = -np.sort(rng.random(length)).astype("f")
    seen = rng.choice([7, 100, 101, 102], (30, 2))
    best = last_places.in_last_places(Best(indices, scores), np.array(names), each, share, seen)

    def ids(table):
        return tf.constant(np.where(table >= 0, table.astype(str), "").astype(object))

    filled = tf.constant(np.where(indices >= 0, scores, 0).astype("f"))
    answer = {"contentIds": ids(indices), "scores": filled, "count": tf.constant(lengths.astype("i"))}
    answer |= {"rule": tf.fill([30], "factors")}
    known = tf.constant([str(name) for name in names])
    made = in_last_places(answer, known, tf.constant(each.astype("i")), share, ids(seen))
    for row in range(30):
        old = indices[row, : lengths[row]].tolist(), scores[row, : lengths[row]].tolist()
        items, points = expected(*old, names, int(each[row]), seen[row].tolist())
        count = len(items)
        assert best.indices[row, :count].tolist() == items and (best.indices[row, count:] == -1).all()
        assert best.scores[row, :count].tolist() == points
        assert made["contentIds"].numpy()[row, :count].tolist() == [str(item).encode() for item in items]
        assert made["scores"].numpy()[row, :count].tolist() == points and made["count"].numpy()[row] == count
        has_some = any(item >= 100 for item in items)
        assert made["rule"].numpy()[row].decode() == ("factors, newest" if has_some else "factors")


def test_a_share_of_nothing_gives_no_places():
    best = Best(np.array([[3, 4]]), np.ones((1, 2), "f"))
    assert last_places.in_last_places(best, np.array([9]), np.array([2]), 0.0) is best
    assert last_places.most(0.1, 9) == 0 and last_places.most(0.1, 10) == 1 and last_places.most(0.29, 100) == 29
