"""Batch prediction, run whole on datasets and models made here."""

import json
import shutil
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from datasets import describe
from exports import event, make_dataset, write_ndjson
from predicted import lines_of, make_world, plainly, predict, read_json, read_text, write_model

from configs import commands, manifest
from configs.artifacts import Dataset
from configs.errors import UserError
from pipeline import batch_predict, beam_options, examples, tfrecords
from pipeline.examples import Rows
from pipeline.prediction.answers import WORDS, Answers, Names
from pipeline.prediction.visitors import rows_by_block
from pipeline.prediction.writers import AnswerFile

USERS = ["anna ", "007", "a\tb", "ü", "x" * 1_000_000, "last"]
ITEMS = ["0,1", "tab\t", "back\\slash", "ß", "y" * 1_000_000, " lead", "z1", "z2", "z3"]


@pytest.fixture(scope="module", params=[(1, False), (3, True)], ids=["one shard", "three shards, gzip"])
def made(request, tmp_path_factory):
    """A dataset with odd ids, and a model with whole numbers for factors, so that scores tie and are exact."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    rows = [event(u, i, 100 * n) for u in USERS for n, i in enumerate(rng.choice(ITEMS, 4, replace=False).tolist(), 1)]
    rows += [event("everything", item, 50) for item in ITEMS]
    shards, compressed = request.param
    export = write_ndjson(root / "events", rows)
    made = make_dataset(root / "dataset", export, "ga4", dataset={"shards": shards, "gzip": compressed})
    write_model(root / "model", made, rng)
    return root


@pytest.mark.parametrize("options", [{"top_k": 4}, {"top_k": 9, "block_size": 2}, {"top_k": 3, "include_seen": True}])
def test_predictions_equal_the_plain_rule_in_both_forms(made, tmp_path, options):
    content = predict(made, tmp_path / "out", **options)
    expected = plainly(made, options["top_k"], options.get("include_seen", False))
    assert read_json(tmp_path / "out") == expected
    assert read_text(tmp_path / "out") == {name: [item for item, _ in given] for name, given in expected.items()}
    assert {name.encode() for name in [*USERS, "everything"]} == set(expected)
    assert content["counts"]["visitors"] == len(USERS) + 1
    assert content["counts"]["recommendations"] == sum(map(len, expected.values()))
    assert content["counts"]["visitors_with_fewer"] == sum(len(g) < options["top_k"] for g in expected.values())


def test_formats_are_a_choice(made, tmp_path):
    predict(made, tmp_path / "out", top_k=2, formats=["jsonl"])
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".jsonl", ".json"}


def test_any_shards_compression_and_block_give_the_same_lines(tmp_path):
    expected = None
    for shards, zipped, block in ((1, False, 4096), (1, False, 1), (3, True, 7), (5, False, 64), (200, False, 3)):
        root, out = make_world(tmp_path / f"{shards}-{block}", shards, zipped), tmp_path / f"out-{shards}-{block}"
        content = predict(root, out, top_k=12, block_size=block)
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
    def fail() -> None:
        with AnswerFile(str(tmp_path / "predictions"), "jsonl", WORDS["recommendations"]) as file:
            file.write(Answers([b"v"], ["factors"], Names([b"c"]), np.zeros((1, 1), int), np.ones((1, 1), "f")))
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert not list(tmp_path.iterdir())


def test_the_manifest_tells_what_the_files_hold(tmp_path):
    root = make_world(tmp_path, 2)
    predict(root, tmp_path / "out", top_k=3)
    content = manifest.parse((tmp_path / "out" / "manifest.json").read_bytes(), "predictions", "manifest.json")
    for name, file in content["files"].items():
        data = (tmp_path / "out" / name).read_bytes()
        assert file == {"records": 75, "bytes": len(data), "crc32c": f"{google_crc32c.value(data):08x}"}
    assert content["steps"]["read"]["rows"] == 150
    assert content["steps"]["write"] == {
        "rows": 2 * 150,
        "bytes": sum(file["bytes"] for file in content["files"].values()),
    }
    trained = json.loads((root / "model" / "manifest.json").read_text())
    assert content["model_fingerprint"] == manifest.digest(trained)
    assert content["settings"]["prediction"]["top_k"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_blocks_of_seen_items_whatever_the_records(size):
    rows = {0: [5], 4: [1, 2], 5: [], 9: [3]}  # keys of shard 0 of 1; the others have no record
    batches = []
    for keys in ([0], [4, 5], [9]):
        counts = [len(rows[key]) for key in keys]
        flat = [item for key in keys for item in rows[key]]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        batches.append(Rows(np.array(keys), offsets, np.array(flat, np.int64), np.ones(len(flat), np.float32)))
    found = []
    for offsets, items, ratings in rows_by_block(batches, 1, 11, size):
        assert (ratings == 1).all() and len(ratings) == len(items)
        found += [items[a:b].tolist() for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    assert found == [rows.get(key, []) for key in range(11)]


def factors(model: Path, table: str) -> list[Path]:
    return sorted((model / "factors").glob(f"{table}_factors-*"))


def change(path: Path, how) -> None:
    """Of a model that was made so: its manifest has the checksum."""
    np.save(path, how(np.load(path)))
    about = path.parents[1] / "manifest.json"
    content = json.loads(about.read_text())
    content["files"][f"factors/{path.name}"] = describe(path)
    about.write_text(json.dumps(content))


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def infinite_at_the_end(array: np.ndarray) -> np.ndarray:
    array[-1, -1] = np.inf
    return array


# What is done to a dataset d and a model m, and what the job says to it.
DAMAGE = {
    "no model": (lambda d, m: (m / "manifest.json").unlink(), "model is no finished model"),
    "no dataset": (lambda d, m: (d / "manifest.json").unlink(), "dataset is no finished dataset"),
    "old dataset": (
        lambda d, m: replace(d / "manifest.json", '"schema_version": 1', '"schema_version": 0'),
        "dataset/manifest.json has schema version 0, this code reads 1",
    ),
    "old model": (
        lambda d, m: replace(m / "manifest.json", '"schema_version": 1', '"schema_version": 0'),
        "model/manifest.json has schema version 0, this code reads 1",
    ),
    "other dataset": (
        lambda d, m: replace(m / "manifest.json", '"fingerprint": "', '"fingerprint": "0'),
        "was trained on another dataset than",
    ),
    "first shard lost": (
        lambda d, m: factors(m, "user")[0].unlink(),
        "user_factors-00000-of-0000.* does not exist",
    ),
    "last shard lost": (lambda d, m: factors(m, "item")[-1].unlink(), "item_factors-0000.* does not exist"),
    "rows": (lambda d, m: change(factors(m, "user")[0], lambda a: a[:1]), "rows of float32 are due; train again"),
    "float64": (lambda d, m: change(factors(m, "item")[0], np.float64), "rows of float32 are due; train again"),
    "width": (
        lambda d, m: [change(path, lambda a: a[:, :2]) for path in factors(m, "item")],
        "users have 3 factors, contents 2; train again",
    ),
    "cut": (
        lambda d, m: factors(m, "user")[0].write_bytes(factors(m, "user")[0].read_bytes()[:-4]),
        "user_factors-00000-of-0000.*.npy is damaged",
    ),
    "no array": (
        lambda d, m: factors(m, "user")[-1].write_bytes(b"no array"),
        "user_factors-.* (cannot|is damaged)",
    ),
    "nan": (lambda d, m: change(factors(m, "item")[0], lambda a: a * np.nan), "no finite numbers"),
    "infinite": (
        lambda d, m: change(factors(m, "user")[-1], infinite_at_the_end),
        "user_factors-.*no finite numbers",
    ),
    "vocabulary": (
        lambda d, m: replace(Path(Dataset(str(d)).vocab_items), "\n", "\n\n"),
        "vocab_items has .* bytes where the manifest says",
    ),
    "no vocabulary": (
        lambda d, m: Path(Dataset(str(d)).vocab_users).unlink(),
        "vocab_users does not exist; make the dataset again",
    ),
    "no rows": (
        lambda d, m: next(d.glob("items_for_user-00000-*")).unlink(),
        "items_for_user-00000-of-0000.* does not exist; make the dataset again",
    ),
    "rows cut": (
        lambda d, m: max(d.glob("items_for_user-*")).write_bytes(max(d.glob("items_for_user-*")).read_bytes()[:-3]),
        "items_for_user-0000.* has .* bytes where the manifest says",
    ),
    "no row left": (
        lambda d, m: max(d.glob("items_for_user-*")).write_bytes(b""),
        "items_for_user-0000.* has 0 bytes where the manifest says",
    ),
}


def damaged(root: Path, tmp_path: Path, what: str) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    DAMAGE[what][0](copy / "dataset", copy / "model")
    return copy


def written_again(path: Path, key: int, how) -> None:
    """The same records, but for what `how` makes of one row's entries; as many bytes, and checksums that fit."""
    size, rows = path.stat().st_size, []
    for found, indices, values in tfrecords.read_rows(str(path)):
        indices, values = indices.copy(), values.copy()
        if found == key:
            how(indices, values)
        rows.append((found, indices, values))
    keys, indices, values = zip(*rows, strict=True)
    offsets = np.cumsum([0, *map(len, indices)])
    whole = Rows(np.array(keys), offsets, np.concatenate(indices), np.concatenate(values))
    data, begins = examples.encode(whole)
    path.write_bytes(tfrecords.frame(data, begins.tolist()))
    assert path.stat().st_size == size


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda indices, values: values.__setitem__(1, np.nan), "ratings that are no finite numbers"),
        (lambda indices, values: values.__setitem__(1, -np.inf), "ratings that are no finite numbers"),
        (lambda indices, values: indices.__setitem__(1, indices[0]), "contents repeat or do not ascend"),
        (lambda indices, values: indices.__setitem__(slice(None), indices[::-1].copy()), "contents repeat"),
        (lambda indices, values: indices.__setitem__(-1, 99), "contents that the vocabulary lacks"),
    ],
)
def test_a_history_that_is_none_is_refused_whatever_its_checksum(tmp_path, how, said):
    root = make_world(tmp_path, 1)
    written_again(root / "dataset" / "items_for_user-00000-of-00001", 76, how)
    with pytest.raises(UserError, match=f"items_for_user-00000-of-00001 holds .*{said}.*; make the dataset again"):
        predict(root, tmp_path / "out", top_k=2)
    assert not list(tmp_path.glob("out*"))


