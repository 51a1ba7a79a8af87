"""A dataset against the last good one."""

import json

import pytest

from configs import cli
from configs.errors import GateError, UserError
from configs.settings import ValidationSettings
from pipeline import validate
from pipeline.dataset import comparison
from tests.support.exports import make_dataset, reads, write_ndjson


def sessions(visitors: int, items: int = 4, dwell_ms: int = 1000) -> list[dict]:
    return [reads(f"v{n}", {f"c{m}": dwell_ms for m in range(items)}) for n in range(visitors)]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    make_dataset(root / "dataset", write_ndjson(root / "in", sessions(10)))
    return root / "dataset"


def test_a_dataset_that_is_like_the_last_one_says_what_moved(tmp_path, good, capsys):
    glob = write_ndjson(tmp_path / "in", sessions(14, items=3))
    made = make_dataset(tmp_path / "dataset", glob, validation={"baseline": str(good)})
    assert made["compared"]["users"] == [10, 14] and made["compared"]["interactions"] == [40, 42]
    assert made["compared"]["baseline"] == str(good)
    assert "+40.0%" in capsys.readouterr().out


def test_one_that_is_not_never_takes_its_place(tmp_path, good):
    glob = write_ndjson(tmp_path / "in", sessions(16, items=2, dwell_ms=600))
    with pytest.raises(GateError) as caught:
        make_dataset(tmp_path / "dataset", glob, validation={"baseline": str(good)}, source={"min_dwell_ms": 1})
    message = str(caught.value)
    assert "users 10 -> 16 (+60%; validation.users 0.5)" in message
    assert "items 4 -> 2 (-50%" in message and "median 1,000 -> 600 (-40%" in message
    assert "interactions" not in message.split("settings that")[0], "40 -> 32 is within its bound"
    assert "settings that differ: source.min_dwell_ms." in message
    assert caught.value.status == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "nothing is left behind"


@pytest.mark.parametrize(("then", "now", "moved"), [(10, 15, False), (15, 10, False), (10, 16, True), (16, 10, True)])
def test_bounds_are_factors_either_way(then, now, moved):
    figures = {"users": then, "items": 1, "interactions": 1, "median": None}
    found = list(comparison.moved_figures(figures, figures | {"users": now}, ValidationSettings()))
    assert bool(found) == moved
    assert not list(comparison.moved_figures(figures, figures | {"users": 99}, ValidationSettings(users=None)))


def test_medians_of_counts_are_told_apart():
    figures = {"users": 1, "items": 1, "interactions": 1, "median": 0.9}
    (line,) = comparison.moved_figures(figures, figures | {"median": 0.25}, ValidationSettings())
    assert line.startswith("median 0.9 -> 0.25 (")


def test_a_figure_that_was_none_or_is_none_has_moved():
    figures = {"users": 0, "items": 5, "interactions": 1, "median": 7.0}
    found = list(comparison.moved_figures(figures, figures | {"users": 3, "items": 0}, ValidationSettings()))
    assert [line.split()[0] for line in found] == ["users", "items"]


def test_the_command_compares_what_is_there(tmp_path, good, capsys):
    config, other = tmp_path / "config.yaml", tmp_path / "other"
    config.write_text(json.dumps({"dataset_dir": str(good)}))
    make_dataset(other, write_ndjson(tmp_path / "in", sessions(30)))
    assert cli.run(validate.main, ["--config", str(config), "--baseline", str(good)]) == 0
    assert cli.run(validate.main, ["--config", str(config), "--baseline", str(other)]) == 3
    assert cli.run(validate.main, ["--config", str(config), "--baseline", str(tmp_path)]) == 2
    assert "is not a finished dataset" in capsys.readouterr().err


def test_a_baseline_that_is_gone_is_named_before_any_work(tmp_path):
    glob = write_ndjson(tmp_path / "in", sessions(3))
    with pytest.raises(UserError, match="nowhere is not a finished dataset"):
        make_dataset(tmp_path / "dataset", glob, validation={"baseline": str(tmp_path / "nowhere")})
