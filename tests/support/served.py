"""Models without training, and real servers on loopback, for the tests of serving."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from artifacts import checksums
from artifacts.names import VOCAB_ITEMS, VOCAB_USERS
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from configs.settings import ColdStartSettings, Settings
from serving import server
from tests.support.datasets import write_dataset, write_items
from tests.support.manifests import dataset_manifest, model_manifest
from trainer.als import wals
from trainer.saved_model import export
from trainer.saved_model.id_lookup import Ids

OBJECTIVE = wals.Objective(0.1, 0.2, 0.5)
ODD = [b" a", b"a ", b"a,b", b"a\tb", b"\xe2\x80\xa8", b"caf\xc3\xa9", b"\xff\xfe", b'"', b"\\", b"a&b=c+d%", b"<b>"]


def write_model(root: Path, users: int, items: int, seed: int = 5) -> Path:
    """Write a model directory as the trainer does: random factors, odd ids, visitors with 0 to 30 items."""
    rng = np.random.default_rng(seed)
    dense = rng.random((users, items)) < rng.integers(0, 31, (users, 1)) / items
    matrix = sp.csr_matrix(np.where(dense, rng.random((users, items)), 0).astype("f"))
    names = [[*ODD, *(b"%s%d" % (letter, n * 7919 % 10_007) for n in range(size - len(ODD)))]
             for letter, size in ((b"v", users), (b"c", items))]  # fmt: skip
    dataset = Dataset(write_dataset(root / "dataset", matrix, *names))
    items_ids = [name.decode("utf-8", "replace") for name in names[1]]
    titles, categories = zip(*map(known_as, items_ids), strict=True)
    write_items(dataset, items_ids, matrix.getnnz(0), title=titles, category=categories)
    user_side, item_side = [wals.Side(rng.normal(size=(n, 5)).astype("f"), matrix.getnnz(axis), np.ones(n, "f"), n)
             for n, axis in ((users, 1), (items, 0))]  # fmt: skip
    model, cold = Model(str(root / "model")), ColdStartSettings()
    export.save(model.saved_model, dataset, user_side, item_side, [SparseRows.from_matrix(matrix)], OBJECTIVE, cold)
    return _with_manifest(model, seed, users, items, matrix.nnz)


def known_as(item: str) -> tuple[str | None, str | None]:
    """Return title and category of an item of `write_model`; odd ids and some others have neither."""
    number = int(item[1:]) if item.startswith("c") and item[1:].isdigit() else 0
    return f"Item {number}" if number % 2 else None, f"Shelf {number % 3}" if number % 3 else None


def _with_manifest(model: Model, number: int, users: int, items: int, interactions: int) -> Path:
    dataset = dataset_manifest(users, items, interactions, median=number)
    manifest = model_manifest(dataset, seconds=number, files=checksums.describe_all(model.root))
    manifest.write(model.manifest)
    return Path(model.root)


class _Small(tf.Module):
    """The signatures that a server requires, with the version's number as every score. They load quickly."""

    def __init__(self, root: Path, number: int):
        super().__init__()
        ids = [b"%s%d" % (letter, n) for letter in (b"v", b"c") for n in range(60)]
        for name, some in ((VOCAB_USERS, ids[:60]), (VOCAB_ITEMS, ids[60:])):
            (root / name).write_bytes(b"".join(one + b"\n" for one in some))
        self.visitor_ids, self.item_ids = Ids(str(root / VOCAB_USERS), "v"), Ids(str(root / VOCAB_ITEMS), "c")
        self.users, self.items = (tf.Variable(tf.fill([60, 5], float(number))) for _ in range(2))

    def _answer(self, ids: tf.Tensor, k: tf.Tensor, *names: str) -> dict[str, tf.Tensor]:
        rows, k = tf.size(ids), tf.reduce_max(k)
        places = tf.range(tf.cast(k, tf.int64))
        visitors, items = (tf.tile(table.ids(places)[None], [rows, 1]) for table in (self.visitor_ids, self.item_ids))
        numbers = tf.fill([rows, k], self.items[0, 0])
        outputs = {"visitorIds": visitors, "contentIds": items, "scores": numbers, "ratings": numbers}
        outputs |= {"contributions": numbers, "score": numbers[:, 0], "total": tf.fill([rows], k)}
        outputs |= {"rule": tf.fill([rows], "factors"), "count": tf.fill([rows], k)}
        return {name: outputs[name] for name in (*names, "count")}

    def signatures(self) -> dict:
        visitor, item = (tf.TensorSpec([None], tf.string, name) for name in ("visitorId", "contentId"))
        k = tf.TensorSpec(None, tf.int32, "k")

        def signature(spec: tf.TensorSpec, *names: str) -> tf.types.experimental.PolymorphicFunction:
            return tf.function(lambda ids, k: self._answer(ids, k, *names), (spec, k))

        explain = lambda _, ids, k: self._answer(ids, k, "contentIds", "contributions", "score")  # noqa: E731
        recommend = signature(visitor, "contentIds", "scores", "rule")
        return {
            "serving_default": recommend,
            "recommend": recommend,
            "history": signature(visitor, "contentIds", "ratings", "total"),
            "audience": signature(item, "visitorIds", "scores"),
            "similar_items": signature(item, "contentIds", "scores"),
            "explanation": tf.function(explain, (visitor, item, k)),
        }


