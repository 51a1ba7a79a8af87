"""The files that the pipeline writes by columns are, byte for byte, those of the slow path."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import preprocess
from pipeline.dataset.grouping import Sizes
from tests.support import slow_path
from tests.support.exports import PLAIN_RUNNER, settings
from trainer.inputs import dataset_rows as data

SHARDS = 3


def made_views(seed: int) -> list[tuple[bytes, bytes, int]]:
    """Make a long tail of visitors and items, pairs that repeat, dwells of zero, and an item that all view."""
    rng = random.Random(seed)
    views = [
        (b"v%d" % int(rng.expovariate(0.02)), b"c%d" % int(rng.expovariate(0.05)), rng.randrange(0, 90_000))
        for _ in range(3000)
    ]
    return views + [(b"v%d" % n, "hot ß".encode(), 1 + n) for n in range(150)]


@pytest.mark.parametrize("shared", [True, False], ids=["blocks in files", "blocks through the runner"])
def test_the_bytes_are_those_of_the_slow_path(tmp_path, monkeypatch, shared):
    if not shared:
        monkeypatch.setattr("pipeline.beam.options.shared_folder", lambda *_: None)
    check(tmp_path, made_views(7), "FnApiRunner")


def test_the_runner_of_the_tests_writes_the_same_bytes(tmp_path):
    for seed in (8, 9):  # 7 is FnApiRunner's; at the latest, the second has no graph
        (tmp_path / str(seed)).mkdir()
        check(tmp_path / str(seed), made_views(seed), PLAIN_RUNNER)
    assert (tmp_path / "9/out/transform/transform_fn/saved_model.pb").read_bytes() == b"no graph"


def check(tmp_path: Path, views: list[tuple[bytes, bytes, int]], runner: str) -> None:
    """Compare a dataset with that of the slow path."""
    (tmp_path / "in").mkdir()
    for part in range(3):
        names = ["visitorId", "contentId", "duration_ms"]
        columns = [pa.array(column) for column in zip(*views[part::3], strict=True)]
        pq.write_table(pa.table(columns, names), tmp_path / "in" / f"{part}.parquet", row_group_size=200)
    source = {"duration_column": "duration_ms"}
    sizes = Sizes(block=700, record=40, batch=100)
    sections = {
        "beam": {"runner": runner},
        "source": source,
        "dataset": {"shards": SHARDS},
        "rating": {"preset": "course"},
    }
    chosen = settings(tmp_path / "out", tmp_path / "in/*", "table", **sections)
    made = preprocess.preprocess(chosen, [], replace=False, sizes=sizes).model_dump(mode="json")

    pairs = slow_path.interactions(views)
    (tmp_path / "slow").mkdir()
    expected = slow_path.dataset(pairs, SHARDS, 40, tmp_path / "slow")
    found = {name: (tmp_path / "out" / name).read_bytes() for name in made["files"] if "_for_" in name}
    assets = tmp_path / "out/transform/transform_fn/assets"
    found |= {name: (assets / name).read_bytes() for name in ("vocab_users", "vocab_items")}
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name
    steps = made["steps"]
    assert steps["read"]["rows"] == len(views) and steps["combine"]["rows"] == steps["encode"]["rows"] == len(pairs)
    assert steps["group"]["rows"] == 2 * len(pairs)
    assert steps["write"]["bytes"] == sum(len(data) for name, data in expected.items() if "_for_" in name)
    paths = sorted(str(path) for path in (tmp_path / "out").glob("users_for_item-*"))
    sides = data.RowFiles(tuple(paths), made["counts"]["items"], made["counts"]["users"])
    assert sum(rows.entries for rows in sides) == len(pairs) == made["counts"]["interactions"]
