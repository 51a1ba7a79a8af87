"""The server over loopback: it returns the SavedModel's own answers in TensorFlow Serving's form."""

from __future__ import annotations

import logging
import threading

import httpx
import numpy as np
import pytest

from configs.errors import UserError
from serving import server
from tests.support.served import known_as, predict, running, settings, to_json, wait

USERS = 1_000


def test_a_thousand_visitors_get_the_answers_of_the_saved_model(world):
    """Many clients ask at once, so that requests share calls of the model."""
    expected = world.expected("recommend", visitorId=world.visitors, k=7)
    answers, names = {}, to_json(world.visitors)

    def ask(part):
        with httpx.Client(base_url=world.client.base_url, timeout=30) as client:
            for at in range(part, USERS, 16):
                by_rows = predict(client, "recommend", "instances", rows=[{"visitorId": names[at], "k": 7}])
                answers[at] = by_rows[0]

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in range(USERS):
        scores = np.float32(answers[at].pop("scores"))
        assert np.array_equal(scores, np.float32(expected["scores"][at]))
        assert answers[at] == {name: expected[name][at] for name in ("contentIds", "count", "rule")}
    assert set(expected["rule"]) == {"factors", "projection", "popularity"}
    figures = world.client.get("/metrics").text
    calls, rows = (float(figures.split(f"wals_batch_rows_{name} ")[1].split("\n")[0]) for name in ("count", "sum"))
    assert rows >= USERS and calls < rows, "some requests shared a call"


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
    arrays = {name: np.array(value, types[name]) if name in types else value for name, value in inputs.items()}
    expected = world.expected(signature, **arrays)
    sent = {name: value if name in types else to_json(value) for name, value in inputs.items()}
    by_columns = predict(world.client, signature, **sent)
    rows = len(next(iter(inputs.values())))
    each = {
        name: [value] * rows if name == "k" and not isinstance(value, list) else value for name, value in sent.items()
    }
    by_rows = predict(
        world.client, signature, "instances", rows=[{name: each[name][n] for name in each} for n in range(rows)]
    )
    if signature == "project":  # TensorFlow Serving omits the name of a single output
        by_columns, by_rows = {"factors": by_columns}, [{"factors": row} for row in by_rows]
    for name, values in expected.items():
        for answer in (by_columns[name], [row[name] for row in by_rows]):
            if name in ("contentIds", "visitorIds", "rule"):
                assert answer == values
            else:
                np.testing.assert_array_equal(np.float32(answer), np.float32(values))


def quoted(name: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in name)


def test_get_addresses_return_titles_and_take_ids_of_any_bytes(world):
    for name in (b"v7919", b"a&b=c+d%", b"\xff\xfe", b"nobody"):
        answer = world.client.get(f"/recommendations?visitorId={quoted(name)}&k=4").json()
        expected = world.expected("recommend", visitorId=[name], k=4)
        assert answer["visitorId"] == to_json(name) and answer["rule"] == expected["rule"][0]
        assert answer["modelVersion"] == 1
        assert [line["contentId"] for line in answer["recommendations"]] == expected["contentIds"][0]
        assert [line["rank"] for line in answer["recommendations"]] == [1, 2, 3, 4]
    assert len(world.client.get("/recommendations?visitorId=v7919").json()["recommendations"]) == 10
    similar = world.client.get("/similar_items?contentId=c7919&k=50").json()["similar_items"]
    assert next(line for line in similar if line["contentId"] == "c0")["title"] == "A title, of <c0>"
    history = world.client.get("/history?visitorId=v7919&k=50").json()
    assert history["total"] == len(history["history"]) > 3
    answer = world.client.get("/explanation?visitorId=v7919&contentId=c0&k=50").json()
    assert sum(line["contribution"] for line in answer["explanation"]) == pytest.approx(answer["score"], abs=1e-5)
    assert {line["contentId"] for line in answer["explanation"]} == {line["contentId"] for line in history["history"]}


def test_titles_come_with_the_model_and_those_of_the_catalogue_win(world):
    lines = []
    for item in ("c0", "c7919", "c5831", "c3743", "c1655", "a&b=c+d%"):
        lines += world.client.get(f"/similar_items?contentId={quoted(item.encode())}&k=50").json()["similar_items"]
    found = {line["contentId"]: line for line in lines if isinstance(line["contentId"], str)}
    assert len(found) > 100 and {"c0", "c7919"} <= found.keys()
    for item, line in found.items():
        title, category = known_as(item)
        if item == "c0":
            title, category = "A title, of <c0>", "News"
        elif item == "c7919":
            category = "Books"
        names = {"title": title or item, "category": category or ""} if title or category else {}
        assert line == {name: line[name] for name in ("rank", "contentId", "score")} | names


