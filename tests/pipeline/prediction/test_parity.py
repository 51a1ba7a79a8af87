"""Batch prediction, SavedModel and server answer alike, for a thousand visitors of real and of sample data."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.settings import ColdStartSettings, Settings
from pipeline import batch_predict, preprocess, sample
from pipeline.prediction import plan, visitors
from pipeline.prediction.items import Items
from serving import publish
from serving.models.engine.engine import Engine
from serving.models.online import Online
from serving.models.service import Service
from serving.rules.limits import Limited, Limits, Rules
from tests.support import served
from tests.support.exports import PLAIN_RUNNER, SHARED, needs_shared, settings
from trainer.job import training_job

K, ASKED = 10, 1000
NO_LISTS = {"allow": None, "block": frozenset()}
TRAINING = {"embedding_dimension": 16, "max_sweeps": 7, "solver": "cholesky", "regularization_coeff": 0.5}


class World:
    """A dataset, a model of a user sweep last, and its SavedModel."""

    def __init__(self, root: Path, glob: str):
        self.root = root
        made = settings(root / "dataset", glob, dataset={"shards": 2, "popularity_half_life_days": 5})
        preprocess.preprocess(made, [], False)
        tree = {"training": TRAINING, "dataset_dir": str(root / "dataset"), "model_dir": str(root / "model")}
        self.tree = tree | {"beam": {"runner": PLAIN_RUNNER}}
        given = Settings.model_validate(self.tree)
        training_job.train(given.training, given.dataset_dir, given.model_dir, False, given.cold_start)
        self.signatures = tf.saved_model.load(str(root / "model" / "saved_model")).signatures

    def predict(self, kind: str, **options) -> dict[str, dict]:
        """Return the answers, by who was asked."""
        return self.predicted(f"{kind}-{len(options)}", {"kind": kind} | options)

    def predicted(self, name: str, options: dict, **sections) -> dict[str, dict]:
        """Return the answers under options of the section prediction, and other sections."""
        out = self.root / name
        tree = self.tree | sections | {"prediction": {"top_k": K, "formats": ["jsonl"]} | options}
        batch_predict.predict(Settings.model_validate(tree), [], True, str(out))
        lines = [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]
        return {next(iter(line.values())): line for line in lines}

    def ask(self, signature: str, k=K, **inputs):
        found = self.signatures[signature](k=tf.constant(k), **{name: tf.constant(v) for name, v in inputs.items()})
        return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.fixture(scope="module", params=["sample", pytest.param("lastfm", marks=needs_shared)])
def world(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "sample":
        sizes = ["--visitors", "1500", "--items", "150", "--days", "3", "--layouts", "ga360"]
        sample.main([*sizes, "--formats", "ndjson", "--output_dir", str(root / "in")])
        return World(root, str(root / "in" / "ga360" / "*"))
    return World(root, str(SHARED / "lastfm" / "ga360" / "ga_sessions_*"))


def same(lines: list[dict], asked: str, found: dict, names: str, entries: str, one: str) -> None:
    """Assert the same lists, and the same scores to 1e-5."""
    for line, ids, scores, count in zip(lines, found[names].tolist(), found["scores"], found["count"], strict=True):
        assert [entry[one] for entry in line[entries]] == [name.decode() for name in ids[:count]], line[asked]
        np.testing.assert_allclose([entry["score"] for entry in line[entries]], scores[:count], atol=1e-5, rtol=1e-5)
        assert len(line[entries]) == count


def test_recommendations_are_the_same_by_every_rule(world):
    lines = list(world.predict("recommendations").values())[:ASKED]
    assert len(lines) == ASKED
    found = world.ask("recommend", visitorId=[line["visitorId"].encode() for line in lines])
    same(lines, "visitorId", found, "contentIds", "recommendations", "contentId")
    rules = [rule.decode() for rule in found["rule"]]
    assert [line["rule"] for line in lines] == rules and {"factors", "projection"} <= set(rules)
    publish.publish(str(world.root / "model"), str(world.root / "served"), "wals")
    with served.running(served.settings(world.root / "served")) as client:
        for start in range(0, ASKED, 250):
            some = slice(start, start + 250)
            answer = served.predict(client, "recommend", visitorId=[line["visitorId"] for line in lines[some]], k=K)
            assert answer["contentIds"] == [[name.decode() for name in row] for row in found["contentIds"][some]]
            assert answer["rule"] == rules[some] and answer["count"] == found["count"][some].tolist()
            np.testing.assert_array_equal(np.float32(answer["scores"]), found["scores"][some])
        for line in lines[::20]:
            answer = client.get("/recommendations", params={"visitorId": line["visitorId"], "k": K}).json()
            assert [part["contentId"] for part in answer["recommendations"]] == [
                part["contentId"] for part in line["recommendations"]
            ]
            assert answer["rule"] == line["rule"]


DIVERSE = {"mmr_lambda": 0.7, "mmr_candidates": 30}
OPTIONS = {  # of batch prediction; each option is among them with and without others
    "block, score, age, MMR": {"block": "", "min_score": 0.01, "max_age_days": 2.97, **DIVERSE},
    "allow, cap, seen": {"allow": "", "max_per_category": 2, "include_seen": True},
    "all": {"allow": "", "block": "", "max_per_category": 3, "max_age_days": 6, "min_score": 0.0, **DIVERSE},
}


def category_of(item: bytes) -> str:
    return f"Shelf {zlib.crc32(item) % 5}" if zlib.crc32(item) % 7 else ""


@pytest.mark.parametrize("name", OPTIONS)
def test_lists_are_the_same_under_the_options(world, tmp_path, name):
    """Those of batch prediction and of the server's engine."""
    ids = Vocabulary.read(Dataset(str(world.root / "dataset")).vocab_items).ids
    listed = {"allow": frozenset(ids[::2] + ids[1::4]), "block": frozenset(ids[::7])}
    for part, some in listed.items():
        (tmp_path / part).write_bytes(b"\n".join(some) + b"\n")
    rows = [b'"%s",,%s' % (item.replace(b'"', b'""'), category_of(item).encode()) for item in ids]
    (tmp_path / "catalogue.csv").write_bytes(b"\n".join([b"contentId,title,category", *rows]) + b"\n")
    options = OPTIONS[name]
    files = {part: str(tmp_path / part) for part in listed if part in options}
    lines = world.predicted(name, options | files, catalogue=str(tmp_path / "catalogue.csv"))
    lines = list(lines.values())[:ASKED]
    asked = {key: value for key, value in options.items() if key not in listed}
    rules = Rules(**({"candidates": asked.pop("mmr_candidates")} if "mmr_candidates" in asked else {}), **asked)
    limits = Limits(rules, *(listed[part] if part in options else empty for part, empty in NO_LISTS.items()))
    inputs = {"visitorId": np.array([line["visitorId"].encode() for line in lines], object), "k": np.array(K)}
    engine = Engine(str(world.root / "model" / "saved_model"))
    found = engine.run("recommend", inputs, None, Limited(limits, category_of))
    same(lines, "visitorId", found, "contentIds", "recommendations", "contentId")


