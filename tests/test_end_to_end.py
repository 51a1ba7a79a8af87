"""From export files to predictions, through the commands' own code."""

import csv
import gzip
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artifacts import factor_tables
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.settings import Settings, TrainingSettings
from pipeline import batch_predict
from pipeline.prediction.writers import textform
from tests.support import forkserver
from tests.support.exports import SHARED, event, make_dataset, needs_shared, ratings, reads, rejected, write_ndjson
from trainer import evaluate, task
from trainer.job import training_job

pytestmark = pytest.mark.usefixtures("without_graphs")

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
TRAINING = {"embedding_dimension": 4, "max_sweeps": 10, "regularization_coeff": 0.01, "seed": 3}


def train_and_predict(root: Path, training: dict | None = None, **prediction) -> dict[bytes, list[bytes]]:
    """Train on root/dataset, predict, read the text form back; check that JSON lines are the same."""
    names = {"dataset_dir": "dataset", "model_dir": "model", "predictions_dir": "predictions"}
    tree = {key: str(root / name) for key, name in names.items()}
    tree |= {"training": training or TRAINING, "prediction": prediction, "beam": {"runner": "FnApiRunner"}}
    settings = Settings.model_validate(tree)
    training_job.train(settings.training, settings.dataset_dir, settings.model_dir, replace=True)
    batch_predict.predict(settings, [], replace=True)
    found, same = {}, {}
    for path in sorted((root / "predictions").glob("predictions-*.txt")):
        found |= dict(textform.parse_line(line) for line in path.read_bytes().splitlines(keepends=True))
    for path in sorted((root / "predictions").glob("predictions-*.jsonl")):
        for line in path.read_text().split("\n")[:-1]:
            row = json.loads(line)
            same[row["visitorId"].encode()] = [item["contentId"].encode() for item in row["recommendations"]]
    assert found == same
    return found


def test_on_the_checkerboard_the_withheld_item_comes_first(tmp_path, capfd, caplog):
    """benfred/implicit's fixture: visitor and item fit where both are even or both are odd; one pair is withheld.

    And no log, no table, no name of a file and no manifest tells who the visitors are.
    """
    caplog.set_level(logging.INFO)
    size, rows, withheld = 20, [], {}
    for visitor in range(size):
        withheld[b"person%d" % visitor] = b"c%d" % ((visitor + 2) % size)
        items = {f"c{c}": 1000 for c in range(visitor % 2, size, 2) if c != (visitor + 2) % size}
        rows.append(reads(f"person{visitor}", items))
    make_dataset(tmp_path / "dataset", write_ndjson(tmp_path / "in", rows), rating={"kind": "binary"})
    found = train_and_predict(tmp_path, top_k=5)
    assert {visitor: given[0] for visitor, given in found.items()} == withheld
    seen = ratings(tmp_path / "dataset")
    assert not {(visitor, content) for visitor, given in found.items() for content in given} & set(seen)
    assert train_and_predict(tmp_path, top_k=5) == found  # one seed, one answer
    printed = capfd.readouterr()
    told = [printed.out, printed.err, caplog.text, *map(str, tmp_path.rglob("*"))]
    told += [path.read_text() for path in tmp_path.rglob("manifest.json")]
    assert caplog.text and not [text for text in told if "person" in text]