@pytest.mark.parametrize("item", [b"c7919", b"caf\xc3\xa9", b"\xff\xfe", b"nothing"])
def test_the_audience_of_an_item_is_the_saved_models(world, item):
    answer = world.client.get(f"/audience?contentId={quoted(item)}&k=7").json()
    expected = world.expected("audience", contentId=[item], k=7)
    assert answer["contentId"] == to_json(item) and answer["modelVersion"] == 1
    lines = answer["audience"]
    count = expected["count"][0]
    assert len(lines) == count == 7
    assert [line["rank"] for line in lines] == list(range(1, count + 1))
    assert [line["visitorId"] for line in lines] == expected["visitorIds"][0][:count]
    assert np.array_equal(np.float32([line["score"] for line in lines]), np.float32(expected["scores"][0][:count]))


@pytest.mark.parametrize(("old", "new"), [("/similar?contentId=c0", "/similar_items"), ("/why?k=3", "/explanation")])
def test_an_old_address_names_the_new_one(world, old, new):
    answer = world.client.get(old)
    assert answer.status_code == 404 and answer.json()["error"].endswith(f"its new name is {new}")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/recommendations?visitorId=v0&k=3"])
def test_head_returns_the_head_of_get(world, path):
    head, get = world.client.head(path), world.client.get(path)
    assert head.status_code == get.status_code == 200 and head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert path == "/metrics" or head.headers["content-length"] == get.headers["content-length"]


def test_status_and_metadata_have_tensorflow_servings_form(world):
    states = world.client.get("/v1/models/wals").json()
    status = {"error_code": "OK", "error_message": ""}
    assert states == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert world.client.get("/v1/models/wals/versions/1").json() == states
    metadata = world.client.get("/v1/models/wals/versions/1/metadata").json()
    assert metadata["model_spec"] == {"name": "wals", "signature_name": "", "version": "1"}
    definition = metadata["metadata"]["signature_def"]["signature_def"]["recommend"]
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


def test_an_empty_history_gets_popular_items(world):
    answer = predict(world.client, "recommend_from_history", contentIds=[[]], ratings=[[]], k=3)
    assert answer["rule"] == ["popularity"] and answer["count"] == [3] and answer["known"] == [0]


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
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not [line for line in logged if name in line]
    assert name not in world.client.get("/metrics").text


def test_deleted_visitors_are_answered_as_unknown_and_are_in_no_answer(world, tmp_path):
    before = predict(world.client, "audience", contentId=["c0"], k=50)["visitorIds"][0]
    deleted = [name for name in before[:20] if isinstance(name, str)][:5] + ["v7919"]
    names = tmp_path / "deleted.txt"
    names.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(deleted).encode())  # as an editor on Windows writes it
    with running(settings(world.root / "served", deleted_visitors=str(names))) as client:
        kept = [name for name in before if name not in deleted]
        audience = predict(client, "audience", contentId=["c0"], k=10)
        assert audience["visitorIds"][0] == kept[:10] and audience["count"] == [10]
        lines = client.get("/audience?contentId=c0&k=10").json()["audience"]
        assert [line["visitorId"] for line in lines] == kept[:10]
        answer = predict(client, "recommend", visitorId=["v7919", "v0"], k=3)
        undisturbed = predict(world.client, "recommend", visitorId=["v0"], k=3)
        assert answer["rule"][0] == "popularity" and answer["contentIds"][1] == undisturbed["contentIds"][0]
        assert client.get("/history?visitorId=v7919").json()["total"] == 0
        names.write_text("")
        wait(lambda: client.get("/history?visitorId=v7919").json()["total"] > 0)
    with pytest.raises(UserError, match="does not exist"):
        server.prepare(settings(world.root / "served", deleted_visitors=str(tmp_path / "none")))


def test_a_taken_port_and_a_file_that_is_not_a_catalogue_are_named(world, tmp_path):
    with pytest.raises(UserError, match="choose another --port"):
        server.prepare(settings(world.root / "served", port=world.client.base_url.port))
    (tmp_path / "c.csv").write_text("id,name\n")
    with pytest.raises(UserError, match="no column contentId"):
        server.prepare(settings(world.root / "served", tmp_path / "c.csv"))