@pytest.mark.parametrize("world", ["sample"], indirect=True)
def test_variants_and_explored_slots_are_the_same(world):
    """Those of batch prediction and of the server's answers to single visitors."""
    sections = {
        "experiment": {
            "name": "parity",
            "promoted": str(world.root / "promoted.json"),
            "variants": {"new": {"share": 0.7}, "holdout": {"share": 0.3, "model": "none"}},
        },
        "exploration": {"share": 0.3, "items": 0.5, "seed": 4},
    }
    lines = list(world.predicted("variants", {"kind": "recommendations"}, **sections).values())[:ASKED]
    publish.publish(str(world.root / "model"), str(world.root / "of-variants"), "wals")
    tree = served.settings(world.root / "of-variants").model_dump(exclude_unset=True)
    settings = Settings.model_validate(tree | sections)
    service = Service(settings.serving)
    service.online = Online(settings, service.registry, service.prepare_version, service.limits)

    async def answers() -> list[dict]:
        async with service.running():
            await asyncio.to_thread(served.wait, lambda: service.registry.current)
            return [(await service.ask_one("recommend", K, visitorId=line["visitorId"].encode()))[0] for line in lines]

    assert {line["variant"] for line in lines} == {"new", "holdout"} and len(lines) == ASKED
    for line, answer in zip(lines, asyncio.run(answers()), strict=True):
        assert (answer["variant"], answer["rule"].decode()) == (line["variant"], line["rule"])
        entries = [(entry["contentId"], entry["propensity"]) for entry in line["recommendations"]]
        names = [name.decode() for name in answer["contentIds"]]
        assert list(zip(names, answer["propensity"], strict=True)) == entries, line["visitorId"]