def write_small_model(root: Path, number: int) -> Path:
    """Write a model directory whose scores are all `number`, for tests of versions."""
    root.mkdir(parents=True)
    model = Model(str(root / "model"))
    small = _Small(root, number)
    tf.saved_model.save(small, model.saved_model, small.signatures())
    return _with_manifest(model, number, 60, 60, 600)


def settings(directory: Path, catalogue: Path | None = None, **serving) -> Settings:
    """Return settings for a server on a free port."""
    serving = {"directory": str(directory), "port": 0, "poll_seconds": 0.05} | serving
    return Settings.model_validate({"serving": serving, "catalogue": str(catalogue) if catalogue else None})


@contextlib.contextmanager
def running(settings: Settings, ready: bool = True, verify: ssl.SSLContext | None = None) -> Iterator[httpx.Client]:
    """Run a server in a thread and yield a client of it; verify: for one that speaks HTTPS."""
    uvicorn_server, listening = server.prepare(settings)
    thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    url = f"http{'s' if verify else ''}://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=30, verify=verify or True) as client:
            wait(lambda: client.get("/readyz" if ready else "/healthz").is_success, 180)
            yield client
    finally:
        uvicorn_server.should_exit = True
        thread.join(60)
        listening.close()


def wait(until, seconds: float = 60) -> None:
    """Wait until a condition is true; fail after `seconds`."""
    ends = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < ends, "the condition did not become true"
        time.sleep(0.02)


def predict(client: httpx.Client, signature: str, form: str = "inputs", **inputs) -> dict:
    """Run a signature by columns (`inputs`) or by rows (`instances`, given as `rows`)."""
    body = {"signature_name": signature, form: inputs if form == "inputs" else inputs["rows"]}
    answer = client.post("/v1/models/wals:predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs" if form == "inputs" else "predictions"]


def to_json(value):
    """Return an id, or nested lists of ids, as JSON."""
    if isinstance(value, list):
        return [to_json(element) for element in value]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


class World:
    """A model in TensorFlow, and a server of it: its own answers are the oracle of the server's."""

    def __init__(self, root: Path, client: httpx.Client):
        self.root, self.client = root, client
        self.signatures = tf.saved_model.load(str(root / "model" / "saved_model")).signatures
        vocabulary = root / "dataset" / "transform" / "transform_fn" / "assets" / VOCAB_USERS
        self.visitors = vocabulary.read_bytes().split(b"\n")[:-1]

    def expected(self, signature: str, **inputs) -> dict:
        """Return the SavedModel's own answer as JSON."""
        outputs = self.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        return {name: to_json(a.tolist()) if a.dtype == object else a.tolist() for name, a in arrays.items()}

    def refused(self, body, status: int = 400) -> str:
        """Send a predict request that must be refused, and return the reason."""
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        answer = self.client.post("/v1/models/wals:predict", content=content)
        assert answer.status_code == status and set(answer.json()) == {"error"}, answer.text
        return answer.json()["error"]
