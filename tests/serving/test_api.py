"""The server over loopback: the SavedModel's own answers in TensorFlow Serving's shapes, and what it refuses."""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import threading

import httpx
import numpy as np
import pytest
import tensorflow as tf

from configs.errors import UserError
from serving import server
from tests.support.served import predict, running, settings, wait

USERS = 1_000
LIMITS = {"max_k": 50, "max_batch": 64, "max_history": 20, "max_id_bytes": 64, "max_body_bytes": 20_000}


def plain(name: bytes):
    """An id as JSON."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(name).decode()}


def plainly(value):
    return [plainly(item) for item in value] if isinstance(value, list) else plain(value)


class World:
    def __init__(self, root, client):
        self.root, self.client = root, client
        self.signatures = tf.saved_model.load(str(root / "model" / "saved_model")).signatures
        vocabularies = root / "dataset" / "transform" / "transform_fn" / "assets"
        self.visitors = (vocabularies / "vocab_users").read_bytes().split(b"\n")[:-1]
        self.item_ids = (vocabularies / "vocab_items").read_bytes().split(b"\n")[:-1]

    def own(self, signature, **inputs):
        """What the SavedModel answers by itself, as JSON."""
        found = self.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        arrays = {name: tensor.numpy() for name, tensor in found.items()}
        return {name: plainly(a.tolist()) if a.dtype == object else a.tolist() for name, a in arrays.items()}

    def refused(self, body, status=400) -> str:
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        answer = self.client.post("/v1/models/wals:predict", content=content)
        assert answer.status_code == status and set(answer.json()) == {"error"}, answer.text
        return answer.json()["error"]


@pytest.fixture(scope="module")
def world(served_model, tmp_path_factory):
    root, catalogue = served_model, tmp_path_factory.mktemp("api") / "catalogue.csv"
    catalogue.write_text('contentId,title,category\nc0,"A title, of <c0>",News\n')
    with running(settings(root / "served", catalogue, **LIMITS)) as client:
        yield World(root, client)


def test_a_thousand_visitors_get_the_saved_models_own_answers(world):
    """Asked by many at once, so that requests share calls of the model."""
    expected = world.own("recommend", visitorId=world.visitors, k=7)
    found, names = {}, [plain(name) for name in world.visitors]

    def ask(part):
        with httpx.Client(base_url=world.client.base_url, timeout=30) as client:
            for at in range(part, USERS, 16):
                by_rows = predict(client, "recommend", "instances", rows=[{"visitorId": names[at], "k": 7}])
                found[at] = by_rows[0]

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in range(USERS):
        scores = np.float32(found[at].pop("scores"))
        assert np.array_equal(scores, np.float32(expected["scores"][at]))
        assert found[at] == {name: expected[name][at] for name in ("contentIds", "count", "rule")}
    assert set(expected["rule"]) == {"factors", "projection", "popularity"}
    figures = world.client.get("/metrics").text
    calls, rows = (float(figures.split(f"wals_batch_rows_{name} ")[1].split("\n")[0]) for name in ("count", "sum"))
    assert rows >= USERS and calls < rows, "some shared a call"


HISTORIES = {"contentIds": [[b"c0", b""], [b"c7919", b"caf\xc3\xa9"]], "ratings": [[1.0, 0.0], [0.25, 2.0]], "k": 3}


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"visitorId": [b"v7919", b"nobody", b"\xff\xfe"], "k": 50}),
        ("recommend", {"visitorId": [b"v0", b"v7919"], "k": [2, 9]}),
        ("recommend_from_history", HISTORIES),
        ("audience", {"contentId": [b"c0", b"today"], "k": 4}),
        ("similar_items", {"contentId": [b"c0", b"none", b" a"], "k": 5}),
        ("explanation", {"visitorId": [b"v0", b"v7919"], "contentId": [b"c0", b"c7919"], "k": 6}),
        ("history", {"visitorId": [b"v0", b"nobody"], "k": 40}),
        ("project", {"indices": [[3, 1], [0, -1]], "values": [[1.0, 0.5], [2.0, 0.0]]}),
    ],
)  # fmt: skip
def test_every_signature_answers_by_columns_and_by_rows(world, signature, inputs):
    types = {"values": np.float32, "ratings": np.float32, "indices": np.int64, "k": np.int32}
    own = world.own(signature, **{name: np.array(v, types[name]) if name in types else v for name, v in inputs.items()})
    sent = {name: value if name in types else plainly(value) for name, value in inputs.items()}
    by_columns = predict(world.client, signature, **sent)
    rows = len(next(iter(inputs.values())))
    each = {
        name: [value] * rows if name == "k" and not isinstance(value, list) else value for name, value in sent.items()
    }
    by_rows = predict(
        world.client, signature, "instances", rows=[{name: each[name][n] for name in each} for n in range(rows)]
    )
    if signature == "project":  # TensorFlow Serving leaves out the name of an only output
        by_columns, by_rows = {"factors": by_columns}, [{"factors": row} for row in by_rows]
    for name, expected in own.items():
        for found in (by_columns[name], [row[name] for row in by_rows]):
            if name in ("contentIds", "visitorIds", "rule"):
                assert found == expected
            else:
                np.testing.assert_array_equal(np.float32(found), np.float32(expected))


def test_people_get_titles_and_ids_of_any_bytes(world):
    for name in (b"v7919", b"a&b=c+d%", b"\xff\xfe", b"nobody"):
        quoted = "".join(f"%{byte:02x}" for byte in name)
        found = world.client.get(f"/recommendations?visitorId={quoted}&k=4").json()
        own = world.own("recommend", visitorId=[name], k=4)
        assert found["visitorId"] == plain(name) and found["rule"] == own["rule"][0] and found["modelVersion"] == 1
        assert [line["contentId"] for line in found["recommendations"]] == own["contentIds"][0]
        assert [line["rank"] for line in found["recommendations"]] == [1, 2, 3, 4]
    assert len(world.client.get("/recommendations?visitorId=v7919").json()["recommendations"]) == 10
    near = world.client.get("/similar_items?contentId=c7919&k=50").json()["similar_items"]
    assert next(line for line in near if line["contentId"] == "c0")["title"] == "A title, of <c0>"
    history = world.client.get("/history?visitorId=v7919&k=50").json()
    assert history["total"] == len(history["history"]) > 3
    reasons = world.client.get("/explanation?visitorId=v7919&contentId=c0&k=50").json()
    assert sum(line["contribution"] for line in reasons["explanation"]) == pytest.approx(reasons["score"], abs=1e-5)
    assert {line["contentId"] for line in reasons["explanation"]} == {line["contentId"] for line in history["history"]}


def test_status_and_metadata_are_tensorflow_servings(world):
    states = world.client.get("/v1/models/wals").json()
    status = {"error_code": "OK", "error_message": ""}
    assert states == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert world.client.get("/v1/models/wals/versions/1").json() == states
    found = world.client.get("/v1/models/wals/versions/1/metadata").json()
    assert found["model_spec"] == {"name": "wals", "signature_name": "", "version": "1"}
    definition = found["metadata"]["signature_def"]["signature_def"]["recommend"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    visitor, k = definition["inputs"]["visitorId"], definition["inputs"]["k"]
    assert visitor["dtype"] == "DT_STRING" and visitor["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert k["dtype"] == "DT_INT32" and k["tensor_shape"]["unknown_rank"]
    for path in ("/v1/models/wals/versions/7", "/v1/models/other", "/v1/models/wals/versions/7/metadata"):
        answer = world.client.get(path)
        assert answer.status_code == 404 and set(answer.json()) == {"error"}
    assert world.client.post("/v1/models/wals/versions/7:predict", json={}).status_code == 404
    assert world.client.get("/v1/models/wals:predict").status_code == 404
    assert world.client.get("/v1/models/wals/versions/HELLO").status_code == 404
    assert world.client.put("/v1/models/wals").status_code == 405


ONE = {"visitorId": ["v0"], "k": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "JSON Parse error"),
        ("instances = [1]", "JSON Parse error"),
        (b'{"inputs": {"visitorId": ["\xff"], "k": 1}}', "JSON Parse error"),
        ("[" * 5000, "JSON Parse error"),
        ("[]", "JSON object"),
        ({}, "one of 'instances'"),
        ({"inputs": ONE, "instances": [ONE]}, "one of 'instances'"),
        ({"signature_name": "drop", "inputs": ONE}, "there are explain"),
        ({"signature_name": ["recommend"], "inputs": ONE}, "string"),
        ({"instances": []}, "at least one row"),
        ({"instances": [{"visitorId": "v0"}]}, r"instances\[0\] must be an object with exactly k, visitorId"),
        ({"instances": [ONE | {"x": 1}]}, "exactly"),
        ({"instances": [{"visitorId": "v0", "k": 1}] * 65}, "65 rows are more than 64"),
        ({"inputs": {"visitorId": ["v0"] * 65, "k": 1}}, "65 rows"),
        ({"inputs": {"visitorId": [], "k": 1}}, "0 rows"),
        ({"inputs": "v0"}, "an object with"),
        ({"inputs": {"visitorId": ["v0"]}}, "Missing named input: k"),
        ({"inputs": {"visitorId": "v0", "k": 1}}, "visitorId must have 1 dimensions"),
        ({"inputs": {"visitorId": [7], "k": 1}}, "visitorId must be strings"),
        ({"inputs": {"visitorId": [None], "k": 1}}, "visitorId must be strings"),
        ({"inputs": {"visitorId": [{"b64": "***"}], "k": 1}}, "no base64"),
        ({"inputs": {"visitorId": ["v" * 65], "k": 1}}, "longer than 64"),
        ({"inputs": {"visitorId": ["a", ["b"]], "k": 1}}, "mixed"),
        ({"inputs": ONE | {"k": 0}}, "k must lie between 1 and 50"),
        ({"inputs": ONE | {"k": -1}}, "k must lie"),
        ({"inputs": ONE | {"k": 1_000_000}}, "k must lie"),
        ({"inputs": ONE | {"k": 2**40}}, "out of range"),
        ({"inputs": ONE | {"k": 2**70}}, "k must be whole numbers|out of range"),
        ({"inputs": ONE | {"k": 1.5}}, "whole"),
        ({"inputs": ONE | {"k": True}}, "whole"),
        ({"inputs": ONE | {"k": []}}, "k must lie"),
        ({"inputs": ONE | {"k": [1, 2, 3]}}, "one k, or one a row"),
        ({"signature_name": "explanation", "inputs": ONE | {"contentId": ["b", "c"]}}, "different numbers of rows"),
        ({"signature_name": "project", "inputs": {"indices": [[10**6]], "values": [[1.0]]}}, "not in|out of"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_with_a_reason(world, body, reason):
    assert re.search(reason, world.refused(body))


@pytest.mark.parametrize(
    ("items", "ratings", "reason"),
    [
        ('[["c0"]]', "[[NaN]]", "JSON Parse error"),
        ('[["c0"]]', "[[1e39]]", "out of range"),
        ('[["c0"]]', "[[1e999]]", "out of range|JSON Parse error"),
        ('[["c0"]]', '[["1"]]', "numbers"),
        ('[["c0", "c0"]]', "[[1, 1]]", "twice"),
        ('[["c0", "c7919"]]', "[[1]]", "one shape"),
        ('[["c0", "c7919"], ["c0"]]', "[[1, 1], [1]]", "all rows must have one length"),
        (json.dumps([[f"x{n}" for n in range(21)]]), json.dumps([[1] * 21]), "21 a row are more than 20"),
    ],
)
def test_a_history_that_makes_no_sense_is_refused(world, items, ratings, reason):
    inputs = f'{{"contentIds": {items}, "ratings": {ratings}, "k": 3}}'
    assert re.search(reason, world.refused(f'{{"signature_name": "recommend_from_history", "inputs": {inputs}}}'))


def test_an_empty_history_gets_what_is_popular(world):
    found = predict(world.client, "recommend_from_history", contentIds=[[]], ratings=[[]], k=3)
    assert found["rule"] == ["popularity"] and found["count"] == [3] and found["known"] == [0]


def test_bodies_are_bounded_and_a_wrong_neighbour_harms_nobody(world):
    assert "larger than 20,000" in world.refused(b" " * 20_001, 413)
    assert "larger than" in world.refused({"inputs": {"visitorId": ["v" * 1_000_000], "k": 1}}, 413)

    def pieces():
        for _ in range(30):
            yield b" " * 1_000

    answer = world.client.post("/v1/models/wals:predict", content=pieces())
    assert answer.status_code == 413
    assert world.client.get("/recommendations?visitorId=" + "v" * 65).status_code == 400
    # Requests that share a call: one of them names an item twice.
    results, good = [], {"contentIds": [["c0"]], "ratings": [[1.0]], "k": 3}

    def ask(body):
        with httpx.Client(base_url=world.client.base_url, timeout=30) as client:
            for _ in range(10):
                sent = {"signature_name": "recommend_from_history", "inputs": body}
                answer = client.post("/v1/models/wals:predict", json=sent)
                results.append((body is good, answer.status_code))

    bad = {"contentIds": [["c0", "c0"]], "ratings": [[1.0, 1.0]], "k": 3}
    threads = [threading.Thread(target=ask, args=(body,)) for body in [good] * 6 + [bad] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {(True, 200), (False, 400)} and len(results) == 80


@pytest.mark.parametrize("query", ["", "visitorId=", "visitorId=a&visitorId=b", "visitorId=a&k=0", "visitorId=a&k=51",
                                   "visitorId=a&k=x", "visitorId=a&k=1.5", "visitorId=a&k=" + "9" * 5000])  # fmt: skip
def test_an_address_that_asks_nothing_is_refused(world, query):
    answer = world.client.get("/recommendations?" + query)
    assert answer.status_code == 400 and set(answer.json()) == {"error"}


def test_too_many_at_once_are_told_to_come_again_and_slow_ones_that_time_is_up(world, monkeypatch):
    released = threading.Event()
    with running(settings(world.root / "served", max_waiting=2, timeout_seconds=1.0, threads=1)) as client:
        from serving.models.model import Model

        run = Model.run
        monkeypatch.setattr(Model, "run", lambda *args: (released.wait(20), run(*args))[1])
        statuses = []

        def ask():
            with httpx.Client(base_url=client.base_url, timeout=30) as own:
                statuses.append(own.get("/recommendations?visitorId=v0").status_code)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait(lambda: "wals_requests_at_work 2.0" in client.get("/metrics").text)
        refused = client.get("/recommendations?visitorId=v0")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        for thread in threads:
            thread.join()
        assert statuses == [504, 504]
        released.set()
        assert client.get("/recommendations?visitorId=v0").status_code == 200


def test_an_endless_head_is_cut_off(world):
    host, port = world.client.base_url.host, world.client.base_url.port
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(b"x" * 5_000_000)


def test_on_loopback_it_answers_to_loopbacks_names_alone(world):
    for host, status in (("localhost:1", 200), ("[::1]:80", 200), ("evil.example", 421), ("127.0.0.1.evil", 421)):
        assert world.client.get("/healthz", headers={"host": host}).status_code == status


def test_no_visitors_id_is_logged_or_counted(world, caplog):
    name = "v-of-somebody-4711"
    with caplog.at_level(logging.DEBUG):
        world.client.get(f"/recommendations?visitorId={name}")
        predict(world.client, "recommend", visitorId=[name], k=3)
        for body in (
            {"visitorId": [name], "k": 0},
            {"visitorId": [[name]], "k": 1},
            {"visitorId": {name: 1}, "k": 1},
        ):
            assert name not in world.refused({"inputs": body})
        world.client.get(f"/{name}")
        world.client.get(f"/v1/models/{name}")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not [line for line in ours if name in line]
    assert name not in world.client.get("/metrics").text


def test_deleted_visitors_are_answered_as_unknown_and_named_to_nobody(world, tmp_path):
    whole = predict(world.client, "audience", contentId=["c0"], k=50)["visitorIds"][0]
    gone = [name for name in whole[:20] if isinstance(name, str)][:5] + ["v7919"]
    names = tmp_path / "deleted.txt"
    names.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(gone).encode())  # as an editor on Windows writes it
    with running(settings(world.root / "served", deleted_visitors=str(names))) as client:
        found = predict(client, "audience", contentId=["c0"], k=10)
        assert found["visitorIds"][0] == [name for name in whole if name not in gone][:10] and found["count"] == [10]
        asked = predict(client, "recommend", visitorId=["v7919", "v0"], k=3)
        assert (
            asked["rule"][0] == "popularity"
            and asked["contentIds"][1] == predict(world.client, "recommend", visitorId=["v0"], k=3)["contentIds"][0]
        )
        assert client.get("/history?visitorId=v7919").json()["total"] == 0
        names.write_text("")
        wait(lambda: client.get("/history?visitorId=v7919").json()["total"] > 0)
    with pytest.raises(UserError, match="cannot be read"):
        server.prepare(settings(world.root / "served", deleted_visitors=str(tmp_path / "none")))


def test_an_address_that_is_taken_or_a_catalogue_that_is_none_is_named(world, tmp_path):
    with pytest.raises(UserError, match="choose another --port"):
        server.prepare(settings(world.root / "served", port=world.client.base_url.port))
    (tmp_path / "c.csv").write_text("id,name\n")
    with pytest.raises(UserError, match="no column contentId"):
        server.prepare(settings(world.root / "served", tmp_path / "c.csv"))