def test_unknown_visitors_get_the_same(world, tmp_path):
    (tmp_path / "only").write_text("nobody\n")
    (line,) = world.predict("recommendations", only=str(tmp_path / "only")).values()
    found = world.ask("recommend", visitorId=[b"nobody"])
    same([line], "visitorId", found, "contentIds", "recommendations", "contentId")
    assert line["rule"] == found["rule"][0].decode() == "popularity"


def test_audiences_and_similar_ones_are_the_same(world):
    lines = list(world.predict("audiences").values())[:ASKED]
    pairs = {(entry["visitorId"], line["contentId"]): entry["score"] for line in lines for entry in line["audience"]}
    both = [
        (pairs[line["visitorId"], entry["contentId"]], entry["score"])
        for line in world.predict("recommendations").values()
        for entry in line["recommendations"]
        if line["rule"] != "popularity" and (line["visitorId"], entry["contentId"]) in pairs
    ]
    assert len(both) > 100
    np.testing.assert_allclose(*np.transpose(both), atol=1e-6, err_msg="a score is one, whichever side is asked")
    found = world.ask("audience", contentId=[line["contentId"].encode() for line in lines])
    same(lines, "contentId", found, "visitorIds", "audience", "visitorId")
    for suffix, metric in (("", "cosine"), ("_dot", "dot")):
        lines = list(world.predict("similar_items", metric=metric).values())[:ASKED]
        found = world.ask(f"similar_items{suffix}", contentId=[line["contentId"].encode() for line in lines])
        same(lines, "contentId", found, "contentIds", "similar_items", "contentId")
        lines = list(world.predict("similar_visitors", metric=metric).values())[:200]
        found = world.ask(f"similar_visitors{suffix}", visitorId=[line["visitorId"].encode() for line in lines])
        same(lines, "visitorId", found, "visitorIds", "similar_visitors", "visitorId")


def test_reasons_are_the_same(world):
    lines = list(world.predict("recommendations", explanation=3).values())[:50]
    pairs = [(line["visitorId"], entry) for line in lines for entry in line["recommendations"]]
    asked = {"visitorId": [v.encode() for v, _ in pairs], "contentId": [e["contentId"].encode() for _, e in pairs]}
    found = world.ask("explanation", k=3, **asked)
    for (_, entry), names, shares, count in zip(
        pairs, found["contentIds"].tolist(), found["contributions"], found["count"], strict=True
    ):
        assert [part["contentId"] for part in entry["explanation"]] == [name.decode() for name in names[:count]]
        parts = [part["contribution"] for part in entry["explanation"]]
        np.testing.assert_allclose(parts, shares[:count], atol=1e-5)


def test_projected_factors_agree_with_those_of_the_last_sweep(world):
    """Training ended with the users' sweep: projection solves the same systems, by another way."""
    for mode in ("trained", "projected"):
        made, _ = plan.make(Settings.model_validate(world.tree | {"prediction": {"factors": mode}}))
        made = replace(made, cold_start=ColdStartSettings(min_ratings=0))  # so that nobody else is projected
        items = Items(made)
        blocks = [b for s in range(2) for b in visitors.read(made, items, s, 512, None)]
        table = np.concatenate([block.factors for block in blocks])
        scores = table @ items.factors.T
        if mode == "trained":
            expected = scores
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.3
