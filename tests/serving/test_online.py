"""Experiments and exploration in the server: each visitor's variant, version and list are those of batch prediction."""

from __future__ import annotations

import base64
import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from artifacts.names import VOCAB_ITEMS
from artifacts.sparse_rows import SparseRows
from configs.settings import Settings
from ranking.experiments import exploration, promoted
from ranking.experiments.assignment import Experiment
from ranking.heap import Best
from serving import publish
from serving.errors import Refusal
from serving.models.online import Online
from tests.support import served
from tests.support.served import running, wait, write_small_model

K, SHARE, ITEMS = 5, 0.5, 0.3
VARIANTS = {"new": {"share": 0.4}, "old": {"share": 0.3, "version": 1}, "holdout": {"share": 0.3, "model": "none"}}


def settings(root, **more) -> Settings:
    experiment = {"name": "summer", "variants": VARIANTS, "promoted": str(root / "promoted.json")}
    tree = served.settings(root / "served").model_dump(exclude_unset=True)
    return Settings.model_validate(
        tree | {"experiment": experiment | more, "exploration": {"share": SHARE, "items": ITEMS}}
    )


def texts(ids: list) -> list[str]:
    """Return ids of an answer as texts, without those that are empty."""
    return [
        name if isinstance(name, str) else base64.b64decode(name["b64"]).decode("utf-8", "replace")
        for name in ids
        if name
    ]


@pytest.fixture(scope="module")
def directory(served_model, tmp_path_factory):
    """Versions 1, whose scores are all 1, and 2, the model of the other tests."""
    root = tmp_path_factory.mktemp("online")
    publish.publish(str(write_small_model(root / "small", 1)), str(root / "served"), "wals")
    publish.publish(str(served_model / "model"), str(root / "served"), "wals")
    return root


def of_batch(world, listed: list[str], had: list[str], visitor: str, day: str) -> list[tuple[str, float]]:
    """Return the entries of batch prediction, by the places of the vocabulary."""
    path = world.root / "dataset" / "transform" / "transform_fn" / "assets" / VOCAB_ITEMS
    ids = [name.decode("utf-8", "replace") for name in path.read_bytes().split(b"\n")[:-1]]
    place = {name: number for number, name in enumerate(ids)}
    best = Best(np.array([[place[name] for name in listed]]), np.zeros((1, len(listed)), np.float32))
    own = np.array(sorted(place[name] for name in had), np.int32)
    left_out = SparseRows(np.arange(1), np.array([0, len(own)]), own, np.ones(len(own), np.float32))
    pool = np.arange(exploration.least_known(len(ids), ITEMS), len(ids))
    found = exploration.explore(best, pool, left_out, SHARE, exploration.keys(0, day, [visitor.encode()]))
    return [(ids[index], share) for index, share in zip(found.best.indices[0], found.propensity[0], strict=True)]


def test_each_visitor_has_the_own_version_and_the_list_of_batch_prediction(world, directory):
    made = settings(directory)
    split = Experiment.of(made.experiment)
    visitors = [name.decode() for name in world.visitors[20:80]] + ["nobody"]
    with running(made) as client:

        def ask(visitor: str) -> dict:
            return client.get("/recommendations", params={"visitorId": visitor, "k": K}).json()

        of_old = next(name for name in visitors if split.variant_of(name.encode()) == "old")
        wait(lambda: ask(of_old).get("variant") == "old")
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        explored = 0
        for visitor in visitors:
            answer, variant = ask(visitor), split.variant_of(visitor.encode())
            had = texts(world.expected("history", visitorId=[visitor.encode()], k=200)["contentIds"][0])
            entries = answer["recommendations"]
            found = [(texts([entry["contentId"]])[0], entry["propensity"]) for entry in entries]
            assert answer["variant"] == variant and answer["modelVersion"] == (1 if variant == "old" else 2)
            if variant == "new":
                listed = texts(world.expected("recommend", visitorId=[visitor.encode()], k=K)["contentIds"][0])
                expected = of_batch(world, listed, had, visitor, day)
                assert [name for name, _ in found] == [name for name, _ in expected]
                assert [share for _, share in found] == pytest.approx([share for _, share in expected])
                explored += sum(name not in listed for name, _ in found)
            elif variant == "holdout":
                popular = texts(world.expected("recommend", visitorId=[b"nobody at all"], k=150)["contentIds"][0])
                assert [name for name, _ in found] == [name for name in popular if name not in had][:K]
                assert answer["rule"] == "popularity" and {share for _, share in found} == {1.0}
        assert explored > 20
        _check_options(client, world, next(name for name in visitors if split.variant_of(name.encode()) == "new"))
        assert client.get("/openapi.json").is_success
        promoted.end(made.experiment, "old")
        wait(lambda: "variant" not in ask(visitors[0]))
        assert {ask(visitor)["modelVersion"] for visitor in visitors} == {1}


