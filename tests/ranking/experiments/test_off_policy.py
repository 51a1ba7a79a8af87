"""Off-policy estimates are those of Open Bandit Pipeline, and of plain loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ranking.experiments import off_policy
from tests.support.rounds import made

RESULTS = json.loads((Path(__file__).parents[3] / "benchmarks/results/off_policy.json").read_text())["rows"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_estimates_are_those_of_open_bandit_pipeline(seed):
    (row,) = [row for row in RESULTS if row["log"] == f"made, seed {seed}"]
    found = off_policy.estimate(made(seed).sums())._asdict()
    assert {name: float(found[name]) for name in row["obp"]} == pytest.approx(row["obp"], abs=1e-9, rel=0)


def test_they_are_those_of_the_library_on_its_own_logs():
    logs = [row for row in RESULTS if "judged as" in row["log"]]
    assert [row["rounds"] for row in logs] == [10_000, 10_000]
    assert all(row["difference"] <= 1e-9 for row in logs)


def test_estimates_are_those_of_plain_loops():
    rounds = made(7)
    ips, weights, dr = [], [], []
    for n, (a, p) in enumerate(zip(rounds.action, rounds.position, strict=True)):
        weight = rounds.policy[n, a, p] / rounds.pscore[n]
        expected = sum(rounds.policy[n, b, p] * rounds.predicted[n, b, p] for b in range(6))
        ips.append(weight * rounds.reward[n])
        weights.append(weight)
        dr.append(expected + weight * (rounds.reward[n] - rounds.predicted[n, a, p]))
    found = off_policy.estimate(rounds.sums())
    assert found.ips == pytest.approx(np.mean(ips)) and found.dr == pytest.approx(np.mean(dr))
    assert found.snips == pytest.approx(sum(ips) / sum(weights)) and found.support == pytest.approx(np.mean(weights))


def test_without_rounds_there_is_no_estimate():
    nothing = np.zeros(())
    assert all(np.isnan(value) for value in off_policy.estimate(off_policy.Sums(*[nothing] * 4)))
