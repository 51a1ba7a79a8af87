"""Experiments in an outcome: figures per variant by plain loops, errors at the stated rate, and what is odd."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest

from artifacts.manifests.experiment import ExperimentRecord, VariantRecord
from artifacts.manifests.outcome import Difference, ExperimentOutcome, VariantOutcome
from artifacts.paths import Dataset
from pipeline.demo.lists.deeds import Site
from pipeline.demo.lists.habits import Habits
from ranking.experiments.assignment import Experiment
from ranking.experiments.statistics import MISMATCH
from ranking.experiments.verdicts import peeked
from tests.support import manifests
from tests.support.experiment_trials import rejects, trial
from tests.support.outcomes import NAME, RUN_TIME, measured, settings, simulated, write_export, write_world

HABITS = Habits(attraction={"factors": 0.4, "projection": 0.3, "popularity": 0.2})
SHARES = {"old": 0.5, "new": 0.3, "holdout": 0.2}
STAFF = {"v5", "v6"}


def record(shares: dict[str, float], **fields) -> ExperimentRecord:
    variants = {
        name: VariantRecord(share=share, model_version=f"model {name}", is_holdout=name == "holdout", visitors=0)
        for name, share in shares.items()
    }
    values = {"name": "summer", "salt": "summer", "variants": variants, "excluded": 2, "planned_visitors": 80}
    return ExperimentRecord(**values | fields)


def split(visitor: str, shares: dict[str, float]) -> str | None:
    if visitor in STAFF:
        return None
    return Experiment("summer", "summer", tuple(shares), tuple(shares.values())).variant_of(visitor.encode())


def with_variants(path, lists, shares: dict[str, float], **fields) -> None:
    """Write the variants of visitors into predictions, and their experiment into the manifest."""
    (file,) = path.glob("*.jsonl")
    lines = [orjson.loads(line) | {"variant": split(one.visitor, shares)} for line, one in zip(
        file.read_bytes().splitlines(), lists, strict=True)]  # fmt: skip
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    manifest = orjson.loads((path / "manifest.json").read_bytes())
    manifest["files"] = {name: each.model_dump() for name, each in manifests.describe_below(path, file).items()}
    manifest["experiment"] = record(shares).model_dump()
    (path / "manifest.json").write_bytes(orjson.dumps(manifest | fields))


class World:
    def __init__(self, root):
        self.lists = write_world(root, 120, 30, 4)
        with_variants(root / "predictions", self.lists, SHARES)
        site = Site(NAME, catalogue=[f"c{n}" for n in range(30)])
        self.events, _ = simulated(self.lists, HABITS, 3, 1, site)
        write_export(root, self.events)
        self.settings = settings(root)
        self.manifest, self.outcome = measured(self.settings)
        self.root = root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("experiments"))


def test_figures_of_a_variant_are_those_of_plain_loops(world):
    (found,) = world.outcome.experiments.values()
    exposures, clicks, exposed = defaultdict(int), defaultdict(int), defaultdict(set)
    for row in world.events:
        variant = split(row["user_pseudo_id"], SHARES)
        if row["event_name"] == "view_item_list":
            exposures[variant] += len(row["items"])
            exposed[variant].add(row["user_pseudo_id"])
        clicks[variant] += row["event_name"] == "select_item"
    assert list(found.variants) == list(SHARES) and found.control == "old" and found.changed == 0
    assert found.planned_visitors == 80 and not found.shares_changed
    for name, one in found.variants.items():
        assert one.share == pytest.approx(SHARES[name])
        assert one.visitors == sum(split(each.visitor, SHARES) == name for each in world.lists)
        assert one.exposed == len(exposed[name])
        assert one.metrics["clicks per exposure"].value == pytest.approx(clicks[name] / exposures[name])
        assert one.metrics["clicks per visitor"].value == pytest.approx(clicks[name] / len(exposed[name]))
        assert 0 < one.active <= one.visitors
        assert one.metrics["active visitors"].value == pytest.approx(one.active / one.visitors)
    for name in ("new", "holdout"):
        one = found.variants[name].differences["clicks per exposure"]
        values = [found.variants[each].metrics["clicks per exposure"].value for each in (name, "old")]
        assert one.value == pytest.approx(values[0] - values[1])
        assert one.always_low < one.low < one.value < one.high < one.always_high
        assert one.visitors == found.variants[name].exposed + found.variants["old"].exposed
    assert found.variants["old"].differences == {}
    assert all(0 < value <= 1 for value in found.mismatch.values()) and set(found.mismatch) == {
        "with a list", "who came", "exposed"}  # fmt: skip


def test_visitors_whose_variant_changed_are_left_out_and_counted(world, tmp_path):
    """Two days later the new variant grew; who was in it before stays, and who moved into it is not counted."""
    grown = {"old": 0.2, "new": 0.6, "holdout": 0.2}
    later = tmp_path / "later"
    write_predictions_again(world, later, grown)
    roots = (str(world.root / "predictions"), str(later))
    made = world.settings.model_copy(
        update={"outcome_dir": str(tmp_path / "outcome"),
                "outcome": world.settings.outcome.model_copy(update={"predictions": roots})})  # fmt: skip
    manifest, outcome = measured(made)
    found = outcome.experiments["summer"]
    moved = [one for one in world.lists if split(one.visitor, SHARES) != split(one.visitor, grown)]
    assert found.changed == len(moved) > 10 and found.shares_changed
    for name, one in found.variants.items():
        stayed = [each for each in world.lists if split(each.visitor, SHARES) == name == split(each.visitor, grown)]
        assert one.visitors == len(stayed)
    assert found.variants["old"].share == pytest.approx(0.2 / 0.7)
    assert found.variants["new"].share == pytest.approx(0.3 / 0.7)
    line = f"experiment summer: {len(moved)} visitors changed their variant, since its shares changed"
    assert any(line in warning for warning in manifest.warnings)


def write_predictions_again(world, later, shares: dict[str, float]) -> None:
    from tests.support.outcomes import write_predictions

    write_predictions(later, world.lists, Dataset(str(world.root / "dataset")), 4)
    at = RUN_TIME.replace(day=RUN_TIME.day + 2)
    with_variants(later, world.lists, shares, run_time=at.isoformat(), model_version="tuesday")


def test_equal_variants_are_called_different_at_the_stated_rate():
    """25 A/A tests; benchmarks.pipeline.experiment_errors has 200, and looks at them daily."""
    outcomes = [trial(seed, visitors=300, days=2) for seed in range(25)]
    assert sum(rejects(one, "clicks per exposure") for one in outcomes) <= 4
    assert not any(rejects(one, "clicks per exposure", always=True) for one in outcomes)
    assert all(min(one.mismatch.values()) > MISMATCH for one in outcomes)


def test_trials_by_their_sums_are_those_by_their_events():
    one, other = (trial(3, visitors=200, lift=0.2, days=2, by_events=by_events) for by_events in (False, True))
    for name, variant in one.variants.items():
        for metric in ("clicks per exposure", "clicks per visitor"):
            assert variant.metrics[metric].value == pytest.approx(other.variants[name].metrics[metric].value)
        assert variant.exposed == other.variants[name].exposed and variant.visitors == other.variants[name].visitors
    assert one.mismatch["exposed"] == pytest.approx(other.mismatch["exposed"])


def test_an_effect_and_a_mismatch_are_found():
    assert rejects(trial(1, lift=0.8), "clicks per exposure", always=True)
    broken = trial(1, lost=0.4)
    assert broken.mismatch["exposed"] < MISMATCH < broken.mismatch["with a list"]


def test_who_peeks_is_told():
    def outcome(visitors: int, always_low: float) -> ExperimentOutcome:
        one = Difference(value=2, low=1, high=3, always_low=always_low, always_high=4, visitors=visitors)
        variants = {name: VariantOutcome(share=0.5, visitors=9, active=9, exposed=9) for name in "ab"}
        variants["b"].differences = {"clicks per exposure": one}
        return ExperimentOutcome(
            control="a", planned_visitors=100, changed=0, shares_changed=False, mismatch={}, variants=variants
        )

    assert list(peeked(outcome(99, -1))) == [("b", "clicks per exposure", 99)]
    assert not list(peeked(outcome(100, -1))) and not list(peeked(outcome(99, 0.5)))
