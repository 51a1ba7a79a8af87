"""Google's public data by the shipped configs, on extracts: the README's commands, the figures of the page."""

from __future__ import annotations

import re
import shlex

import pytest

from artifacts.manifests import DatasetManifest, PredictionsManifest
from artifacts.paths import Dataset
from pipeline import batch_predict, preprocess
from tests.support import documents
from tests.support.documents import ROOT
from tests.support.exports import SHARED
from trainer import task

pytestmark = [
    pytest.mark.usefixtures("without_graphs"),
    pytest.mark.skipif(not (SHARED / "google").is_dir(), reason="Google's public data is not here (WALS_SHARED_DATA)"),
]
EXTRACTS = {"ga4": "ga4_events.parquet", "ga360": "ga360_sessions_20170801.parquet"}
PAGE = (ROOT / "docs" / "public-data.md").read_text(encoding="utf-8")
EXPECTED = {
    preset: tuple(int(number.replace(",", "")) for number in numbers)
    for preset, *numbers in re.findall(r"^\|.*\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
}


def figures(dataset_dir: str) -> tuple[int, int, int]:
    counts = DatasetManifest.read(Dataset(dataset_dir).manifest).counts
    return counts.interactions, counts.users, counts.items


def commands(page: str) -> list[tuple[str, str, list[str]]]:
    """Return the make target, config and flags of each command that a page prints for the public GA4 data."""
    blocks = [block for block in documents.blocks(ROOT / page) if "make predict CONFIG=configs/public" in block.text]
    (block,) = blocks
    found = []
    for _, target, config, *arguments in block.commands():
        flags = [flag for argument in arguments for flag in shlex.split(argument.removeprefix("ARGS="))]
        found.append((target, config.removeprefix("CONFIG="), flags))
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/public-data.md"])
def test_both_pages_print_the_same_commands(page):
    assert [target for target, *_ in commands(page)] == ["pipeline", "train", "predict"]
    assert commands(page) == commands("README.md")


def test_the_commands_of_the_readme_on_the_ga4_extract(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    places = [f"{name}={tmp_path / name}" for name in ("dataset_dir", "model_dir", "predictions_dir")]
    own = [word for place in places for word in ("--set", place)]
    programs = {"pipeline": preprocess.main, "train": task.main, "predict": batch_predict.main}
    for target, config, flags in commands("README.md"):
        if target == "pipeline":  # files in place of the tables
            assert flags == ["--set", "bigquery.project=PROJECT"]
            flags = ["--input", str(SHARED / "google" / EXTRACTS["ga4"])]
        quick = ["--set", "training.max_sweeps=2"] if target == "train" else []
        programs[target](["--config", config, *own, *flags, *quick])
    assert figures(str(tmp_path / "dataset_dir")) == EXPECTED["ga4_shop"]
    manifest = PredictionsManifest.read(str(tmp_path / "predictions_dir" / "manifest.json"))
    assert manifest.counts["recommendations"] == 10 * EXPECTED["ga4_shop"][1]


@pytest.mark.parametrize("preset", ["ga360_shop", "ga360_pages"])
def test_the_ga360_config_on_the_extract(tmp_path, monkeypatch, preset):
    monkeypatch.chdir(ROOT)
    flags = ["--input", str(SHARED / "google" / EXTRACTS["ga360"]), "--dataset_dir", str(tmp_path / "out")]
    preprocess.main(["--config", "configs/public_ga360.yaml", *flags, "--set", f"source.preset={preset}"])
    assert figures(str(tmp_path / "out")) == EXPECTED[preset]
