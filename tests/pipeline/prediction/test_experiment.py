"""Predictions of an experiment and with exploration: each visitor's list is that of the visitor's variant alone."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from artifacts.manifests import DatasetManifest, ModelManifest
from artifacts.manifests.experiment import ExperimentOfRows
from artifacts.paths import Dataset, Model
from configs.errors import UserError
from configs.settings import Settings
from pipeline import batch_predict, score
from pipeline.prediction import plan as plans
from pipeline.prediction import recommend
from pipeline.prediction.writers.answers import WORDS, Extra
from pipeline.prediction.writers.parquet import table_schema
from ranking.experiments import promoted
from ranking.experiments.assignment import Experiment
from tests.support.exports import PLAIN_RUNNER
from tests.support.exposures import written
from tests.support.predicted import make_world, write_model

FORMATS = ["jsonl", "parquet"]
SHARES = {"control": {"share": 0.4}, "other": {"share": 0.4}, "holdout": {"share": 0.2, "model": "none"}}


class World:
    def __init__(self, root):
        self.root = make_world(root, 2)
        made = DatasetManifest.read(Dataset(str(root / "dataset")).manifest)
        write_model(root / "second", made, np.random.default_rng(99), 5, True)
        self.variants = SHARES | {"other": {"share": 0.4, "model": str(root / "second")}}
        self.digests = {name: self.version(name) for name in ("model", "second")}

    def version(self, name: str) -> str:
        return ModelManifest.read(Model(str(self.root / name)).manifest).digest()[:12]

    def settings(self, model: str = "model", experiment=None, exploration=None, **prediction) -> Settings:
        tree = {"dataset_dir": str(self.root / "dataset"), "model_dir": str(self.root / model)}
        tree |= {"beam": {"runner": PLAIN_RUNNER}, "exploration": exploration or {}}
        tree |= {"prediction": {"top_k": 6, "formats": FORMATS} | prediction}
        if experiment is not None:
            tree["experiment"] = {"promoted": str(self.root / "promoted.json")} | experiment
        return Settings.model_validate(tree)

    def experiment(self, **more) -> dict:
        return {"name": "summer", "variants": self.variants} | more

    def lists(self, name: str, **settings) -> tuple[dict[str, dict], dict]:
        out = self.root / name
        manifest = batch_predict.predict(self.settings(**settings), [], True, str(out))
        return read(out), manifest.model_dump(mode="json")


def read(out) -> dict[str, dict]:
    lines = [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]
    tables = [pq.read_table(path).to_pylist() for path in sorted(out.glob("*.parquet"))]
    for line, row in zip(lines, [row for rows in tables for row in rows], strict=True):
        assert list(line) == list(row) and line.get("variant") == row.get("variant")
        assert line["rule"] == row["rule"] and len(line["recommendations"]) == len(row["recommendations"])
        for one, other in zip(line["recommendations"], row["recommendations"], strict=True):
            assert list(one) == list(other) and one["contentId"] == other["contentId"]
            assert one.get("propensity") == other.get("propensity")
    return {line["visitorId"]: line for line in lines}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def alone(world):
    return {name: world.lists(f"alone-{name}", model=name)[0] for name in ("model", "second")}


def test_each_visitor_has_the_list_of_the_own_variant(world, alone):
    staff = world.root / "staff.txt"
    excluded = sorted(alone["model"])[:7]
    staff.write_text("\n".join(excluded))
    lists, manifest = world.lists("split", experiment=world.experiment(exclude=str(staff)))
    split = Experiment.of(world.settings(experiment=world.experiment(exclude=str(staff))).experiment)
    popular = world.lists("popular", experiment={"name": "x", "variants": {
        "all": {"share": 0.999999, "model": "none"}, "b": {"share": 0.000001}}})[0]  # fmt: skip
    assert lists.keys() == alone["model"].keys()
    for visitor, line in lists.items():
        variant = split.variant_of(visitor.encode())
        assert line["variant"] == variant and (variant is None) == (visitor in excluded)
        whole = {None: alone["model"], "control": alone["model"], "other": alone["second"], "holdout": popular}[variant]
        assert line["recommendations"] == whole[visitor]["recommendations"]
        assert line["rule"] == ("popularity" if variant == "holdout" else whole[visitor]["rule"])
    record, variants = manifest["experiment"], [line["variant"] for line in lists.values()]
    assert record["excluded"] == len(excluded) and list(record["variants"]) == list(world.variants)
    for name, variant in record["variants"].items():
        assert variant["visitors"] == variants.count(name) > 10
        assert variant["model_version"] == world.digests["second" if name == "other" else "model"]


def test_one_process_writes_the_same_files(world):
    settings = world.settings(experiment=world.experiment(), exploration={"share": 0.3})
    score.score(settings, True, str(world.root / "scored"))
    lists, _ = world.lists("beam", experiment=world.experiment(), exploration={"share": 0.3})
    assert read(world.root / "scored") == lists
    holdout = [line for line in lists.values() if line["variant"] == "holdout"]
    assert {entry["propensity"] for line in holdout for entry in line["recommendations"]} == {1.0}


def test_explored_slots_are_the_only_ones_that_differ(world, alone):
    lists, manifest = world.lists("explored", exploration={"share": 0.3, "items": 0.5})
    again, _ = world.lists("again", exploration={"share": 0.3, "items": 0.5})
    assert lists == again
    differ = 0
    for visitor, line in lists.items():
        before = alone["model"][visitor]["recommendations"]
        for entry, other in zip(line["recommendations"], before, strict=True):
            if entry["contentId"] == other["contentId"]:
                assert entry["propensity"] == pytest.approx(0.7) or entry["propensity"] > 0.7
            else:
                differ += 1
                assert entry["propensity"] <= 0.3 / 6 and entry["score"] == 0
    assert manifest["counts"]["explored"] == differ > 50
    assert manifest["settings"]["exploration"]["share"] == 0.3


def test_without_either_the_files_have_no_further_column(world, alone):
    line = next(iter(alone["model"].values()))
    assert list(line) == ["visitorId", "rule", "recommendations"]
    assert list(line["recommendations"][0]) == ["contentId", "score", "rank"]


def test_rows_of_a_table_have_variant_and_propensity_as_the_files_do(world):
    out = world.root / "rows"
    out.mkdir()
    settings = world.settings(experiment=world.experiment(), exploration={"share": 0.3}, table="bq://p.d.t")
    plan, _ = plans.make(settings)
    loaded = recommend.Loaded(plan)
    for shard in range(plan.answer_shards):
        recommend.write(plan, str(out), shard, plan.answer_shards, recommend.answers(plan, loaded, shard))
    lines = [json.loads(line) for path in out.glob("*.jsonl") for line in path.read_text().splitlines()]
    rows = [row for path in out.glob("*.table.parquet") for row in pq.read_table(path).to_pylist()]
    assert set(rows[0]) == {field.name for field in table_schema(WORDS["recommendations"], Extra.of(settings))}
    found = {
        (r["visitorId"], r["rank"]): (r["contentId"], r["variant"], r["propensity"], r["model_version"]) for r in rows
    }
    expected = {}
    for line in lines:
        version = world.digests["second" if line["variant"] == "other" else "model"]
        for e in line["recommendations"]:
            expected[line["visitorId"], e["rank"]] = (e["contentId"], line["variant"], e["propensity"], version)
    assert found == expected
    assert {row["experiment"] is not None for row in rows if row["rank"] == 1} == {True}
    assert {row["experiment"] for row in rows if row["rank"] > 1} == {None}
    (text,) = {row["experiment"] for row in rows if row["rank"] == 1}
    of_rows, asked = ExperimentOfRows.model_validate_json(text), settings.experiment
    assert (of_rows.name, of_rows.salt) == (asked.name, asked.salt or asked.name)
    assert (of_rows.model_version, of_rows.planned_visitors) == (world.digests["model"], asked.planned_visitors)
    assert [(name, one.share, one.is_holdout) for name, one in of_rows.variants.items()] == [
        (name, one.share, one.is_holdout) for name, one in asked.variants.items()
    ]
    for name, one in of_rows.variants.items():
        assert one.model_version == world.digests["second" if name == "other" else "model"]


def test_a_promoted_variant_answers_all(world, alone, tmp_path):
    experiment = world.experiment(promoted=str(tmp_path / "promoted.json"))
    settings = world.settings(experiment=experiment)
    promoted.end(settings.experiment, "other")
    promoted.end(settings.experiment, "other")  # again changes nothing
    lists, manifest = world.lists("promoted", experiment=experiment)
    assert lists == alone["second"] and manifest["experiment"] is None
    assert manifest["model_version"] == world.digests["second"]
    with pytest.raises(UserError, match="experiment summer has ended with other; a new one needs a new name"):
        promoted.end(settings.experiment, "control")
    for variant, line in (("holdout", "holdout is the holdout, without a model"), ("othr", "did you mean other?")):
        with pytest.raises(UserError, match=line):
            promoted.end(settings.experiment, variant)
    changed = settings.experiment.model_copy(update={"variants": {"a": None, "b": None}})
    with pytest.raises(UserError, match="name an experiment with other variants differently"):
        promoted.variant_of(changed)
    with pytest.raises(UserError, match=r"the config has no experiment; set experiment\.name"):
        promoted.end(world.settings().experiment, "other")


@pytest.mark.parametrize(
    ("experiment", "line"),
    [
        ({"name": "x", "variants": {"a": {"share": 0.5}, "b": {"share": 0.4}}}, "shares of variants sum to 0.9, not"),
        ({"name": "x", "variants": {"a": {"share": 0.5}}}, "experiment x has 1 variants; name two or more"),
        ({"variants": {"a": {"share": 0.5}, "b": {"share": 0.5}}}, "variants are of an experiment; set its name"),
        ({"name": "x", "variants": {"a b": {"share": 0.5}, "b": {"share": 0.5}}}, "a name has letters, digits, dots"),
        ({"name": "x", "variants": {"a": {"share": 0.5, "model": "none", "version": 2}, "b": {"share": 0.5}}},
         "model none has no version"),
    ],
)  # fmt: skip
def test_an_experiment_that_cannot_be_is_one_line(world, experiment, line):
    with pytest.raises(ValueError, match=line):
        world.settings(experiment=experiment)


def test_a_variant_of_another_dataset_is_one_line(world, tmp_path):
    make_world(tmp_path, 1)
    variants = world.variants | {"other": {"share": 0.4, "model": str(tmp_path / "model")}}
    with pytest.raises(UserError, match="was trained on another dataset than"):
        world.lists("refused", experiment={"name": "x", "variants": variants})


def test_exploration_and_a_limit_on_categories_do_not_go_together(world):
    with pytest.raises(ValueError, match=r"exploration\.share leaves prediction\.max_per_category aside"):
        world.settings(exploration={"share": 0.1}, max_per_category=2)


def test_items_that_were_shown_and_not_clicked_rest(world):
    """Only for their visitor; the rest of the list moves up, also where popularity answers."""
    before, _ = world.lists("all", formats=FORMATS)
    visitors = list(before)
    shown = {visitor: [one["contentId"] for one in before[visitor]["recommendations"]] for visitor in visitors}
    worn = {visitor: shown[visitor][:2] for visitor in visitors[::2]}
    rows = [(visitor.encode(), item.encode(), 5.0) for visitor, items in worn.items() for item in items]
    root = written(world.root / "outcome", rows, [(visitors[1].encode(), b"c0", 4.9)])
    after, manifest = world.lists("rested", unclicked=root, unclicked_weight=0.2)
    assert manifest["counts"]["items_resting"] == len(rows)
    for visitor in visitors:
        found = [one["contentId"] for one in after[visitor]["recommendations"]]
        assert not set(worn.get(visitor, ())) & set(found)
        kept = [item for item in shown[visitor] if item not in worn.get(visitor, ())]
        assert found[: len(kept)] == kept
    assert {line["rule"] for line in before.values()} > {"popularity"}
