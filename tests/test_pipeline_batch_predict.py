"""Batch prediction, run whole on datasets and models made here."""

import json
from pathlib import Path

import numpy as np
import pytest
from exports import event, make_dataset, write_ndjson

from configs import manifest
from configs.artifacts import Dataset, Model, shard_name
from configs.errors import UserError
from configs.settings import Settings
from pipeline import batch_predict, textform, tfrecords
from pipeline.examples import Rows
from pipeline.predict_shard import seen_by_block
from pipeline.vocabulary import read_vocabulary

USERS = ["anna ", "007", "a\tb", "ü", "x" * 10_000, "last"]
ITEMS = ["0,1", "tab\t", "back\\slash", "ß", "y" * 10_000, " lead", "z1", "z2", "z3"]


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


def write_model(root: Path, dataset_manifest: dict, rng, k: int = 3) -> None:
    model = Model(str(root))
    (root / "factors").mkdir(parents=True)
    counts, shards = dataset_manifest["counts"], dataset_manifest["shards"]
    for prefix, rows, n in (
        (model.user_factors, counts["users"], shards["items_for_user"]),
        (model.item_factors, counts["items"], shards["users_for_item"]),
    ):
        table = rng.integers(-2, 3, (rows, k)).astype(np.float32)
        for shard in range(n):
            np.save(shard_name(prefix, shard, n, ".npy"), table[shard::n])
    content = {"dataset": {"fingerprint": manifest.fingerprint(dataset_manifest)}}
    Path(model.manifest).write_text(manifest.stamp("model", content))


def table(prefix: str) -> np.ndarray:
    paths = sorted(Path(prefix).parent.glob(Path(prefix).name + "-*"))
    parts = [np.load(path) for path in paths]
    whole = np.zeros((sum(map(len, parts)), parts[0].shape[1]))
    for shard, part in enumerate(parts):
        whole[shard :: len(parts)] = part
    return whole


def plainly(root: Path, k: int, include_seen: bool) -> dict[bytes, list[tuple[bytes, float]]]:
    """Spec section 5: score = u . v, best first, ties by contentId, without what the visitor has."""
    dataset, model = Dataset(str(root / "dataset")), Model(str(root / "model"))
    users, items = read_vocabulary(dataset.vocab_users), read_vocabulary(dataset.vocab_items)
    scores = table(model.user_factors) @ table(model.item_factors).T
    seen = {key: set() for key in range(len(users))}
    for path in (root / "dataset").glob("items_for_user-*"):
        for key, indices, _ in tfrecords.read_rows(str(path)):
            seen[key] |= set(indices.tolist())
    found = {}
    for user, name in enumerate(users):
        left = [i for i in range(len(items)) if include_seen or i not in seen[user]]
        left.sort(key=lambda item: (-scores[user, item], items[item]))
        found[name] = [(items[item], scores[user, item]) for item in left[:k]]
    return found


def predict(root: Path, out: Path, replace: bool = False, **prediction) -> dict:
    tree = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model"), "predictions_dir": str(out)}
    tree |= {"beam": {"runner": "FnApiRunner"}, "prediction": prediction}
    return batch_predict.predict(Settings.model_validate(tree), [], replace)


def read_text(out: Path) -> dict[bytes, list[bytes]]:
    lines = [line for path in sorted(out.glob("*.txt")) for line in path.read_bytes().splitlines(keepends=True)]
    return dict(map(textform.parse_line, lines))


def read_json(out: Path) -> dict[bytes, list[tuple[bytes, float]]]:
    found = {}
    for path in sorted(out.glob("*.jsonl")):
        for line in path.read_text().split("\n")[:-1]:
            row = json.loads(line)
            given = row["recommendations"]
            assert [item["rank"] for item in given] == list(range(1, len(given) + 1))
            found[row["visitorId"].encode()] = [(item["contentId"].encode(), item["score"]) for item in given]
    return found


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
    for offsets, items in seen_by_block(batches, 1, 11, size):
        found += [items[a:b].tolist() for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    assert found == [rows.get(key, []) for key in range(11)]


def damaged(root: Path, tmp_path: Path, what: str) -> Path:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    model, dataset = copy / "model", copy / "dataset"
    first = next(iter(sorted((model / "factors").glob("user_factors-*"))))
    if what == "no model":
        (model / "manifest.json").unlink()
    elif what == "no dataset":
        (dataset / "manifest.json").unlink()
    elif what == "other dataset":
        text = (model / "manifest.json").read_text()
        (model / "manifest.json").write_text(text.replace('"fingerprint": "', '"fingerprint": "0'))
    elif what == "no shard":
        first.unlink()
    elif what == "shape":
        np.save(first, np.zeros((1, 3), np.float32))
    elif what == "cut":
        first.write_bytes(first.read_bytes()[:-4])
    elif what == "nan":
        np.save(first, np.load(first) * np.nan)
    return copy


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no model", "model is no finished model"),
        ("no dataset", "dataset is no finished dataset"),
        ("other dataset", "was trained on another dataset than"),
        ("no shard", "user_factors-00000-of-0000.* does not exist"),
        ("shape", "rows of float32 are due; train again"),
        ("cut", "user_factors-00000-of-0000.*.npy ends early"),
        ("nan", "no finite numbers"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(made, tmp_path, what, said):
    with pytest.raises(UserError, match=said):
        predict(damaged(made, tmp_path, what), tmp_path / "out", top_k=2)
    assert not list(tmp_path.glob("out*"))


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
