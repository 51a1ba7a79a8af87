"""Clicks with and without a rest for items that were shown and not clicked, on made logs whose truth is known.

    python -m benchmarks.pipeline.resting [--visitors 1000]

The chance of a click on an item is the visitor's taste for it times the examination of its rank. A model knows tastes
with an error, and shows the ten items that it takes for the best. Visitors come on every second day for four weeks; an
item that was clicked is left out of later lists, and others rest by the files and the rule of wals predict. The clicks
per exposure are true expectations, those of the tastes, in the last two weeks.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from artifacts.exposures.unclicked import Resting
from artifacts.sparse_rows import SparseRows
from benchmarks.support import machine
from pipeline.demo.lists.habits import Habits
from tests.support.exposures import written

ITEMS, LENGTH, DAYS, COUNTED = 200, 10, 28, 14
WEIGHTS = (0.0, 0.2, 0.25, 0.34, 0.5)
ERRORS = (0.5, 1.0, 2.0, 4.0)  # of the model, as standard deviations of the logarithm of a taste, whose own is 1
HALF_LIFE_DAYS = 7.0
_MEAN = 0.05  # taste


class Logs:
    """Exposures and clicks of one model's visitors."""

    def __init__(self, visitors: int, error: float, seed: int):
        self.rng = np.random.default_rng(seed)
        tastes = self.rng.normal(size=(visitors, ITEMS))
        self.truth = np.minimum(_MEAN * np.exp(tastes - 0.5), 1)
        self.scores = tastes + error * self.rng.normal(size=tastes.shape)
        self.shown = np.zeros((visitors, ITEMS))  # without a click, with decay
        self.clicked = np.zeros((visitors, ITEMS), bool)

    def day(self, weight: float, root: Path) -> np.ndarray:
        """Show the lists of a day; return the expected clicks per exposure of each visitor who comes, float64."""
        came = np.flatnonzero(self.rng.random(len(self.truth)) < Habits().comes)
        left_out = self.clicked[came] | _resting(self.shown[came], weight, root)
        lists = np.argsort(np.where(left_out, -np.inf, self.scores[came]), axis=1)[:, : -LENGTH - 1 : -1]
        chance = np.take_along_axis(self.truth[came], lists, 1) * np.array(Habits().examination)
        clicks = self.rng.random(chance.shape) < chance
        self.shown *= 2 ** (-1 / HALF_LIFE_DAYS)
        self.shown[came[:, None], lists] += 1
        self.clicked[came[:, None], lists] |= clicks
        self.shown[self.clicked] = 0
        return chance.mean(1)


def _resting(shown: np.ndarray, weight: float, root: Path) -> np.ndarray:
    """Return what rests, bool [visitors, items], by the files that an outcome writes and a prediction reads."""
    if not weight:
        return np.zeros(shown.shape, bool)
    shutil.rmtree(root, ignore_errors=True)
    visitors, items = np.nonzero(shown)
    names = [b"v%d" % number for number in range(len(shown))]
    rows = [(names[v], b"c%d" % i, n) for v, i, n in zip(visitors, items, shown[visitors, items], strict=True)]
    resting = Resting.read(written(root, rows), weight, [b"c%d" % number for number in range(ITEMS)])
    rests = resting.added_to(SparseRows.empty(len(shown)), names)
    found = np.zeros(shown.shape, bool)
    found[np.repeat(np.arange(len(shown)), rests.lengths), rests.indices] = True
    return found


def main() -> None:
    """Compare the weights for each error of the model, and write benchmarks/results/resting.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=1000)
    args = parser.parse_args()
    root, rows = machine.output() / "resting", []
    for error in ERRORS:
        row: dict[str, float] = {"error": error}
        for weight in WEIGHTS:
            logs = Logs(args.visitors, error, 1)
            ctrs = np.concatenate([logs.day(weight, root) for _ in range(DAYS)][-COUNTED:])
            row[f"ctr_{weight:g}"] = float(ctrs.mean())
            row[f"error_{weight:g}"] = float(ctrs.std() / np.sqrt(len(ctrs)))
        rows.append(row)
        print({name: round(value, 5) for name, value in row.items()}, flush=True)
    shutil.rmtree(root, ignore_errors=True)
    size = {"visitors": args.visitors, "items": ITEMS, "days": DAYS, "counted_days": COUNTED}
    machine.save("resting", {**size, "half_life_days": HALF_LIFE_DAYS, "weights": WEIGHTS, "rows": rows})


if __name__ == "__main__":
    main()
