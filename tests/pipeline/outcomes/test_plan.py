"""The plan of an experiment: days and visitors by the figures of an outcome, and what it lacks in one line."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import yaml
from scipy import stats

from artifacts.manifests.outcome import Estimate, Outcome
from configs import cli
from pipeline import experiment
from pipeline.outcomes.experiments import plan
from tests.support.outcomes import settings, simulated, write_export, write_world


def outcome(ctr: float = 0.1, error: float = 0.005, days: int = 10, active: int = 300, visitors: int = 1000):
    low, high = ctr - 1.959964 * error, ctr + 1.959964 * error
    shown = SimpleNamespace(ctr=Estimate(value=ctr, low=low, high=high))
    tracked = SimpleNamespace(whole=shown, by_day=dict.fromkeys(range(days)))
    next_days = SimpleNamespace(active=active, visitors=visitors)
    figures = SimpleNamespace(tracked=tracked, next_days=next_days)
    manifest = SimpleNamespace(counts={"visitors.exposures": 800})
    return SimpleNamespace(together=figures, versions={}, confidence=0.95), manifest


def test_the_plan_is_that_of_the_normal_approximation():
    clicks, active = plan.bases(*outcome())
    assert clicks.value == 0.1 and clicks.visitors == 80 and clicks.variance == pytest.approx(800 * 0.005**2, rel=1e-6)
    assert active.value == 0.3 and active.visitors == 100 and active.variance == pytest.approx(0.21)
    (size,) = plan.sizes(active, (0.5, 0.3), (14,), 0.95)
    error = math.sqrt(0.21 / 700 + 0.21 / 420)
    quantiles = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert size.visitors == 1120 and size.effect == pytest.approx(quantiles * error)
    assert size.relative == pytest.approx(size.effect / 0.3)
    visitors, days = plan.needed(active, (0.5, 0.3), size.relative, 0.95)
    assert (visitors == pytest.approx(1400, abs=1) and days == 14) or days == 15


def test_wals_experiment_reads_an_outcome(tmp_path, capsys):
    from pipeline.demo.lists.deeds import Site
    from pipeline.demo.lists.habits import Habits
    from tests.support.outcomes import NAME, measured

    lists = write_world(tmp_path, 60, 30, 4)
    events, _ = simulated(lists, Habits(), 3, 1, Site(NAME, catalogue=["c1", "c2"]))
    write_export(tmp_path, events)
    made = settings(tmp_path)
    measured(made)
    variants = {"long": {"share": 0.5}, "short": {"share": 0.5}}
    config = tmp_path / "wals.yaml"
    tree = {"outcome_dir": str(tmp_path / "outcome"), "experiment": {"name": "length", "variants": variants}}
    config.write_text(yaml.safe_dump(tree))
    capsys.readouterr()
    assert cli.run(experiment.main, ["--config", str(config), "--effect", "0.2"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "clicks per exposure" in printed and "active visitors" in printed
    assert "a relative effect of 20.0% between long and short is found with a power of 80 % after" in printed
    assert "set experiment.planned_visitors to" in printed
    assert cli.run(experiment.main, ["--config", str(config), "--effect", "-1"]) != 0
    assert "--effect -1 must be above 0" in capsys.readouterr().err
    config.write_text(yaml.safe_dump({"outcome_dir": str(tmp_path / "outcome")}))
    assert cli.run(experiment.main, ["--config", str(config)]) != 0
    assert "the config has no experiment; set experiment.name" in capsys.readouterr().err


def test_an_outcome_without_figures_is_one_line():
    with pytest.raises(plan.UserError, match="has neither clicks nor active visitors"):
        plan.bases(Outcome(confidence=0.95), SimpleNamespace(counts={}))