def _check_options(client, world, visitor: str) -> None:
    """Check requests that name a variant, or let nothing be explored."""

    def ask(status: int = 200, **options) -> dict:
        answer = client.get("/recommendations", params={"visitorId": visitor, "k": K} | options)
        assert answer.status_code == status
        return answer.json()

    forced = ask(variant="old")
    assert (forced["variant"], forced["modelVersion"], forced["rules"]) == ("old", 1, {"variant": "old"})
    assert ask(variant="holdout")["rule"] == "popularity"
    assert "no variant of this name" in ask(422, variant="unknown")["error"]
    assert "give explore=false, too" in ask(422, maxPerCategory=1)["error"]
    plain = ask(explore="false")["recommendations"]
    listed = texts(world.expected("recommend", visitorId=[visitor.encode()], k=K)["contentIds"][0])
    assert texts([entry["contentId"] for entry in plain]) == listed and "propensity" not in plain[0]
    kinds = [entry.get("category") for entry in ask(explore="false", maxPerCategory=1)["recommendations"]]
    assert len(kinds) == K and max(map(kinds.count, set(kinds) - {None})) == 1


def test_a_version_that_is_not_there_is_logged_once_and_counts_for_no_variant(directory, caplog):
    variants = VARIANTS | {"old": {"share": 0.3, "version": 77}}
    made = settings(directory, variants=variants, promoted=str(directory / "none.json"))
    newest: Any = SimpleNamespace(number=2)
    registry = SimpleNamespace(directory=made.serving.directory, name="wals", current=newest, model=lambda: newest)
    online = Online(made, registry, lambda model: None)
    for _ in range(2):
        online.refresh()
    assert caplog.text.count("version 77 of a variant: it is not there; the newest answers") == 1
    split = Experiment.of(made.experiment)
    for number in range(50):
        visitor = b"v%d" % number
        variant = split.variant_of(visitor)
        assert online.chosen(visitor) == (newest, None if variant == "old" else variant)


def test_a_damaged_file_of_promotions_leaves_the_experiment_as_it_is(directory, caplog, tmp_path):
    path = tmp_path / "promoted.json"
    made = settings(directory, promoted=str(path))

    def not_yet():
        raise Refusal(503, "no version of wals is loaded yet")

    registry = SimpleNamespace(directory=str(tmp_path), name="wals", current=SimpleNamespace(number=1), model=not_yet)
    online = Online(made, registry, lambda model: None)
    path.write_text("{")
    online.refresh()
    assert "is not a manifest" in caplog.text and "the experiment goes on as before" in caplog.text
    with pytest.raises(Refusal, match="no version of wals is loaded yet"):
        online.chosen(b"v")


def test_without_an_experiment_and_exploration_the_server_has_neither():
    assert not Online.is_asked_for(Settings()) and Online.is_asked_for(Settings(exploration={"share": 0.1}))
