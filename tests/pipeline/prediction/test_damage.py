"""Datasets and models that are damaged, old or others: batch prediction refuses them and publishes nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from artifacts import tfrecords
from artifacts.checksums import describe
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from tests.support.predicted import make_world, predict


def factors(model: Path, table: str) -> list[Path]:
    return sorted((model / "factors").glob(f"{table}_factors-*"))


def change(path: Path, how) -> None:
    """Change a table of a model, and its checksum in the manifest."""
    np.save(path, how(np.load(path)))
    about = path.parents[1] / "manifest.json"
    content = json.loads(about.read_text())
    content["files"][f"factors/{path.name}"] = describe(str(path)).model_dump()
    about.write_text(json.dumps(content))


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def infinite_at_the_end(array: np.ndarray) -> np.ndarray:
    array[-1, -1] = np.inf
    return array


# A change to a dataset d and a model m, and the message of the job.
DAMAGE = {
    "no model": (lambda d, m: (m / "manifest.json").unlink(), "model is not a finished model"),
    "no dataset": (lambda d, m: (d / "manifest.json").unlink(), "dataset is not a finished dataset"),
    "old dataset": (
        lambda d, m: replace(d / "manifest.json", '"schema_version": 3', '"schema_version": 0'),
        "dataset/manifest.json has schema version 0, this code reads 3",
    ),
    "old model": (
        lambda d, m: replace(m / "manifest.json", '"schema_version": 2', '"schema_version": 0'),
        "model/manifest.json has schema version 0, this code reads 2",
    ),
    "other dataset": (
        lambda d, m: replace(m / "manifest.json", '"fingerprint": "', '"fingerprint": "0'),
        "was trained on another dataset than",
    ),
    "first shard lost": (
        lambda d, m: factors(m, "user")[0].unlink(),
        "user_factors-00000-of-0000.* does not exist",
    ),
    "last shard lost": (
        lambda d, m: factors(m, "item")[-1].unlink(),
        "item_factors-0000.* (is missing|does not exist)",
    ),
    "rows": (lambda d, m: change(factors(m, "user")[0], lambda a: a[:1]), "rows of float32; train again"),
    "float64": (lambda d, m: change(factors(m, "item")[0], np.float64), "rows of float32; train again"),
    "width": (
        lambda d, m: [change(path, lambda a: a[:, :2]) for path in factors(m, "item")],
        "users have 3 factors, items 2; train again",
    ),
    "cut": (
        lambda d, m: factors(m, "user")[0].write_bytes(factors(m, "user")[0].read_bytes()[:-4]),
        "user_factors-00000-of-0000.*.npy has .* bytes where",
    ),
    "no array": (
        lambda d, m: factors(m, "user")[-1].write_bytes(b"no array"),
        "user_factors-.* (cannot|has 8 bytes where)",
    ),
    "nan": (lambda d, m: change(factors(m, "item")[0], lambda a: a * np.nan), "must be finite"),
    "infinite": (
        lambda d, m: change(factors(m, "user")[-1], infinite_at_the_end),
        "user_factors-.*must be finite",
    ),
    "vocabulary": (
        lambda d, m: replace(Path(Dataset(str(d)).vocab_items), "\n", "\n\n"),
        "vocab_items has .* bytes where the manifest has",
    ),
    "no vocabulary": (
        lambda d, m: Path(Dataset(str(d)).vocab_users).unlink(),
        "vocab_users is missing; make the dataset again",
    ),
    "no rows": (
        lambda d, m: next(d.glob("items_for_user-00000-*")).unlink(),
        "items_for_user-00000-of-0000.* is missing; make the dataset again",
    ),
    "rows cut": (
        lambda d, m: max(d.glob("items_for_user-*")).write_bytes(max(d.glob("items_for_user-*")).read_bytes()[:-3]),
        "items_for_user-0000.* has .* bytes where the manifest has",
    ),
    "no row left": (
        lambda d, m: max(d.glob("items_for_user-*")).write_bytes(b""),
        "items_for_user-0000.* has 0 bytes where the manifest has",
    ),
}


def damaged(root: Path, tmp_path: Path, what: str) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    DAMAGE[what][0](copy / "dataset", copy / "model")
    return copy


def written_again(path: Path, key: int, how) -> None:
    """Write the records again with one row's entries changed by `how`: as many bytes, and checksums that fit."""
    size, rows = path.stat().st_size, []
    for found, indices, values in tfrecords.read_rows(str(path)):
        indices, values = indices.copy(), values.copy()
        if found == key:
            how(indices, values)
        rows.append((found, indices, values))
    keys, indices, values = zip(*rows, strict=True)
    offsets = np.cumsum([0, *map(len, indices)])
    whole = SparseRows(np.array(keys), offsets, np.concatenate(indices), np.concatenate(values))
    data, begins = tfrecords.encode(whole)
    path.write_bytes(tfrecords.frame(data, begins.tolist()))
    assert path.stat().st_size == size


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda indices, values: values.__setitem__(1, np.nan), "ratings that are not finite"),
        (lambda indices, values: values.__setitem__(1, -np.inf), "ratings that are not finite"),
        (lambda indices, values: indices.__setitem__(1, indices[0]), "items repeat or do not ascend"),
        (lambda indices, values: indices.__setitem__(slice(None), indices[::-1].copy()), "items repeat"),
        (lambda indices, values: indices.__setitem__(-1, 99), "items that are not in the vocabulary"),
    ],
)
def test_a_history_that_is_none_is_refused_whatever_its_checksum(tmp_path, how, said):
    root = make_world(tmp_path, 1)
    written_again(root / "dataset" / "items_for_user-00000-of-00001", 76, how)
    with pytest.raises(UserError, match=f"items_for_user-00000-of-00001 contains .*{said}.*; make the dataset again"):
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
    trained["dataset"]["fingerprint"] = DatasetManifest(**made).fingerprint()
    (root / "model" / "manifest.json").write_text(json.dumps(trained))
    with pytest.raises(UserError, match="contains rows of other visitors"):
        predict(root, tmp_path / "out", top_k=2)


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_named_and_leaves_nothing(odd_world, tmp_path, what):
    with pytest.raises(UserError, match=DAMAGE[what][1]) as caught:
        predict(damaged(odd_world, tmp_path, what), tmp_path / "out", top_k=2)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_a_failed_job_leaves_the_old_predictions_untouched(odd_world, tmp_path):
    predict(odd_world, tmp_path / "out", top_k=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="must be finite"):
        predict(damaged(odd_world, tmp_path, "infinite"), tmp_path / "out", replace=True, top_k=3)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob("out.*"))
