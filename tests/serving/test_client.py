"""The Python client asks for what the server's OpenAPI description has, and for nothing else."""

from __future__ import annotations

import urllib.parse

import pytest

from serving.client import Client, ServerError, view

VISITOR, ITEM = "of-python", "c7919"
CALLS = {
    "events": lambda client: client.send_events(VISITOR, [view(ITEM), view("c0", "purchase")]),
    "recommendations": lambda client: client.recommendations(
        VISITOR, 3, includeSeen=True, exclude=[ITEM, "c0"], minScore=-9.5
    ),
    "history": lambda client: client.history(VISITOR, 3),
    "similar_items": lambda client: client.similar_items(ITEM, 3, exclude=["c0"]),
    "search": lambda client: client.search("c", 3),
    "views": lambda client: client.views(VISITOR, 3),
    "audience": lambda client: client.audience(ITEM, 3),
    "explanation": lambda client: client.explanation(VISITOR, ITEM, 3),
}


@pytest.fixture
def client(world):
    return Client(f"{world.client.base_url}/")


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_as_the_description_says(world, client, name, monkeypatch):
    document = world.client.get("/openapi.json").json()
    described = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if {"Answers", "Events"} & set(operation["tags"])
    }
    assert described.keys() == CALLS.keys(), "each of these addresses has a method"
    sent, ask = [], client._ask
    monkeypatch.setattr(client, "_ask", lambda *request: sent.append(request) or ask(*request))
    answer = CALLS[name](client)
    path, method, operation = described[name]
    ((sent_method, sent_path, body),) = sent
    address, _, query = sent_path.partition("?")
    assert (sent_method.lower(), address) == (method, path)
    asked, parameters = set(urllib.parse.parse_qs(query)), operation.get("parameters", [])
    assert asked <= {each["name"] for each in parameters}
    assert asked >= {each["name"] for each in parameters if each.get("required") or each["name"] == "k"}
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(schema["required"]) <= set(answer) <= set(schema["properties"])
    if body:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert b"client_id" in body and {"client_id", "timestamp_micros", "events"} <= set(schema["properties"])
        assert answer == {"events": 2, "kept": 2, "leftOut": {}}


def test_a_refusal_names_its_reason(client):
    with pytest.raises(ServerError, match=r"400: 'events' must be a list") as refused:
        client.send_events(VISITOR, [])
    assert refused.value.status == 400


def test_events_are_tried_again_with_the_same_time(monkeypatch):
    times = []

    def urlopen(request, timeout):
        times.append(request.data)
        raise ConnectionResetError("gone")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(ServerError, match="cannot be reached"):
        Client("http://127.0.0.1:9", tries=3).send_events(VISITOR, [view(ITEM)])
    assert len(times) == 3 and len(set(times)) == 1
