"""Off-policy estimates of an outcome: plain loops over exposures, and the truth of simulated clicks."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import ExplorationSettings
from pipeline.demo.lists.deeds import List
from ranking.experiments import exploration
from ranking.heap import Best
from tests.support import manifests
from tests.support.outcomes import event, measured, ms, settings, shown, write_export, write_predictions, write_world

VISITORS, ITEMS, LENGTH, SHARE = 400, 30, 4, 0.5
CLICKS = np.linspace(0.1, 0.7, ITEMS)  # of each item, at the first rank
EXAMINED = (1.0, 0.7, 0.5, 0.4)


class World:
    """Lists with explored slots that were shown twice; two other versions: unexplored, and with two ranks swapped."""

    def __init__(self, root):
        self.base = write_world(root, VISITORS, ITEMS, LENGTH)
        dataset, self.root = Dataset(str(root / "dataset")), root
        indices = np.array([[int(item[1:]) for item in one.items] for one in self.base])
        best = Best(indices, np.ones(indices.shape, np.float32))
        keys = exploration.keys(0, "2024-01-01", [one.visitor.encode() for one in self.base])
        pool = np.arange(20, ITEMS)
        self.found = exploration.explore(best, pool, SparseRows.empty(VISITORS), SHARE, keys)
        lists = [
            List(one.visitor, one.rule, [f"c{item}" for item in row])
            for one, row in zip(self.base, self.found.best.indices.tolist(), strict=True)
        ]
        self.lists = lists
        (root / "predictions" / "manifest.json").unlink()
        (root / "predictions").rename(root / "unused")
        write_predictions(root / "predictions", lists, dataset, LENGTH)
        self.add_propensities()
        write_predictions(root / "plain", self.base, dataset, LENGTH, model_version="plain")
        swapped = [List(one.visitor, one.rule, [*one.items[1::-1], *one.items[2:]]) for one in self.base[5:]]
        write_predictions(root / "swapped", swapped, dataset, LENGTH, model_version="swapped")
        self.events = self.simulated()
        write_export(root, self.events)

    def add_propensities(self):
        path = self.root / "predictions"
        (file,) = path.glob("*.jsonl")
        lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        for line, shares in zip(lines, self.found.propensity.tolist(), strict=True):
            for entry, share in zip(line["recommendations"], shares, strict=True):
                entry["propensity"] = share
        file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        manifest = orjson.loads((path / "manifest.json").read_bytes())
        manifest["files"] = {name: each.model_dump() for name, each in manifests.describe_below(path, file).items()}
        manifest["settings"]["exploration"] = ExplorationSettings(share=SHARE).model_dump()
        (path / "manifest.json").write_bytes(orjson.dumps(manifest))

    def simulated(self):
        rng, rows = np.random.default_rng(5), []
        for one in self.lists:
            for day in (2, 3):
                listed = [shown(item, rank) for rank, item in enumerate(one.items, 1)]
                rows.append(event(one.visitor, "view_item_list", ms(day, 1), *listed))
                for rank, item in enumerate(one.items):
                    if rng.random() < CLICKS[int(item[1:])] * EXAMINED[rank]:
                        rows.append(event(one.visitor, "select_item", ms(day, 1.1 + rank / 100), shown(item)))
        return rows

    def compared(self, name: str, **outcome):
        made = settings(self.root, compare=str(self.root / name), **outcome)
        manifest, figures = measured(made)
        return manifest, figures.compared


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("compared"))


def plainly(world, other: list[List]) -> dict[str, float]:
    """Return IPS, SNIPS and the support by loops over the exposures and the clicks."""
    clicked = {(row["user_pseudo_id"], row["event_date"], row["items"][0]["item_id"])
               for row in world.events if row["event_name"] == "select_item"}  # fmt: skip
    shares = {(one.visitor, item): share
              for one, row in zip(world.lists, world.found.propensity.tolist(), strict=True)
              for item, share in zip(one.items, row, strict=True)}  # fmt: skip
    listed = {one.visitor: one.items for one in other}
    rounds, weights, rewards = 0, 0.0, 0.0
    for row in world.events:
        visitor = row["user_pseudo_id"]
        if row["event_name"] == "view_item_list" and visitor in listed:
            for rank, item in enumerate(row["items"]):
                weight = (listed[visitor][rank] == item["item_id"]) / shares[visitor, item["item_id"]]
                rounds, weights = rounds + 1, weights + weight
                rewards += weight * ((visitor, row["event_date"], item["item_id"]) in clicked)
    return {"rounds": rounds, "ips": rewards / rounds, "snips": rewards / weights, "support": weights / rounds}


def truth(lists: list[List]) -> float:
    return float(np.mean([CLICKS[int(item[1:])] * EXAMINED[rank]
                          for one in lists for rank, item in enumerate(one.items)]))  # fmt: skip


def test_estimates_are_those_of_plain_loops_and_near_the_truth(world):
    manifest, found = world.compared("plain")
    expected = plainly(world, world.base)
    assert found.rounds == expected.pop("rounds") == VISITORS * LENGTH * 2 and found.version == "plain"
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value)
    assert found.support.value == pytest.approx(1, abs=0.1)
    right = truth(world.base)
    for estimate in (found.ips, found.snips, found.dr):
        assert estimate.low < right < estimate.high
    assert found.dr.high - found.dr.low < found.ips.high - found.ips.low
    assert not found.shown.low < right < found.shown.high  # the explored items are clicked more
    assert not any("could be shown in their slots" in warning for warning in manifest.warnings)


def test_slots_that_another_version_fills_otherwise_are_named(world):
    other = [List(one.visitor, one.rule, [*one.items[1::-1], *one.items[2:]]) for one in world.base[5:]]
    manifest, found = world.compared("swapped")
    expected = plainly(world, other)
    assert found.rounds == expected.pop("rounds") == (VISITORS - 5) * LENGTH * 2
    assert found.ips.value == pytest.approx(expected["ips"]) and 0.4 < found.support.value < 0.6
    assert found.dr.low < truth(other) < found.dr.high  # by the other ranks
    assert manifest.excluded["compared.skipped.slot_not_in_the_other_lists"] == 5 * LENGTH * 2
    assert any("items of the version that is compared could be shown in their slots" in w for w in manifest.warnings)


def test_what_cannot_be_compared_is_one_line(world):
    with pytest.raises(UserError, match="has lists of an experiment or with exploration; predict without them"):
        world.compared("predictions")
    with pytest.raises(UserError, match="were made with exploration, so that nothing was shown at random"):
        world.compared("plain", predictions=(str(world.root / "swapped"),))
    with pytest.raises(UserError, match="not a finished"):
        world.compared("nowhere")
