"""Batch prediction, run whole on datasets and models made here."""

import datetime
import itertools
import json
import types
from collections.abc import Iterator

import google_crc32c
import numpy as np
import pytest

from artifacts.checksums import digest_of
from artifacts.sparse_rows import SparseRows
from configs import cli
from configs.errors import UserError
from configs.settings import PredictionSettings
from pipeline import batch_predict
from pipeline.beam import options as beam_options
from pipeline.prediction import recommend
from pipeline.prediction.visitors import rows_by_block
from pipeline.prediction.writers.answers import Answers, Extra, Names, Stamp
from ranking.heap import Best
from tests.support.exports import PLAIN_RUNNER
from tests.support.predicted import USERS, lines_of, make_world, plainly, predict, read_json, read_text


@pytest.mark.parametrize("options", [{"top_k": 4}, {"top_k": 9, "block_size": 2}, {"top_k": 3, "include_seen": True}])
def test_predictions_equal_the_plain_rule_in_both_forms(odd_world, tmp_path, options):
    content = predict(odd_world, tmp_path / "out", **options)
    expected = plainly(odd_world, options["top_k"], options.get("include_seen", False))
    assert read_json(tmp_path / "out") == expected
    assert read_text(tmp_path / "out") == {name: [item for item, _ in given] for name, given in expected.items()}
    assert {name.encode() for name in [*USERS, "everything"]} == set(expected)
    assert content["counts"]["visitors"] == len(USERS) + 1
    assert content["counts"]["recommendations"] == sum(map(len, expected.values()))
    assert content["counts"]["visitors_with_fewer"] == sum(len(g) < options["top_k"] for g in expected.values())


def test_formats_are_a_choice(odd_world, tmp_path):
    predict(odd_world, tmp_path / "out", top_k=2, formats=["jsonl"])
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".jsonl", ".json"}


def test_any_shards_compression_and_block_give_the_same_lines(tmp_path):
    expected = None
    for shards, zipped, block in ((1, False, 4096), (1, False, 1), (3, True, 7), (5, False, 64), (200, False, 3)):
        root, out = make_world(tmp_path / f"{shards}-{block}", shards, zipped), tmp_path / f"out-{shards}-{block}"
        runner = "FnApiRunner" if zipped else PLAIN_RUNNER
        content = predict(root, out, runner=runner, top_k=12, block_size=block)
        found = lines_of(out, ".txt"), lines_of(out, ".jsonl")
        assert len(found[0]) == len(found[1]) == content["counts"]["visitors"] == 150
        expected = expected or found
        assert found == expected
        assert len(content["files"]) == 2 * shards


def test_a_visitor_without_a_record_has_a_line_and_the_rule_holds_for_real_scores(tmp_path):
    root = make_world(tmp_path, 2)
    predict(root, tmp_path / "out", top_k=12)
    expected = {
        name: [(item, float(np.float32(score))) for item, score in given]
        for name, given in plainly(root, 12, include_seen=False).items()
    }
    found = {
        name: [(item, float(np.float32(score))) for item, score in given]
        for name, given in read_json(tmp_path / "out").items()
    }
    assert found == expected
    assert len(found) == 150 and {len(given) for given in found.values()} > {12}


def test_what_a_failed_bundle_left_is_not_published(tmp_path, monkeypatch):
    root, ran = make_world(tmp_path, 2), beam_options.run

    def run_and_leave(build, options):
        result = ran(build, options)
        (tmp_path / "out.partial" / "predictions-00000-of-00002.txt.abc").write_text("v0\tc")
        return result

    monkeypatch.setattr(beam_options, "run", run_and_leave)
    content = predict(root, tmp_path / "out", top_k=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*content["files"], "manifest.json"}


def test_a_bundle_that_fails_takes_its_files_along(tmp_path):
    options = PredictionSettings(formats=("jsonl", "text"))
    stamp = Stamp("v", datetime.datetime.now(datetime.UTC))
    plan = types.SimpleNamespace(options=options, items=1, stamp=stamp, extra=Extra())

    def blocks() -> Iterator[Answers]:
        yield Answers([b"v"], ["factors"], Names([b"c"]), Best(np.zeros((1, 1), int), np.ones((1, 1), "f")))
        raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        recommend.write(plan, str(tmp_path), 0, 1, blocks())
    assert not list(tmp_path.iterdir())