def test_rows_of_another_shard_are_refused(tmp_path):
    root = make_world(tmp_path, 2)
    first, second = (root / "dataset" / f"items_for_user-0000{n}-of-00002" for n in (0, 1))
    data = first.read_bytes(), second.read_bytes()
    made = json.loads((root / "dataset" / "manifest.json").read_text())
    for path, other in ((first, data[1]), (second, data[0])):
        made["files"][path.name]["bytes"] = len(other)
        path.write_bytes(other)
    (root / "dataset" / "manifest.json").write_text(json.dumps(made))
    trained = json.loads((root / "model" / "manifest.json").read_text())
    trained["dataset"]["fingerprint"] = manifest.fingerprint(made)
    (root / "model" / "manifest.json").write_text(json.dumps(trained))
    with pytest.raises(UserError, match="holds rows of other visitors than it must"):
        predict(root, tmp_path / "out", top_k=2)


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_named_and_leaves_nothing(made, tmp_path, what):
    with pytest.raises(UserError, match=DAMAGE[what][1]) as caught:
        predict(damaged(made, tmp_path, what), tmp_path / "out", top_k=2)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_a_failed_job_leaves_the_old_predictions_untouched(made, tmp_path):
    predict(made, tmp_path / "out", top_k=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="no finite numbers"):
        predict(damaged(made, tmp_path, "infinite"), tmp_path / "out", replace=True, top_k=3)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob("out.*"))


