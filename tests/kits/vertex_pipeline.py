"""The night's pipeline compiled by kfp, and run night by night by kfp's local runner: `make vertex-pipeline-test`.

Runs in kfp's environment; the steps run in the project's own (WALS_PYTHON). kfp's SubprocessRunner has no image, so it
refuses components that are containers. Here the clone and its environment are the image, and the refusal is lifted;
the order of the tasks, their parameters and outputs, and the processes are kfp's.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from kfp import compiler, local
from kfp.local import subprocess_task_handler
from kfp.local.orchestrator import task_executor

from deploy.vertex_pipeline import pipeline

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("WALS_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
# kfp warns of each image without "python" in its name, and of the sizes of machines, which its local runner ignores.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
DAYS = ["2024-01-05", "2024-01-06", "2024-01-07"]


def test_the_file_in_the_repository_is_what_kfp_compiles(tmp_path):
    """`make vertex-pipeline` writes it."""
    compiler.Compiler().compile(pipeline.night, str(tmp_path / "night.yaml"))
    assert (tmp_path / "night.yaml").read_text() == pipeline.TARGET.read_text()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("nights")
    flags = ["--visitors", "120", "--items", "50", "--days", "7", "--layouts", "ga4"]
    wals("sample", "--output_dir", str(root / "export"), *flags)
    table(root).rename(root / "late")
    return root


def table(root: Path) -> Path:
    """Return the file of the last day, which comes late."""
    return root / "export" / "ga4" / f"events_{DAYS[2].replace('-', '')}.ndjson.gz"


@pytest.fixture(autouse=True)
def runner(root, monkeypatch):
    """kfp's local runner with the project's `python`, as the image has it."""
    refusal = "validate_not_container_component"
    monkeypatch.setattr(subprocess_task_handler.SubprocessTaskHandler, refusal, lambda self, command: None)
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.chdir(ROOT)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root / "kfp"), raise_on_error=True)


def wals(*words: str) -> None:
    subprocess.run([PYTHON, "-m", "wals", *words], cwd=ROOT, check=True)


def configure(root: Path, directory: str, **nightly) -> str:
    """Write the config of the nights, and return its path."""
    tree = {
        "source": {"kind": "ga4", "input": str(root / "export" / "ga4" / "events_*"), "window_days": 4},
        "split": {"kind": "last_n"},
        "training": {"embedding_dimension": 8, "max_sweeps": 6},
        "evaluation": {"k": [20], "baselines": ["popularity"], "resamples": 100},
        "prediction": {"formats": ["text"]},
        "nightly": {"directory": str(root / directory), "beats": [], "require": ["recall@20>=0.05"]} | nightly,
        "beam": {"runner": "FnApiRunner"},
    }
    path = root / f"{directory}.json"
    path.write_text(json.dumps(tree))
    return str(path)


def live(root: Path) -> str:
    alias = json.loads((root / "nights" / "live.json").read_text())
    return f"{alias['live']['date']}.{alias['live']['attempt']}"


def names(run: Path) -> set[str]:
    """Return the files of a run; those of TensorBoard without time and process id."""
    files = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    return {name.partition(".tfevents.")[0] for name in files}


def test_a_night_has_the_files_and_the_lists_of_wals_night(root):
    pipeline.night(config=configure(root, "nights", refit=True), date=DAYS[0])
    assert live(root) == f"{DAYS[0]}.1"
    wals("night", "--config", configure(root, "others", refit=True), "--date", DAYS[0])
    ours, theirs = (root / name / "runs" / DAYS[0] / "1" for name in ("nights", "others"))
    assert names(ours) == names(theirs) and len(names(ours)) > 40
    (lists,) = (ours / "predictions").glob("*.txt")
    assert lists.read_bytes() == (theirs / "predictions" / lists.name).read_bytes() != b""


def test_the_same_night_again_changes_nothing(root):
    before = {path: path.stat().st_mtime_ns for path in (root / "nights" / "runs").rglob("*-of-*")}
    pipeline.night(config=configure(root, "nights", refit=True), date=DAYS[0])
    assert before == {path: path.stat().st_mtime_ns for path in (root / "nights" / "runs").rglob("*-of-*")}
    assert before and live(root) == f"{DAYS[0]}.1"


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Return the seconds that kfp waited before each retry; it does not wait for them."""
    seconds: list[float] = []
    monkeypatch.setattr(task_executor.time, "sleep", seconds.append)
    return seconds


def test_a_gate_that_fails_ends_the_pipeline_and_a_second_run_continues(root, waits, capfd):
    with pytest.raises(RuntimeError, match="evaluate"):
        pipeline.night(config=configure(root, "nights", require=["recall@20>=0.99"]), date=DAYS[1])
    assert live(root) == f"{DAYS[0]}.1" and waits == [600, 600]
    assert capfd.readouterr().out.count("evaluate: done already") == 2, "a retry repeats the answer"
    pipeline.night(config=configure(root, "nights"), date=DAYS[1])
    assert live(root) == f"{DAYS[1]}.1" and "preprocess: done already" in capfd.readouterr().out


def test_a_night_begins_once_its_table_is_there(root, waits, monkeypatch):
    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            (root / "late").rename(table(root))

    monkeypatch.setattr(task_executor.time, "sleep", wait)
    pipeline.night(config=configure(root, "nights"), date=DAYS[2])
    assert waits == [3600, 3600] and live(root) == f"{DAYS[2]}.1"