def test_stars_in_a_table_are_held_out_and_their_error_measured(tmp_path):
    """RMSE by the command, against the table's own stars and the factors' products."""
    rng, stars = np.random.default_rng(0), {}
    taste, kind = rng.random((60, 2)), rng.random((30, 2))
    for visitor, content in zip(*np.nonzero(rng.random((60, 30)) < 0.6), strict=True):
        stars[f"v{visitor}", f"c{content}"] = 1 + round(4 * float(taste[visitor] @ kind[content]) / 2, 2)
    lines = [f"{visitor},{content},{value}" for (visitor, content), value in stars.items()]
    (tmp_path / "stars.csv").write_text("visitorId,contentId,stars\n" + "\n".join(lines) + "\n")
    made = make_dataset(
        tmp_path / "dataset",
        tmp_path / "stars.csv",
        "table",
        source={"rating_column": "stars"},
        rating={"kind": "linear"},
        split={"kind": "random", "share": 0.25},
    )
    held = ratings(tmp_path / "dataset", "held_out")
    assert len(held) == made["split"]["held_out"] > 200
    assert held == pytest.approx({pair: stars[pair[0].decode(), pair[1].decode()] for pair in held}, rel=1e-6)
    assert not set(held) & set(ratings(tmp_path / "dataset"))
    training = TrainingSettings(embedding_dimension=2, max_sweeps=20, unobserved_weight=0, regularization_coeff=0.1)
    training_job.train(training, str(tmp_path / "dataset"), str(tmp_path / "model"), replace=False)
    config, out = tmp_path / "c.yaml", tmp_path / "e.json"
    config.write_text(json.dumps({"dataset_dir": str(tmp_path / "dataset"), "model_dir": str(tmp_path / "model")}))
    evaluate.main(["--config", str(config), "--output_json", str(out), "--require", "rmse<=0.25"])
    dataset, tables = Dataset(str(tmp_path / "dataset")), []
    for side, ids in (("user", dataset.vocab_users), ("item", dataset.vocab_items)):
        factors = factor_tables.read_table(str(tmp_path / "model" / "factors" / f"{side}_factors"))
        tables.append(dict(zip(Vocabulary.read(ids).ids, factors.astype(float), strict=True)))
    errors = [value - tables[0][visitor] @ tables[1][content] for (visitor, content), value in held.items()]
    found = json.loads(out.read_text())["systems"]
    assert found["WALS"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
    assert "rmse" not in found["popularity"] and "time-decayed popularity" not in found  # a table without times


def test_ids_survive_byte_for_byte_from_export_to_predictions(tmp_path):
    visitors = ["007", "trailing ", "ü→漢字", "a,b", "tab\there", "v" * 10_000]
    items = ["0001", "c ", "ß", "x,y,z", "tab\tthere", "c" * 10_000]
    rows = [event(v, c, 1000) for n, v in enumerate(visitors) for m, c in enumerate(items) if (n + m) % 3]
    make_dataset(tmp_path / "dataset", write_ndjson(tmp_path / "in.ndjson.gz", rows), "ga4")
    found = train_and_predict(tmp_path, top_k=2)
    expected = {
        v.encode(): {c.encode() for m, c in enumerate(items) if not (n + m) % 3} for n, v in enumerate(visitors)
    }
    assert {visitor: set(given) for visitor, given in found.items()} == expected


def command(root: Path, *more: str) -> list[str]:
    """Return the training command on root/dataset, with enough sweeps to be killed in."""
    config = root / "config.yaml"
    config.write_text("training: {embedding_dimension: 8, max_sweeps: 100, seed: 1}\n")
    paths = ["--dataset_dir", str(root / "dataset"), "--model_dir", str(root / "model")]
    return [sys.executable, "-m", "tests.support.quick_export", "trainer.task", "--config", str(config), *paths, *more]


def final_loss(root: Path) -> float:
    return json.loads((root / "model" / "manifest.json").read_text())["history"][-1]["loss"]


def test_a_training_that_was_killed_ends_with_the_same_loss(tmp_path):
    rows = [reads(f"v{v}", {f"c{(v * v + 3 * n) % 37}": 500 + 97 * n for n in range(9)}) for v in range(120)]
    make_dataset(tmp_path / "dataset", write_ndjson(tmp_path / "in", rows))
    with forkserver.Popen(
        command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | UNBUFFERED
    ) as process:
        for line in process.stdout:
            if line.startswith("sweep 8 "):  # three passes are in checkpoints
                process.kill()
                break
    assert not (tmp_path / "model" / "manifest.json").exists(), "killed before its end"
    done = forkserver.run(command(tmp_path), capture_output=True, text=True, check=True)
    assert "continuing after sweep" in done.stdout
    resumed = final_loss(tmp_path)
    task.main(command(tmp_path, "--replace")[4:])
    assert resumed == pytest.approx(final_loss(tmp_path), rel=1e-5)


@needs_shared
@pytest.mark.parametrize(
    ("kind", "glob", "visitor"),
    [("ga360", "ga360/ga_sessions_*", "fullVisitorId"), ("ga4", "ga4/events_*", "user_pseudo_id")],
)
def test_lastfm_gives_exactly_the_known_interactions(tmp_path, kind, glob, visitor):
    manifest = make_dataset(tmp_path / "dataset", SHARED / "lastfm" / glob, kind, rating={"preset": "course"})
    with gzip.open(SHARED / "lastfm" / "interactions.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    durations = {(r[visitor].encode(), r["contentId"].encode()): float(r["session_duration"]) for r in rows}
    assert len(durations) == 52_668
    counts = {name: manifest["counts"][name] for name in ("interactions", "users", "items", "rows_rejected")}
    assert counts == {"interactions": 52_668, "users": 1_880, "items": 4_489, "rows_rejected": 0}
    assert rejected(tmp_path / "dataset") == []
    ordered = sorted(durations.values())
    assert ordered[len(ordered) // 2 - 30] <= manifest["median"] <= ordered[len(ordered) // 2 + 30]
    expected = {pair: min(1.0, 0.3 * ms / manifest["median"]) for pair, ms in durations.items()}
    for side in ("items_for_user", "users_for_item"):
        assert ratings(tmp_path / "dataset", side) == pytest.approx(expected, rel=1e-6)


def test_the_commands_run_one_after_the_other(tmp_path):
    """Run the commands of `make run` on a smaller sample."""
    env = os.environ | {"COLUMNS": "100"}

    def run(*words: str) -> str:
        start = subprocess if words[0] == "pipeline.batch_predict" else forkserver  # one that imports all by itself
        done = start.run([sys.executable, "-m", *words], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    config = ["--config", "configs/local.yaml", "--dataset_dir", str(tmp_path / "dataset")]
    model = ["--model_dir", str(tmp_path / "model")]
    catalogue = str(tmp_path / "export" / "catalogue.csv")
    run("pipeline.sample", "--visitors", "200", "--items", "80", "--output_dir", str(tmp_path / "export"))
    table = run("pipeline.preprocess", *config, "--input", str(tmp_path / "export/ga360/*"))
    assert "interactions" in table
    assert "RWSE" in run("tests.support.quick_export", "trainer.task", *config, *model)
    assert "recommendations" in run("pipeline.batch_predict", *config, *model, "--output_dir", str(tmp_path / "out"))
    shown = run("pipeline.show", *config, "--predictions_dir", str(tmp_path / "out"), "--catalogue", catalogue)
    assert shown.count("recommended") >= 5
    with open(catalogue, encoding="utf-8") as file:
        titles = [row["title"] for row in csv.DictReader(file)]
    assert sum(title in shown for title in titles) > 10