def test_k_above_the_catalogue_and_an_occupied_output(made, tmp_path):
    with pytest.raises(UserError, match="top_k 10 is larger than the catalogue of 9 contents; ask for 9 or fewer"):
        predict(made, tmp_path / "out", top_k=10)
    predict(made, tmp_path / "out", top_k=2)
    with pytest.raises(UserError, match="out is not empty"):
        predict(made, tmp_path / "out", top_k=3)
    predict(made, tmp_path / "out", top_k=3, replace=True)
    assert {len(given) for given in read_json(tmp_path / "out").values()} == {0, 3}


def test_a_directory_of_something_else_is_not_replaced(made, tmp_path):
    with pytest.raises(UserError, match="dataset holds dataset, no predictions"):
        predict(made, made / "dataset", top_k=2, replace=True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--top_k", "10"], "top_k 10 is larger than the catalogue of 9 contents"),
        (["--top_k", "0"], "prediction.top_k"),
        (["--no_such_flag=1"], "unknown option --no_such_flag=1"),
        (["--set", "prediction.formats=[csv]"], "prediction.formats"),
    ],
)
def test_the_command_says_a_mistake_in_one_line(made, tmp_path, capsys, flags, said):
    config = tmp_path / "config.yaml"
    config.write_text("beam: {runner: FnApiRunner}\n")
    places = ["--dataset_dir", str(made / "dataset"), "--model_dir", str(made / "model")]
    argv = ["--config", str(config), *places, "--output_dir", str(tmp_path / "out"), *flags]
    assert commands.run(batch_predict.main, argv) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


def test_the_command_writes_and_tells(made, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("beam: {runner: FnApiRunner}\nprediction: {top_k: 9}\n")
    places = ["--dataset_dir", str(made / "dataset"), "--model_dir", str(made / "model")]
    argv = ["--config", str(config), *places, "--output_dir", str(tmp_path / "out"), "--top_k", "2"]
    assert commands.run(batch_predict.main, argv) == 0
    told = capsys.readouterr().out
    assert all(what in told for what in ("visitors", "contents", "recommendations", "files", "visitors a second"))
    assert {len(given) for given in read_json(tmp_path / "out").values()} == {0, 2}
