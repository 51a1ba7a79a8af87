"""wals runs: outputs, what differs in their settings, and the metric of the evaluation of the same model."""

import json

from tests.support.manifests import dataset_manifest, model_manifest, predictions_manifest
from wals import __main__ as program


def write(root, name, manifest):
    (root / name).mkdir(parents=True)
    manifest.write(str(root / name / "manifest.json"))


def test_each_output_is_listed_with_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # several workers of pytest set it
    model = model_manifest()
    other = model.model_copy(update={"users": 77})
    write(tmp_path, "b/dataset", dataset_manifest(users=1234, interactions=5678))
    write(tmp_path, "b/model", model)
    write(tmp_path, "c/model", other)
    write(tmp_path, "b/predictions", predictions_manifest(model_fingerprint=model.digest()))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text('{"kind": "dataset", "schema_version": 0}')
    evaluation = {
        "model": {"digest": model.digest()},
        "settings": {"k": [5, 20], "headline": ["recall", "ndcg"]},
        "systems": {"WALS": {"recall@20": {"value": 0.25}, "ndcg@20": {"value": 0.125}, "ndcg@5": {"value": 0.1}}},
    }
    (tmp_path / "b" / "model" / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "evaluation-notes.json").write_text("[]")

    assert program.main(["runs", str(tmp_path), "--json"]) == 0
    runs = {
        run["path"].removeprefix(f"{tmp_path}/"): run for run in map(json.loads, capsys.readouterr().out.splitlines())
    }
    assert list(runs) == ["b/dataset", "b/model", "b/predictions", "c/model", "old"]
    assert "1,234 x " in runs["b/dataset"]["counts"] and "5,678 pairs" in runs["b/dataset"]["counts"]
    shown = {path: run["metric"] for path, run in runs.items()}
    assert shown["b/model"] == shown["b/predictions"] == "recall@20 0.2500, ndcg@20 0.1250"
    assert shown["c/model"] == shown["b/dataset"] == ""
    assert runs["old"]["kind"] == "not readable by this version"

    assert program.main(["runs", f"{tmp_path}/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/b/dataset: dataset, ") and "source.kind=" not in lines[0]
    assert f"{tmp_path}/old: not readable by this version" in lines


def test_settings_are_shown_if_they_differ(tmp_path, capsys):
    model = model_manifest()
    changed = model.settings.model_copy(update={"seed": 7})
    write(tmp_path, "model", model.model_copy(update={"settings": changed}))
    assert program.main(["runs", str(tmp_path)]) == 0
    assert "training.seed=7" in capsys.readouterr().out


def test_an_empty_directory_has_the_command_that_fills_it(tmp_path, capsys):
    assert program.main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing yet: wals preprocess makes a dataset\n"
