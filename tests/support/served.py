"""Models made without training, and real servers over loopback: for the tests of serving."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from artifacts import manifests, tf_storage
from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset, Model
from configs.settings import ColdStartSettings, Settings
from ranking.sparse_rows import SparseRows
from serving import server
from tests.support.datasets import write_dataset
from trainer.als import wals
from trainer.saved_model import export
from trainer.saved_model.id_lookup import Ids

OBJECTIVE = wals.Objective(0.1, 0.2, 0.5)
ODD = [b" a", b"a ", b"a,b", b"a\tb", b"\xe2\x80\xa8", b"caf\xc3\xa9", b"\xff\xfe", b'"', b"\\", b"a&b=c+d%", b"<b>"]


def write_model(root: Path, users: int, items: int, seed: int = 5) -> Path:
    """A model directory as the trainer writes it: random factors, odd ids, visitors with 0 to 30 items."""
    rng = np.random.default_rng(seed)
    dense = rng.random((users, items)) < rng.integers(0, 31, (users, 1)) / items
    matrix = sp.csr_matrix(np.where(dense, rng.random((users, items)), 0).astype("f"))
    names = [[*ODD, *(b"%s%d" % (letter, n * 7919 % 10_007) for n in range(size - len(ODD)))]
             for letter, size in ((b"v", users), (b"c", items))]  # fmt: skip
    dataset = Dataset(write_dataset(root / "dataset", matrix, *names))
    sides = [wals.Side(rng.normal(size=(n, 5)).astype("f"), matrix.getnnz(axis), np.ones(n, "f"), n)
             for n, axis in ((users, 1), (items, 0))]  # fmt: skip
    model, cold = Model(str(root / "model")), ColdStartSettings()
    export.save(model.saved_model, dataset, *sides, [SparseRows.from_matrix(matrix)], OBJECTIVE, cold)
    return _with_manifest(model, seed, users, items, matrix.nnz)


def _with_manifest(model: Model, number: int, users: int, items: int, interactions: int) -> Path:
    content = {"dataset": {"fingerprint": str(number)}, "users": users, "items": items, "interactions": interactions}
    content["files"] = tf_storage.describe_all(model.root)
    Path(model.manifest).write_text(manifests.stamp("model", content))
    return Path(model.root)


class _Small(tf.Module):
    """The signatures that a server asks for, answering the version's number; made and loaded in a tenth of the time."""

    def __init__(self, root: Path, number: int):
        super().__init__()
        ids = [b"%s%d" % (letter, n) for letter in (b"v", b"c") for n in range(60)]
        for name, some in ((VOCAB_USERS, ids[:60]), (VOCAB_ITEMS, ids[60:])):
            (root / name).write_bytes(b"".join(one + b"\n" for one in some))
        self.visitors, self.items = Ids(str(root / VOCAB_USERS), "v"), Ids(str(root / VOCAB_ITEMS), "c")
        self.variables_by_name = {name: tf.Variable(tf.fill([60, 5], float(number))) for name in ("users", "items")}

    def _answer(self, ids: tf.Tensor, k: tf.Tensor, *called: str) -> dict[str, tf.Tensor]:
        rows, k = tf.size(ids), tf.reduce_max(k)
        names = self.items.ids(tf.range(tf.cast(k, tf.int64)))
        numbers = tf.fill([rows, k], self.variables_by_name["items"][0, 0])
        answer = {"contentIds": tf.tile(names[None], [rows, 1]), called[0]: numbers, "count": tf.fill([rows], k)}
        more = {"rule": tf.fill([rows], "factors"), "total": tf.fill([rows], k), "score": numbers[:, 0]}
        return answer | {name: more[name] for name in called[1:]}

    def signatures(self) -> dict:
        visitor, content = (tf.TensorSpec([None], tf.string, f"{name}Id") for name in ("visitor", "content"))
        k = tf.TensorSpec(None, tf.int32, "k")
        recommend = tf.function(lambda ids, k: self._answer(ids, k, "scores", "rule"), (visitor, k))
        history = tf.function(lambda ids, k: self._answer(ids, k, "ratings", "total"), (visitor, k))
        similar = tf.function(lambda ids, k: self._answer(ids, k, "scores"), (content, k))
        explain = tf.function(lambda _, ids, k: self._answer(ids, k, "contributions", "score"), (visitor, content, k))
        both = {"serving_default": recommend, "recommend": recommend}
        return both | {"history": history, "similar_items": similar, "explanation": explain}


def write_small_model(root: Path, number: int) -> Path:
    """A model directory whose answers all score `number`: for what is about versions, whatever they answer."""
    root.mkdir(parents=True)
    model = Model(str(root / "model"))
    small = _Small(root, number)
    tf.saved_model.save(small, model.saved_model, small.signatures())
    return _with_manifest(model, number, 60, 60, 600)


def settings(directory: Path, catalogue: Path | None = None, **serving) -> Settings:
    own = {"directory": str(directory), "port": 0, "poll_seconds": 0.05} | serving
    return Settings.model_validate({"serving": own, "catalogue": str(catalogue) if catalogue else None})


@contextlib.contextmanager
def running(settings: Settings, ready: bool = True) -> Iterator[httpx.Client]:
    """A server in a thread, and a client of it."""
    serves, listening = server.prepare(settings)
    thread = threading.Thread(target=serves.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            wait(lambda: client.get("/readyz").is_success if ready else client.get("/healthz").is_success)
            yield client
    finally:
        serves.should_exit = True
        thread.join(60)
        listening.close()


def wait(until, seconds: float = 60) -> None:
    """Until it is true; fails where it does not become so."""
    ends = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < ends, "did not happen"
        time.sleep(0.02)


def predict(client: httpx.Client, signature: str, way: str = "inputs", **given) -> dict:
    body = {"signature_name": signature, way: given if way == "inputs" else given["rows"]}
    answer = client.post("/v1/models/wals:predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs" if way == "inputs" else "predictions"]