def test_the_manifest_tells_what_the_files_hold(tmp_path):
    root = make_world(tmp_path, 2)
    predict(root, tmp_path / "out", top_k=3)
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    for name, file in content["files"].items():
        data = (tmp_path / "out" / name).read_bytes()
        assert file == {"records": 75, "bytes": len(data), "crc32c": f"{google_crc32c.value(data):08x}"}
    assert content["steps"]["read"]["rows"] == 150
    assert content["steps"]["write"] == {
        "rows": 2 * 150,
        "bytes": sum(file["bytes"] for file in content["files"].values()),
    }
    trained = json.loads((root / "model" / "manifest.json").read_text())
    assert content["model_fingerprint"] == digest_of(trained)
    assert content["settings"]["prediction"]["top_k"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_blocks_of_seen_items_whatever_the_records(size):
    rows = {0: [5], 4: [1, 2], 5: [], 9: [3]}  # keys of shard 0 of 1; the others have no record
    batches = []
    for keys in ([0], [4, 5], [9]):
        counts = [len(rows[key]) for key in keys]
        flat = [item for key in keys for item in rows[key]]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        batches.append(SparseRows(np.array(keys), offsets, np.array(flat, np.int32), np.ones(len(flat), np.float32)))
    found = []
    for block in rows_by_block(batches, range(11), size):
        assert (block.values == 1).all() and len(block.values) == len(block.indices)
        found += [block.indices[a:b].tolist() for a, b in itertools.pairwise(block.indptr)]
    assert found == [rows.get(key, []) for key in range(11)]


def test_k_above_the_catalogue_and_an_occupied_output(odd_world, tmp_path):
    with pytest.raises(UserError, match="top_k 10 is larger than the catalogue of 9 items; ask for 9 or fewer"):
        predict(odd_world, tmp_path / "out", top_k=10)
    predict(odd_world, tmp_path / "out", top_k=2)
    with pytest.raises(UserError, match="out is not empty"):
        predict(odd_world, tmp_path / "out", top_k=3)
    predict(odd_world, tmp_path / "out", top_k=3, replace=True)
    assert {len(given) for given in read_json(tmp_path / "out").values()} == {0, 3}


def test_a_directory_of_something_else_is_not_replaced(odd_world, tmp_path):
    with pytest.raises(UserError, match="dataset contains a dataset, not a predictions directory"):
        predict(odd_world, odd_world / "dataset", top_k=2, replace=True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--top_k", "10"], "top_k 10 is larger than the catalogue of 9 items"),
        (["--top_k", "0"], "prediction.top_k"),
        (["--no_such_flag=1"], "unknown option --no_such_flag=1"),
        (["--set", "prediction.formats=[csv]"], "prediction.formats"),
    ],
)
def test_the_command_says_a_mistake_in_one_line(odd_world, tmp_path, capsys, flags, said):
    config = tmp_path / "config.yaml"
    config.write_text("beam: {runner: FnApiRunner}\n")
    places = ["--dataset_dir", str(odd_world / "dataset"), "--model_dir", str(odd_world / "model")]
    argv = ["--config", str(config), *places, "--output_dir", str(tmp_path / "out"), *flags]
    assert cli.run(batch_predict.main, argv) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


def test_the_command_writes_and_tells(odd_world, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("beam: {runner: FnApiRunner}\nprediction: {top_k: 9}\n")
    places = ["--dataset_dir", str(odd_world / "dataset"), "--model_dir", str(odd_world / "model")]
    argv = ["--config", str(config), *places, "--output_dir", str(tmp_path / "out"), "--top_k", "2"]
    assert cli.run(batch_predict.main, argv) == 0
    told = capsys.readouterr().out
    assert all(what in told for what in ("visitors", "items", "recommendations", "files", "visitors per second"))
    assert {len(given) for given in read_json(tmp_path / "out").values()} == {0, 2}
