"""Hostile input: nothing of it is run, and no name in it leads out of its directory."""

import argparse
import ast
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from artifacts import factor_tables, manifests
from configs import cli, settings
from configs.errors import UserError
from pipeline import verify
from pipeline.sources.bigquery import names
from tests.support.predicted import make_world, predict
from trainer.inputs import dataset_rows

ROOT = Path(__file__).parents[1]
EMPTY = {"bytes": 0, "crc32c": "00000000"}
OUT = ["../../etc/passwd", "/etc/passwd", "a/../../b", "gs://other/b", "a\\..\\b", "", "a//b", "./a"]


def spoil(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", OUT)
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path, name):
    make_world(tmp_path, 1)
    spoil(tmp_path / "dataset/manifest.json", lambda content: content["files"].update({name: EMPTY}))
    for read in (
        lambda: predict(tmp_path, tmp_path / "out"),
        lambda: dataset_rows.read_info(str(tmp_path / "dataset")),
        lambda: verify.main([str(tmp_path / "dataset")]),
    ):
        with pytest.raises(UserError, match="names files outside its directory"):
            read()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../b", "", ".hidden"])
def test_the_served_models_name_cannot_lead_out_of_its_directory(tmp_path, name):
    (tmp_path / "c.yaml").write_text("{}")
    with pytest.raises(UserError, match=r"serving\.name"):
        settings.load_settings(str(tmp_path / "c.yaml"), {"serving.name": name})


class Bomb:
    """An object that runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    for path in ("a.npy", "b.npy"):
        with pytest.raises(UserError, match="damaged"):
            factor_tables.read_array(path)
    make_world(tmp_path, 1)
    factors = next((tmp_path / "model/factors").glob("user_factors*"))
    factors.write_bytes((tmp_path / "a.npy").read_bytes())
    with pytest.raises(UserError, match=factors.name):
        predict(tmp_path, tmp_path / "out")
    assert not Path("exploded").exists()


def test_yaml_makes_no_objects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("training: !!python/object/apply:os.system ['touch exploded']")
    with pytest.raises(UserError, match="is not YAML"):
        settings.load_settings("c.yaml")
    Path("c.yaml").write_text("{}")
    given = argparse.Namespace(
        config="c.yaml", assignments=["training.seed=!!python/object/apply:os.system ['touch exploded']"]
    )
    with pytest.raises(UserError, match=r"training\.seed"):
        cli.settings_from(given, {})
    assert not Path("exploded").exists()


def test_no_module_evaluates_or_unpickles():
    """Ruff's S rules miss a name that is imported, an alias and a keyword."""
    found = []
    for folder in ("configs", "pipeline", "trainer", "serving", "nightly", "deploy", "report", "artifacts", "ranking"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                name = getattr(called, "id", getattr(called, "attr", None))
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                unsafe = isinstance(called, ast.Name) and name in ("eval", "exec", "__import__")
                unsafe |= name in ("unsafe_load", "full_load")
                if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                    unsafe |= ast.unparse(node.value) != "False"
                if unsafe or {"pickle", "marshal", "dill", "cloudpickle", "shelve"} & set(modules):
                    found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert not found


@pytest.mark.parametrize(
    "name", ["bq://a.b.c`; DROP TABLE x; --", "bq://a.b.c d", "bq://a.b", "bq://a.b.c*d", "bq://a.b.\u0441", "a.b.c"]
)
def test_names_that_would_change_a_query_are_refused(name):
    with pytest.raises(UserError, match="write it as bq://"):
        names.parse(name, "source.input")


def test_a_model_without_its_mark_is_not_loaded(tmp_path):
    make_world(tmp_path, 1)
    (tmp_path / "model/manifest.json").rename(tmp_path / "model/manifest.json.partial")
    with pytest.raises(UserError, match="is not a finished model"):
        predict(tmp_path, tmp_path / "out")
    assert manifests.kind_of('{"kind": ["model"]}') is None
