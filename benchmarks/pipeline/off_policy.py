"""Our off-policy estimates next to those of Open Bandit Pipeline, on its logged data and on made rounds.

    pip download --no-deps obp==0.4.1 && unzip obp-*.whl -d DIR
    python -m benchmarks.pipeline.off_policy --obp DIR

obp (Apache License 2.0) has 10,000 rounds each of two policies of ZOZOTOWN, from the Open Bandit Dataset (CC BY 4.0,
Saito et al. 2021, arXiv:2008.07146). They are read from there; the tracked JSON has estimates alone. Its estimators are
imported as they are, next to an empty `torch`, which they need for tensors only. The rounds of the tests are made by
their seed.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow.csv

from benchmarks.support import machine
from ranking.experiments import off_policy
from tests.support.rounds import Rounds, made

POSITIONS = 3
SEEDS = (0, 1, 2)


def estimators(root: Path) -> types.ModuleType:
    """Return the module of obp's estimators, without what it imports for learning."""
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
    sys.modules["torch"] = torch
    for name in ("obp", "obp.ope"):
        package = types.ModuleType(name)
        package.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = package
    import importlib

    return importlib.import_module("obp.ope.estimators")


def theirs(module: types.ModuleType, rounds: Rounds) -> dict[str, float]:
    """Return obp's estimates."""
    given = {
        "reward": rounds.reward,
        "action": rounds.action,
        "position": rounds.position,
        "pscore": rounds.pscore,
        "action_dist": rounds.policy,
    }
    predicted = {"estimated_rewards_by_reg_model": rounds.predicted}
    return {
        "ips": float(module.InverseProbabilityWeighting().estimate_policy_value(**given)),
        "snips": float(module.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given)),
        "dr": float(module.DoublyRobust().estimate_policy_value(**given, **predicted)),
    }


def ours(rounds: Rounds) -> dict[str, float]:
    """Return our estimates."""
    return {name: float(value) for name, value in off_policy.estimate(rounds.sums())._asdict().items()}


def logged(root: Path, behaviour: str, other: str) -> Rounds:
    """Return the rounds of one policy, to be judged as those of another, which shows items as often as its own log."""
    tables = {name: _read(root / f"obp/dataset/obd/{name}/all/all.csv") for name in (behaviour, other)}
    items = 1 + max(int(table["item_id"].max()) for table in tables.values())
    shares = np.zeros((items, POSITIONS))
    np.add.at(shares, (tables[other]["item_id"], tables[other]["position"]), 1)
    shares /= shares.sum(0)
    rows = tables[behaviour]
    clicks, shown = np.zeros((items, POSITIONS)), np.zeros((items, POSITIONS))
    np.add.at(shown, (rows["item_id"], rows["position"]), 1)
    np.add.at(clicks, (rows["item_id"], rows["position"]), rows["click"])
    rates = (clicks + 1) / (shown + 100)
    number = len(rows["click"])
    policy, predicted = (np.repeat(table[None], number, 0) for table in (shares, rates))
    return Rounds(rows["click"], rows["item_id"], rows["position"], rows["propensity_score"], policy, predicted)


def _read(path: Path) -> dict[str, np.ndarray]:
    names = ["item_id", "position", "click", "propensity_score"]
    table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(include_columns=names))
    columns = {name: table[name].to_numpy() for name in names}
    return columns | {"position": columns["position"] - 1}


def main() -> None:
    """Compare on all logs, and write benchmarks/results/off_policy.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--obp", type=Path, required=True, metavar="DIR", help="directory with the package obp")
    args = parser.parse_args()
    module, rows = estimators(args.obp), []
    logs = {
        "random judged as bts": lambda: logged(args.obp, "random", "bts"),
        "bts judged as random": lambda: logged(args.obp, "bts", "random"),
    } | {f"made, seed {seed}": lambda seed=seed: made(seed) for seed in SEEDS}
    for name, log in logs.items():
        rounds = log()
        found, expected = ours(rounds), theirs(module, rounds)
        difference = max(abs(found[key] - expected[key]) for key in expected)
        rows.append({"log": name, "rounds": len(rounds.reward), "obp": expected, "difference": difference})
        print(f"{name:24} {len(rounds.reward):6,} rounds {expected} differs by {difference:.1e}")
    machine.save("off_policy", {"obp": "0.4.1", "rows": rows})


if __name__ == "__main__":
    main()
