"""New items in lists of items, and their audiences: the same from batch prediction and from the SavedModel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from configs.settings import Settings
from pipeline.prediction import plan as plans
from pipeline.prediction import recommend
from pipeline.prediction.asked import Asked
from pipeline.prediction.items import Items
from ranking import similarity
from tests.support.new_items import ITEMS, NEW, VISITORS, K


@pytest.fixture(scope="module")
def world(new_items_world):
    return new_items_world


def test_a_thousand_visitors_have_the_same_lists_with_new_items_among_them(world):
    plan = world.plan()
    items = Items(plan)
    lists = {}
    for shard in range(plan.user_shards):
        lists |= world.rows_of(recommend.recommendations(plan, items, shard, None))
    assert list(lists) and set(lists) == set(world.visitors)
    answer = world.served("recommend", "visitorId", world.visitors)
    served = zip(*(answer[name].numpy().tolist() for name in ("rule", "contentIds", "scores")), strict=True)
    with_new = 0
    for visitor, (rule, names, scores) in zip(world.visitors, served, strict=True):
        batch_rule, batch_names, batch_scores = lists[visitor]
        assert (rule.decode(), names, scores) == (batch_rule, batch_names, batch_scores)
        given = sum(name in NEW for name in names)
        assert given <= 3  # a quarter of ten, rounded up
        with_new += given > 0
        assert scores == sorted(scores, reverse=True)
    assert with_new > VISITORS / 2


def test_a_new_item_is_for_those_who_like_its_topic(world):
    """The visitors of topic 2 get its new items; of equal scores, known items come first."""
    visitors = [b"v%d" % number for number in range(2, 200, 6)]
    lists = world.served("recommend", "visitorId", visitors)["contentIds"].numpy().tolist()
    right, wrong = (sum(name in some for row in lists for name in row) for some in (NEW[2::6], NEW[4::6]))
    assert right > len(visitors) and right > 3 * wrong


def test_each_row_has_the_share_of_its_own_k(world):
    """A row with another k in its batch is answered as if it were alone."""
    some = world.visitors[:3]
    together = world.served("recommend", "visitorId", some, [4, 30, 9])
    for row, k in enumerate((4, 30, 9)):
        alone = world.served("recommend", "visitorId", some[row : row + 1], k)
        names = together["contentIds"].numpy()[row, : together["count"].numpy()[row]].tolist()
        assert names == alone["contentIds"].numpy()[0, : alone["count"].numpy()[0]].tolist()
        assert sum(name in NEW for name in names) <= -(-k // 4)


def test_a_history_with_a_new_item_is_not_given_it_again(world):
    history = [[b"c2", NEW[2]], [b"c2", b"c8"]]
    signature = world.signatures["recommend_from_history"]
    answer = signature(contentIds=tf.constant(history), ratings=tf.ones([2, 2]), k=tf.constant(12))
    lists = answer["contentIds"].numpy().tolist()
    assert NEW[2] not in lists[0] and NEW[2] in lists[1] and answer["known"].numpy().tolist() == [1, 2]


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_similar_items_know_new_ones_and_answer_for_them(world, metric):
    plan = world.plan(kind="similar_items", metric=metric)
    items, asked = Items(plan), [NEW[0], NEW[7], b"c3"]
    lists = world.rows_of(recommend.similar_items(plan, items, 0, 1))
    answer = world.served("similar_items" if metric == "cosine" else "similar_items_dot", "contentId", asked)
    table = similarity.directions(world.items) if metric == "cosine" else world.items
    for row, name in enumerate(asked):
        rule, names, scores = lists[name]
        assert rule == ("attributes" if name in NEW else "factors")
        assert (names, scores) == (answer["contentIds"].numpy()[row].tolist(), answer["scores"].numpy()[row].tolist())
        index = world.ids.index(name)
        products = (table.astype(float) @ table[index].astype(float)).astype("f")
        best = sorted(set(range(len(table))) - {index}, key=lambda other: (-products[other], other))[:K]
        assert names == [world.ids[other] for other in best]


def test_the_audience_of_a_new_item_is_by_its_attributes(world):
    asked = Asked(world.plan(kind="audiences"))
    assert asked.ids == world.ids and asked.rules == ["factors"] * ITEMS + ["attributes"] * len(NEW)
    np.testing.assert_array_equal(asked.vectors, world.items)
    answer = world.served("audience", "contentId", [NEW[1], b"c1", b"nobody knows"])
    assert answer["rule"].numpy().tolist() == [b"attributes", b"factors", b"mean item"]
    best = [int(name[1:]) for name in answer["visitorIds"].numpy()[0].tolist()]
    assert np.mean([visitor % 6 == 1 for visitor in best]) > 0.8


def test_an_item_that_comes_with_its_attributes_has_the_audience_of_an_item_like_it(world):
    signature = world.signatures["item_from_attributes"]
    answer = signature(tags=tf.constant(["2", "", "4", ""]), k=tf.constant([8, 3, 8, 2]))
    like = world.served("audience", "contentId", [NEW[2], b"nobody", NEW[4], b"nobody"], [8, 3, 8, 2])
    assert answer["rule"].numpy().tolist() == [b"attributes", b"mean item", b"attributes", b"mean item"]
    np.testing.assert_array_equal(answer["factors"].numpy()[::2], world.items[[ITEMS + 2, ITEMS + 4]])
    for name in ("visitorIds", "scores", "count", "rule"):
        np.testing.assert_array_equal(answer[name].numpy(), like[name].numpy())


def test_explanations_of_new_items_agree(world):
    visitors, plan = world.visitors[:40], world.plan(explanation=2)
    items = Items(plan)
    for block in recommend.recommendations(plan, items, 0, frozenset(visitors)):
        for row, visitor in enumerate(block.asked):
            for rank, index in enumerate(block.best.indices[row].tolist()):
                if index < ITEMS or block.rules[row] == "popularity":
                    continue
                answer = world.signatures["explanation"](
                    visitorId=tf.constant([visitor]), contentId=tf.constant([world.ids[index]]), k=tf.constant(2)
                )
                given = answer["count"].numpy()[0]
                expected = [world.ids[item] for item in block.reasons.items[row, rank].tolist() if item >= 0]
                assert answer["contentIds"].numpy()[0, :given].tolist() == expected
                return
    raise AssertionError("no new item was recommended")


def test_rows_that_the_catalogue_gained_are_new_items_too(world, tmp_path):
    catalogue = tmp_path / "catalogue.csv"
    rows = ["later b,3", "c7,1", " c8 ,2", "later a,1", "new 3,4", "nothing known,", "later a,2"]
    catalogue.write_text("contentId,tags\n" + "".join(f"{row}\n" for row in rows))
    tree = {"dataset_dir": world.dataset.root, "model_dir": world.model.root, "catalogue": str(catalogue)}
    plan = plans.make(Settings.model_validate(tree | {"prediction": {"top_k": 20}}))[0]
    assert plan.new.ids == [*NEW, b"later a", b"later b"]  # the last row of an id counts
    np.testing.assert_array_equal(plan.new.factors[-2:], world.items[[ITEMS + 2, ITEMS + 3]])
    items, given = Items(plan), set[int]()
    for block in recommend.recommendations(plan, items, 0, None):
        given |= set(block.best.indices.ravel().tolist())
    assert {ITEMS + len(NEW), ITEMS + len(NEW) + 1} <= given < set(range(-1, ITEMS + len(NEW) + 2))
    assert items.names.ids[ITEMS + len(NEW) :] == [b"later a", b"later b"]


def test_a_catalogue_that_lost_an_attribute_since_the_training_says_so(world, tmp_path, capsys):
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text("contentId,labels\nlater a,1\n")
    tree = {"dataset_dir": world.dataset.root, "model_dir": world.model.root, "catalogue": str(catalogue)}
    plan = plans.make(Settings.model_validate(tree | {"prediction": {"top_k": 20}}))[0]
    assert plan.new.ids == NEW
    assert "1 new item of the catalogue: it has no tags, of which the model has features" in capsys.readouterr().out


def test_lists_and_categories_limit_new_items_too(world, tmp_path):
    block = tmp_path / "block.txt"
    block.write_bytes(b"\n".join([NEW[2], b"c2"]))
    plan = world.plan(block=str(block))
    assert plan.listed == {"block_listed": 2, "block_found": 2}
    lists = world.rows_of(recommend.recommendations(plan, Items(plan), 0, None))
    given = {name for _, names, _ in lists.values() for name in names}
    assert NEW[2] not in given and NEW[3] in given
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text("contentId,category\n" + "".join(f"{name.decode()},one\n" for name in world.ids))
    tree = {"dataset_dir": world.dataset.root, "model_dir": world.model.root, "catalogue": str(catalogue)}
    plan = plans.make(Settings.model_validate(tree | {"prediction": {"top_k": K, "max_per_category": 2}}))[0]
    lists = world.rows_of(recommend.recommendations(plan, Items(plan), 0, None))
    whole = world.plan(top_k=30)
    longer = world.rows_of(recommend.recommendations(whole, Items(whole), 0, None))
    assert {len(names) for _, names, _ in lists.values()} == {2}
    assert all(names == longer[visitor][1][:2] for visitor, (rule, names, _) in lists.items() if rule != "popularity")
