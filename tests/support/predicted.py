"""Datasets and models made without TFT or training, and predictions read back: for the tests of batch prediction."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from artifacts import tfrecords
from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset, Model, shard_name
from artifacts.sparse_rows import SparseRows
from artifacts.vocabulary import Vocabulary
from configs.settings import Settings, TrainingSettings
from pipeline import batch_predict
from pipeline.prediction.writers import textform
from tests.support import manifests
from tests.support.datasets import write_items
from tests.support.exports import PLAIN_RUNNER, event, make_dataset, write_ndjson

USERS = ["anna ", "007", "a\tb", "ü", "x" * 1_000_000, "last"]
ITEMS = ["0,1", "tab\t", "back\\slash", "ß", "y" * 1_000_000, " lead", "z1", "z2", "z3"]


def make_odd_world(root: Path, shards: int, zipped: bool) -> None:
    """Write a dataset with odd ids, and a model with whole numbers for factors, so that scores tie and are exact."""
    rng = np.random.default_rng(0)
    rows = [event(u, i, 100 * n) for u in USERS for n, i in enumerate(rng.choice(ITEMS, 4, replace=False).tolist(), 1)]
    rows += [event("everything", item, 50) for item in ITEMS]
    export = write_ndjson(root / "events", rows)
    make_dataset(root / "dataset", export, "ga4", dataset={"shards": shards, "gzip": zipped})
    write_model(root / "model", DatasetManifest.read(Dataset(str(root / "dataset")).manifest), rng)


def write_model(
    root: Path, dataset_manifest: DatasetManifest, rng, k: int = 3, real: bool = False, cold_start: dict | None = None
) -> None:
    model = Model(str(root))
    (root / "factors").mkdir(parents=True)
    counts, shards = dataset_manifest.counts, dataset_manifest.shards
    for factors, weights, rows, n in (
        (model.user_factors, model.user_weights, counts.users, shards["items_for_user"]),
        (model.item_factors, model.item_weights, counts.items, shards["users_for_item"]),
    ):
        table = (rng.standard_normal((rows, k)) if real else rng.integers(-2, 3, (rows, k))).astype(np.float32)
        own = (np.random.default_rng(rows).random((rows, 1)) + 0.5).astype(np.float32)
        for shard in range(n):
            np.save(shard_name(factors, shard, n, ".npy"), table[shard::n])
            np.save(shard_name(weights, shard, n, ".npy"), own[shard::n])
    manifest = manifests.model_manifest(
        dataset_manifest,
        training=TrainingSettings(
            embedding_dimension=k, unobserved_weight=0.1, regularization_coeff=0.2, frequency_exponent=0.5
        ),
        cold_start=cold_start or {"min_ratings": 0, "min_site_ratings": 0},
        files=manifests.describe_below(root, *(root / "factors").iterdir()),
    )
    manifest.write(model.manifest)


def write_dataset(
    root: Path, rows: dict[int, list[int]], users: int, items: int, shards: int, zipped: bool
) -> DatasetManifest:
    """Write a dataset of made ids without TFT, quickly; users that `rows` does not name have no record."""
    dataset, suffix = Dataset(str(root)), ".gz" if zipped else ""
    Path(dataset.vocab_users).parent.mkdir(parents=True)
    files = {}
    for path, count, letter in ((dataset.vocab_users, users, "v"), (dataset.vocab_items, items, "c")):
        Path(path).write_text("".join(f"{letter}{number * 7919 % 10_007:05d}\n" for number in range(count)))
        files |= manifests.describe_below(root, path)
    counts = np.bincount([item for some in rows.values() for item in some], minlength=items)
    ids = [name.decode() for name in Vocabulary.read(dataset.vocab_items).ids]
    day = np.arange(items) % 50 * 86_400_000  # of the first view
    write_items(dataset, ids, counts, first_time_ms=day, last_time_ms=day + 1000)
    files |= manifests.describe_below(root, dataset.items)
    for shard in range(shards):
        keys = [key for key in sorted(rows) if key % shards == shard]
        flat = np.array([item for key in keys for item in rows[key]], np.int64)
        offsets = np.cumsum([0] + [len(rows[key]) for key in keys])
        values = np.random.default_rng(shard).random(len(flat)).astype(np.float32)
        data, begins = tfrecords.encode(SparseRows(np.array(keys, np.int64), offsets, flat, values))
        framed = tfrecords.frame(data, begins.tolist())
        name = shard_name(dataset.items_for_user, shard, shards, suffix)
        Path(name).write_bytes(gzip.compress(framed) if zipped else framed)
        files |= manifests.describe_below(root, name)
    manifest = manifests.dataset_manifest(
        users,
        items,
        sum(map(len, rows.values())),
        shards={"items_for_user": shards, "users_for_item": shards},
        compression="gzip" if zipped else "none",
        files=files,
    )
    manifest.write(dataset.manifest)
    return manifest


def make_world(root: Path, shards: int, zipped: bool = False, cold_start: dict | None = None) -> Path:
    """Write the same 150 visitors, 90 items and factors for any number of shards; every third visitor has no record."""
    rng = np.random.default_rng(7)
    rows = {key: sorted(rng.choice(90, rng.integers(1, 85), replace=False).tolist()) for key in range(150) if key % 3}
    made = write_dataset(root / "dataset", rows, 150, 90, shards, zipped)
    write_model(root / "model", made, np.random.default_rng(8), 9, True, cold_start)
    return root


def table(prefix: str) -> np.ndarray:
    paths = sorted(Path(prefix).parent.glob(Path(prefix).name + "-*"))
    parts = [np.load(path) for path in paths]
    whole = np.zeros((sum(map(len, parts)), parts[0].shape[1]))
    for shard, part in enumerate(parts):
        whole[shard :: len(parts)] = part
    return whole


def plainly(root: Path, k: int, include_seen: bool) -> dict[bytes, list[tuple[bytes, float]]]:
    """Spec section 5 for those with own factors or nothing: best first, ties by itemId, without what they have."""
    dataset, model = Dataset(str(root / "dataset")), Model(str(root / "model"))
    users, items = Vocabulary.read(dataset.vocab_users).ids, Vocabulary.read(dataset.vocab_items).ids
    scores = table(model.user_factors) @ table(model.item_factors).T
    popularity = pq.read_table(dataset.items)["popularity"].to_numpy()
    seen = {key: set() for key in range(len(users))}
    for path in (root / "dataset").glob("items_for_user-*"):
        for key, indices, _ in tfrecords.read_rows(str(path)):
            seen[key] |= set(indices.tolist())
    found = {}
    for user, name in enumerate(users):
        if not seen[user]:  # nothing is known
            scores[user] = popularity
        left = [i for i in range(len(items)) if include_seen or i not in seen[user]]
        left.sort(key=lambda item: (-scores[user, item], item))
        found[name] = [(items[item], scores[user, item]) for item in left[:k]]
    return found


def predict(
    root: Path,
    out: Path,
    replace: bool = False,
    catalogue: Path | None = None,
    runner: str = PLAIN_RUNNER,
    **prediction,
) -> dict:
    tree = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model"), "predictions_dir": str(out)}
    tree |= {"beam": {"runner": runner}, "prediction": prediction, "catalogue": catalogue and str(catalogue)}
    return batch_predict.predict(Settings.model_validate(tree), [], replace, str(out)).model_dump(mode="json")


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


def lines_of(out: Path, suffix: str) -> list[bytes]:
    return sorted(line for path in out.glob(f"*{suffix}") for line in path.read_bytes().splitlines(keepends=True))
