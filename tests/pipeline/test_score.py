"""wals score: the files of the Beam job, byte for byte, without Beam or TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.settings import Settings
from pipeline import batch_predict, score
from tests.support.documents import ROOT
from tests.support.predicted import USERS, make_world, predict

# A process in which the import of these packages fails, as in the scoring install, which lacks them.
_ALONE = """
import sys
for name in ("apache_beam", "tensorflow", "tensorflow_transform", "requests", "grpc", "google.cloud"):
    sys.modules[name] = None
from wals.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def settings(root: Path, out: Path, **prediction) -> Settings:
    paths = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model"), "predictions_dir": str(out)}
    return Settings.model_validate(paths | {"prediction": prediction})


def assert_same(out: Path, other: Path) -> None:
    """Compare all files, and the manifests but for times and Beam's counters."""
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in other.iterdir()} and len(names) > 3
    for name in names - {"manifest.json"}:
        assert (out / name).read_bytes() == (other / name).read_bytes(), name
    one, two = (json.loads((root / "manifest.json").read_text()) for root in (out, other))
    own = {"seconds", "run_time", "steps"}
    assert {key: one[key] for key in one.keys() - own} == {key: two[key] for key in two.keys() - own}


@pytest.mark.parametrize("kind", ["recommendations", "audiences", "similar_items", "similar_visitors"])
def test_its_files_are_those_of_the_job(odd_world, tmp_path, kind):
    """Over several shards and small blocks, with ids to leave out and a visitor that the dataset lacks."""
    (tmp_path / "asked").write_text("\n".join([USERS[1], "z1", "z2", "0,1", USERS[3], "nobody"]))
    (tmp_path / "blocked").write_text(f"z3\n{USERS[5]}\n")
    options = {"top_k": 3, "block_size": 2, "formats": ["text", "jsonl", "parquet"], "kind": kind}
    options |= {"only": str(tmp_path / "asked"), "block": str(tmp_path / "blocked")}
    predict(odd_world, tmp_path / "job", **options)
    score.score(settings(odd_world, tmp_path / "here", **options), False, str(tmp_path / "here"))
    assert_same(tmp_path / "here", tmp_path / "job")


def test_it_needs_neither_beam_nor_tensorflow(tmp_path):
    """Some of 150 visitors are projected, and some get popular items."""
    root = make_world(tmp_path, 3, zipped=True, cold_start={"min_ratings": 40, "min_site_ratings": 0})
    predict(root, tmp_path / "job", top_k=12, explanation=2)
    flags = [f"--dataset_dir={root / 'dataset'}", f"--model_dir={root / 'model'}", f"--output_dir={tmp_path / 'here'}"]
    flags += ["--config=configs/local.yaml", "--set=catalogue=null", "--top_k=12", "--set=prediction.explanation=2"]
    command = [sys.executable, "-c", _ALONE, "score", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "visitors" in done.stdout and "150" in done.stdout
    assert_same(tmp_path / "here", tmp_path / "job")


def test_a_table_of_bigquery_is_the_jobs(odd_world, tmp_path):
    with pytest.raises(UserError, match="is loaded by wals predict"):
        score.score(settings(odd_world, tmp_path / "o", table="bq://p.d.t"), False)


@pytest.mark.parametrize("module", [score, batch_predict])
def test_a_dry_run_checks_all_and_writes_nothing(odd_world, tmp_path, capsys, module):
    flags = [f"--dataset_dir={odd_world / 'dataset'}", f"--model_dir={odd_world / 'model'}", "--dry-run"]
    flags += ["--config=configs/local.yaml", "--set=catalogue=null", f"--output_dir={tmp_path / 'out'}"]
    module.main([*flags, "--top_k=3"])
    shown = capsys.readouterr().out
    assert "would write recommendations" in shown and f"{len(USERS) + 1} " in shown
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("")
    for wrong in (["--top_k=3"], ["--top_k=99999"]):
        with pytest.raises(UserError, match=r"is not empty|above the number|has 9 items|top_k"):
            module.main([*flags, *wrong])
