"""Requests that the server refuses: each with a reason, none with a 5xx, and none disturbs another."""

from __future__ import annotations

import json
import math
import re
import socket
import threading

import httpx
import pytest

from serving.models.model import Model
from tests.support.served import running, settings, wait

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
        ({"signature_name": "drop", "inputs": ONE}, "use one of audience"),
        ({"signature_name": ["recommend"], "inputs": ONE}, "string"),
        ({"instances": []}, "at least one row"),
        ({"instances": [{"visitorId": "v0"}]}, r"instances\[0\] must be an object with exactly k, visitorId"),
        ({"instances": [ONE | {"x": 1}]}, "exactly"),
        ({"instances": [{"visitorId": "v0", "k": 1}] * 65}, "at most 64 rows, not 65"),
        ({"inputs": {"visitorId": ["v0"] * 65, "k": 1}}, "rows, not 65"),
        ({"inputs": {"visitorId": [], "k": 1}}, "rows, not 0"),
        ({"inputs": "v0"}, "an object with"),
        ({"inputs": {"visitorId": ["v0"]}}, "Missing named input: k"),
        ({"inputs": ONE | {"x": 1}}, "'inputs' must be an object with exactly k, visitorId"),
        ({"inputs": {"visitorId": "v0", "k": 1}}, "visitorId must have 1 dimension, not 0"),
        ({"inputs": {"visitorId": [7], "k": 1}}, "visitorId must be strings"),
        ({"inputs": {"visitorId": [None], "k": 1}}, "visitorId must be strings"),
        ({"inputs": {"visitorId": [{"b64": "***"}], "k": 1}}, "not base64"),
        ({"inputs": {"visitorId": ["v" * 65], "k": 1}}, "at most 64 bytes, not 65"),
        ({"inputs": {"visitorId": ["a", ["b"]], "k": 1}}, "mixed"),
        ({"inputs": ONE | {"k": 0}}, "k must be between 1 and 50"),
        ({"inputs": ONE | {"k": -1}}, "k must be between"),
        ({"inputs": ONE | {"k": 1_000_000}}, "k must be between"),
        ({"inputs": ONE | {"k": 2**40}}, "out of range"),
        ({"inputs": ONE | {"k": 2**70}}, "k must be whole numbers|out of range"),
        ({"inputs": ONE | {"k": 1.5}}, "whole"),
        ({"inputs": ONE | {"k": True}}, "whole"),
        ({"inputs": ONE | {"k": []}}, "k must be between"),
        ({"inputs": ONE | {"k": [1, 2, 3]}}, "one number per row: 1 rows, 3 numbers"),
        ({"signature_name": "explanation", "inputs": ONE | {"contentId": ["b", "c"]}}, "different numbers of rows"),
        ({"signature_name": "project", "inputs": {"indices": [[10**6]], "values": [[1.0]]}}, "not in|out of"),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused_with_a_reason(world, body, reason):
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
        (json.dumps([[f"x{n}" for n in range(21)]]), json.dumps([[1] * 21]), "at most 20 entries, not 21"),
    ],
)
def test_a_history_that_makes_no_sense_is_refused(world, items, ratings, reason):
    inputs = f'{{"contentIds": {items}, "ratings": {ratings}, "k": 3}}'
    assert re.search(reason, world.refused(f'{{"signature_name": "recommend_from_history", "inputs": {inputs}}}'))


def test_bodies_are_bounded_and_an_invalid_request_does_not_spoil_its_batch(world):
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
def test_an_invalid_query_is_refused(world, query):
    answer = world.client.get("/recommendations?" + query)
    assert answer.status_code == 400 and set(answer.json()) == {"error"}


def test_too_many_requests_get_429_and_slow_ones_504(world, monkeypatch):
    released = threading.Event()
    with running(settings(world.root / "served", max_waiting=2, timeout_seconds=1.0, threads=1)) as client:
        run = Model.run
        monkeypatch.setattr(Model, "run", lambda *args: (released.wait(20), run(*args))[1])
        monkeypatch.setattr(Model, "reads", lambda *_: math.inf)  # as one over a large table: in the threads
        statuses = []

        def ask():
            with httpx.Client(base_url=client.base_url, timeout=30) as connection:
                statuses.append(connection.get("/recommendations?visitorId=v0").status_code)

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


def test_a_server_on_loopback_answers_only_to_loopbacks_names(world):
    for host, status in (("localhost:1", 200), ("[::1]:80", 200), ("evil.example", 421), ("127.0.0.1.evil", 421)):
        assert world.client.get("/healthz", headers={"host": host}).status_code == status


def raw(world, head: str) -> bytes:
    """Send bytes on a connection of its own and return the whole answer."""
    with socket.create_connection((world.client.base_url.host, world.client.base_url.port), timeout=20) as connection:
        connection.sendall(head.replace("\n\n", "\nConnection: close\n\n").replace("\n", "\r\n").encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\nHost: localhost\n\n", 200),
        ("GET /healthz HTTP/1.1\nHost: localhost\nHost: evil.example\n\n", 400),
        ("GET /healthz HTTP/1.1\nHost: evil.example\nHost: localhost\n\n", 400),
        ("GET /recommendations?visitorId=v0 HTTP/1.1\nHost: localhost\nHost: localhost\n\n", 400),
        ("HEAD /readyz HTTP/1.1\nHost: localhost\nhost: localhost\n\n", 400),
        ("GET /healthz HTTP/1.1\n\n", 400),
        ("GET /healthz HTTP/1.0\n\n", 421),
    ],
)
def test_a_request_has_exactly_one_host(world, head, status):
    answer = raw(world, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert status == 200 or head.startswith("HEAD") or b'{"error":' in answer


def test_head_is_answered_while_no_version_is_loaded(tmp_path):
    with running(settings(tmp_path), ready=False) as client:
        assert (client.head("/healthz").status_code, client.head("/readyz").status_code) == (200, 503)
        assert client.head("/v1/models/wals:predict").status_code == 404
