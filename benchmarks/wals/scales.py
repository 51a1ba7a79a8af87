"""Compare numbers of the data that lambda could follow, by the figures of `benchmarks.wals.defaults`.

    python -m benchmarks.wals.scales [--write]

defaults.json has recall@20 and NDCG@20 of each data set at several lambdas. The loss of a lambda is how much their sum
is lower than the greatest on the data set, as a share of it, by linear interpolation over the logarithm of lambda.

A rule is lambda = c x^p, where x is a number that describes the data; one lambda for all has p = 0. c and p are those
of the least mean loss over all kinds of data but one, and the loss counts on the kind that was left out, since a rule
with two free numbers fits nine data sets too well. The three layouts of the sample are one kind. The rule of the code
was chosen with all of them in view, so its loss is not one on data that it does not know.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.support import machine
from configs.settings import TrainingSettings
from trainer.als import regularization

LAMBDA = "regularization_coeff"
NUMBERS: dict[str, Callable[[dict[str, int]], float]] = {
    "one for all": lambda size: 1.0,
    "items": lambda size: size["items"],
    "visitors": lambda size: size["visitors"],
    "pairs": lambda size: size["pairs"],
    "visitors per item": lambda size: size["pairs"] / size["items"],
    "items per visitor": lambda size: size["pairs"] / size["visitors"],
    "pairs per cell": lambda size: size["pairs"] / size["items"] / size["visitors"],
}
SCALES, POWERS = np.geomspace(0.5, 8, 65), np.linspace(-1, 1, 81)  # of c, at the geometric mean of x; of p


def curve(rows: list[dict[str, Any]], default: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the lambdas of a data set's rows, ascending, and the sums of recall and NDCG."""
    sums = {row["value"] or default: row["recall"] + row["ndcg"] for row in rows if row["setting"] in ("", LAMBDA)}
    return np.log(sorted(sums)), np.array([sums[value] for value in sorted(sums)])


def automatic(size: dict[str, int]) -> float:
    """Return the lambda of the code."""
    training = TrainingSettings()
    shape = size["visitors"], size["items"]
    return regularization.automatic(shape, size["pairs"], training.unobserved_weight, training.frequency_exponent)


def compare(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each rule's loss on each data set, the mean loss over kinds of data, and its power."""
    names, sizes = list(found["sizes"]), list(found["sizes"].values())
    kinds = np.array([name.split(",")[0] if name.startswith("sample") else name for name in names])
    weights = np.array([1 / np.count_nonzero(kinds == kind) for kind in kinds])
    curves = [
        curve([row for row in found["rows"] if row["data"] == name], automatic(size))
        for name, size in found["sizes"].items()
    ]

    def losses(ridges: np.ndarray) -> np.ndarray:
        """Return float64 [data, tries] of lambdas."""
        parts = zip(np.log(ridges), curves, strict=True)
        return np.array([1 - np.interp(values, grid, sums) / sums.max() for values, (grid, sums) in parts])

    ridges = np.array([[automatic(size)] for size in sizes])
    rules: list[dict[str, Any]] = [{"rule": "the default", "power": None, "losses": losses(ridges)[:, 0]}]
    for name, number in NUMBERS.items():
        x = np.log([number(size) for size in sizes])
        tries = list(itertools.product(SCALES, POWERS if x.any() else [0.0]))
        table = losses(np.array([c * np.exp(p * (x - x.mean())) for c, p in tries]).T)
        out = [table[place, np.argmin((weights * (kinds != kind)) @ table)] for place, kind in enumerate(kinds)]
        rules.append({"rule": name, "power": float(tries[int(np.argmin(weights @ table))][1]), "losses": np.array(out)})
    for rule in rules:
        rule["mean"] = float(np.average(rule["losses"], weights=weights))
        rule["losses"] = dict(zip(names, rule["losses"].tolist(), strict=True))
    return rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/scales.json")
    arguments = parser.parse_args()
    found = json.loads((machine.RESULTS / "defaults.json").read_text())
    rules = compare(found)
    for rule in rules:
        cells = " ".join(f"{loss:6.3f}" for loss in rule["losses"].values())
        print(f"{rule['rule']:18s} {rule['mean']:.4f} {rule['power'] or 0:+.2f}  {cells}")
    if arguments.write:
        machine.save("scales", {"seed": found["seed"], "looks_at_test": found["looks_at_test"], "rules": rules})


if __name__ == "__main__":
    main()
