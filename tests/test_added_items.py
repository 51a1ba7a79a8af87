"""Items that are added between two trainings: the same from batch prediction, the SavedModel and the server."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from artifacts.features.added_items import FROM_ATTRIBUTES, AddedItems
from artifacts.sparse_rows import SparseRows
from pipeline import items as command
from pipeline.prediction import recommend
from pipeline.prediction.asked import Asked
from pipeline.prediction.items import Items
from ranking.attributes import prior as priors
from ranking.fold_in import Projection
from serving import publish
from serving.models.added import AddedFile
from tests.support.new_items import ITEMS, NEW, World
from tests.support.served import running, settings, wait
from trainer.saved_model.attributes_graph import weights_by_views

ADDED = [b"added %d" % topic for topic in range(4)]


@pytest.fixture(scope="module")
def world(new_items_world, tmp_path_factory):
    """A model, and four items of the topics 0 to 3 that were added after its training; of a fifth nothing is known."""
    root, rows = tmp_path_factory.mktemp("added"), []
    for topic, name in enumerate(ADDED):
        rows.append({"contentId": name.decode(), "tags": str(topic), "title": f"Title {topic}"})
    rows += [{"contentId": "nothing known"}, {"contentId": "c1", "tags": "1"}, rows[0] | {"colour": "red"}]
    (root / "new.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    new_items_world.added = str(root / "added.parquet")
    run(new_items_world, "add", str(root / "new.jsonl"))
    yield new_items_world
    new_items_world.added = None


@pytest.fixture(scope="module")
def client(world, tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    publish.publish(world.model.root, str(directory), "wals")
    limits = {"max_batch": 1000, "accept_items": True}
    with running(settings(directory, **limits).model_copy(update={"added_items": world.added})) as server:
        yield server


def run(world: World, *words: str) -> None:
    flags = ("--set", f"added_items={world.added}", "--set", f"dataset_dir={world.dataset.root}")
    command.main([*words, *flags])


def factors_of(world: World, attributes: list[str], viewers=((),)) -> np.ndarray:
    width = max(map(len, viewers))
    names = [[*row, *[b""] * (width - len(row))] for row in viewers]
    signature, ratings = world.signatures["factors_from_attributes"], tf.ones([len(names), width])
    ids = tf.reshape(tf.constant(names, tf.string), [len(names), width])
    return signature(tags=tf.constant(attributes), visitorIds=ids, ratings=ratings)["factors"].numpy()


def test_the_command_counts_what_it_did(world, tmp_path, capsys):
    file = tmp_path / "new.csv"
    file.write_text("contentId,colour\nadded 0,\n,red\nc1,blue\nadded 9,\nadded 9,red\n")
    items, copy = AddedItems.read(world.added), tmp_path / "copy.parquet"
    assert items.ids == [*ADDED, b"nothing known"]
    copy.write_bytes(Path(world.added).read_bytes())
    command.main(["add", str(file), "--added_items", str(copy), "--dataset_dir", world.dataset.root])
    text = " ".join(capsys.readouterr().out.replace("\u2502", " ").split())
    for words in (
        "items added 1",
        "items changed 1",
        "items that the dataset has already 1",
        "rows of an id that a later row has 1",
        "rows without a usable contentId 1",
        "attributes that the file lacks tags",
        "columns that the model does not know colour",
        f"version {items.version + 1}",
    ):
        assert words in text


def test_batch_prediction_the_saved_model_and_the_server_have_the_same_lists(world, client):
    """A thousand visitors, with ties: the added items have the factors of the model's own new items of their topic.

    The one of which nothing is known has the last place of each list that has new items at all.
    """
    plan = world.plan()
    assert (plan.new.ids, plan.new.newest) == ([*NEW, *ADDED], (b"nothing known",))
    items, lists = Items(plan), {}
    for shard in range(plan.user_shards):
        lists |= world.rows_of(recommend.recommendations(plan, items, shard, None), items.names.ids)
    added = plan.new.ids[len(NEW) :]
    factors = np.concatenate([plan.new.factors[len(NEW) :], np.zeros((1, 6), np.float32)])
    given = {"newContentIds": tf.constant([*added, b"nothing known"]), "newFactors": tf.constant(factors)}
    visitors = tf.constant(world.visitors)
    answer = world.signatures["recommend_with_items"](visitorId=visitors, k=tf.constant(10), **given)
    body = {"inputs": {"visitorId": [name.decode() for name in world.visitors], "k": 10}}
    served = client.post("/v1/models/wals:predict", json=body).json()["outputs"]
    among = 0
    for row, visitor in enumerate(world.visitors):
        rule, names, scores = lists[visitor]
        assert names == answer["contentIds"].numpy()[row, : len(names)].tolist()
        assert scores == answer["scores"].numpy()[row, : len(names)].tolist()
        assert [name.encode() for name in served["contentIds"][row][: len(names)]] == names
        assert np.float32(served["scores"][row][: len(names)]).tolist() == scores
        assert served["rule"][row] == rule and served["count"][row] == len(names)
        among += any(name in ADDED for name in names)
        is_last = rule.endswith(", newest")
        assert (b"nothing known" in names) == (names[-1] == b"nothing known") == is_last == (rule != "popularity")
    assert among > len(world.visitors) / 3


def test_similar_items_audiences_and_explanations_know_added_items(world, client):
    plan = world.plan(kind="similar_items")
    items = Items(plan)
    lists = world.rows_of(recommend.similar_items(plan, items, 0, 1), items.names.ids)
    for name in (ADDED[2], b"c2"):
        served = client.get("/similar_items", params={"contentId": name.decode(), "k": 10}).json()["similar_items"]
        assert [entry["contentId"].encode() for entry in served] == lists[name][1]
    named = client.get("/similar_items", params={"contentId": "new 2", "k": 20}).json()["similar_items"]
    assert {"contentId": "added 2", "title": "Title 2", "category": ""}.items() <= next(
        entry for entry in named if entry["contentId"] == "added 2"
    ).items()
    asked = Asked(world.plan(kind="audiences"))
    assert asked.rules[-1] == "attributes" and set(asked.ids[-4:]) == set(ADDED)
    body = {"signature_name": "audience", "inputs": {"contentId": ["added 1", "new 1", "nobody"], "k": 10}}
    audience = client.post("/v1/models/wals:predict", json=body).json()["outputs"]
    assert audience["rule"] == ["attributes", "attributes", "mean item"]
    assert audience["visitorIds"][0] == audience["visitorIds"][1]
    visitor, rest = audience["visitorIds"][0][0], {"k": 3}
    told, like = (
        client.get("/explanation", params={"visitorId": visitor, "contentId": item, **rest}).json()
        for item in ("added 1", "new 1")
    )
    assert told["explanation"] == like["explanation"] and told["score"] == like["score"] > 0


def test_an_item_that_is_posted_is_recommended_at_once_to_the_right_visitors(world, client):
    """The next request after the answer has it. `wals items` of another process is noticed by the file."""
    visitors = [name.decode() for name in world.visitors]

    def share(item: str) -> list[float]:
        outputs = client.post("/v1/models/wals:predict", json={"inputs": {"visitorId": visitors, "k": 10}}).json()
        has = np.array([item in names for names in outputs["outputs"]["contentIds"]])
        topic = np.array([int(name[1:]) % 6 for name in visitors])
        return [float(has[topic == number].mean()) for number in range(6)]

    assert sum(share("posted")) == 0
    content = {"items": [{"contentId": "posted", "tags": ["4"], "title": "News", "colour": "red"}]}
    answer = client.post("/items", json=content)
    assert answer.status_code == 200 and answer.json().items() >= {"added": 1, "changed": 0, "ignored": 1}.items()
    shares = share("posted")
    assert shares[4] > 0.5 and max(shares[:4] + shares[5:]) < shares[4] / 2
    assert "posted" in [name.decode() for name in world.plan().new.ids]  # in batch prediction too
    listed = world.root / "remove.txt"
    listed.write_text("posted\nnobody\n")
    run(world, "remove", str(listed))
    assert AddedItems.read(world.added).ids == [*ADDED, b"nothing known"]
    wait(lambda: sum(share("posted")) == 0)


@pytest.mark.parametrize("is_posted", [True, False])
def test_a_version_runs_the_graph_of_features_before_the_first_item_is_posted(tmp_path, is_posted):
    """The first run imports TensorFlow, which no request should wait for."""
    signature = SimpleNamespace(inputs={"tags": SimpleNamespace(blank=lambda: [b""])})
    version, ran = SimpleNamespace(number=1, signatures={FROM_ATTRIBUTES: signature}), []
    version.run = lambda *arguments: ran.append(arguments)
    AddedFile(str(tmp_path / "added.parquet"), is_posted=is_posted).give(version)
    assert ran == ([(FROM_ATTRIBUTES, {"tags": [b""]})] if is_posted else []) and version.added is None
    version.signatures = {}  # a model without features
    AddedFile(str(tmp_path / "added.parquet"), is_posted=is_posted).give(version)
    assert len(ran) == is_posted


def test_views_move_an_added_item_towards_its_viewers_as_a_dense_solve_does(world):
    """v = B'g + y, with the residuals of the views, in batch prediction's own arithmetic."""
    viewers = [b"v3", b"v9", b"v15", b"nobody"]
    factors = factors_of(world, ["1", "1", ""], [viewers, [], viewers[:1]])
    prior = factors_of(world, ["1"])
    np.testing.assert_array_equal(factors[1], prior[0])
    users, weights = world.answering_users()
    projection = Projection(users, weights, world.plan().objective)
    known = [world.visitors.index(name) for name in viewers[:3]]
    row = SparseRows(np.zeros(1, np.int64), np.array([0, 3]), np.array(sorted(known), np.int32), np.ones(3, np.float32))
    weight, exponent = weights_by_views(*world.item_weights_and_views())
    own = np.array([weight * 3.0**-exponent], np.float32)
    rest = priors.residuals(prior, users, weights, projection.objective.unobserved_weight, row, own)
    np.testing.assert_allclose(factors[0], (prior + projection.solve(rest, own))[0], atol=2e-6)
    closer = world.items[:ITEMS][np.arange(ITEMS) % 6 == 3].mean(0)
    assert factors[0] @ closer > prior[0] @ closer  # the viewers are of topic 3
    assert np.abs(factors[2]).sum() > 0  # views without attributes place an item too


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        ({"items": [{"title": "x"}]}, 400, "items[0]: contentId must be a text of one line"),
        ({"items": [{"contentId": "a"}, {"contentId": "a"}]}, 400, "an item is there twice; send it once"),
        ({"items": [{"contentId": "a", "tags": {"b": 1}}]}, 400, "items[0]: tags must be a text, or a list of texts"),
        ({"views": [{"contentId": "a"}]}, 400, "views[0]: visitorId must be a text of one line"),
        ({"item": []}, 400, "the body must be an object with 'items' or 'views', or both"),
        ("text", 415, "the body must be application/json"),
    ],
)
def test_what_is_posted_wrong_is_refused_in_one_line(client, content, status, reason):
    answer = client.post("/items", content=content) if content == "text" else client.post("/items", json=content)
    assert (answer.status_code, answer.json()) == (status, {"error": reason})


def test_an_item_of_a_request_that_the_model_knows_counts_once(world):
    names = tf.constant([b"c2", NEW[2], b"", b"added"])
    given = {"newContentIds": names, "newFactors": tf.ones([4, 6])}
    visitors, k = tf.constant(world.visitors[:50]), tf.constant(80)
    answer = world.signatures["recommend_with_items"](visitorId=visitors, k=k, **given)["contentIds"].numpy().tolist()
    without = world.signatures["recommend"](visitorId=visitors, k=k)["contentIds"].numpy().tolist()
    for row, before in zip(answer, without, strict=True):
        names = [name for name in row if name]
        assert len(set(names)) == len(names)
        assert {name for name in names if name not in (b"added", *NEW)} == {n for n in before if n and n not in NEW}
    twice = {"newContentIds": tf.constant([b"x", b"x"]), "newFactors": tf.ones([2, 6])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="an item is there twice"):
        world.signatures["similar_items_with_items"](contentId=tf.constant([b"x"]), k=k, **twice)
