"""Requests of any form: JSON of any depth and breadth in every field, any query, and any bytes on a connection."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from serving.errors import Refusal
from serving.http import answers, codec
from serving.models.model import Model
from tests.support.served import settings

ONE = {"visitorId": ["v0"], "k": 1}
EXAMPLES = int(os.environ.get("WALS_FUZZ_EXAMPLES", "80"))


def nested(value, depth: int):
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [2, 3, 31, 32, 33, 63, 64, 65, 100, 255, 900])
@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_a_deeply_nested_value_is_refused_for_its_dimensions(world, form, depth):
    for name in ("k", "visitorId"):
        row = {"visitorId": "v0", "k": 1}
        row[name] = nested(row[name], depth)
        body = {"inputs": {name: [value] if name == "visitorId" else value for name, value in row.items()}}
        assert re.search("dimension|JSON Parse error", world.refused(body if form == "inputs" else {form: [row]}))


@pytest.fixture(scope="module")
def model(served_model):
    return Model(1, str(served_model / "served" / "wals" / "1"))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.integers(0, 3), st.floats(allow_nan=False),
    st.text(), st.sampled_from(["v0", "c0", ""]), st.sampled_from(["YQ==", "%", ""]).map(lambda data: {"b64": data}),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=2)
)
DEEP = st.builds(nested, SCALARS, st.integers(0, 300))
BROAD = st.builds(lambda value, size: [value] * size, SCALARS, st.integers(0, 300))
ODD = VALUES | DEEP | BROAD
SOUND = {"visitorId": "v0", "contentId": "c0", "contentIds": ["c0", "c1"], "ratings": [1.0, 0.5], "k": 1}


@st.composite
def rows(draw, inputs, by_columns: bool) -> dict:
    """Draw a value for each input of a signature, at least one of them odd, and perhaps an input that it has not."""
    row = {name: [SOUND.get(name, 1)] if by_columns and name != "k" else SOUND.get(name, 1) for name in inputs}
    for name in draw(st.lists(st.sampled_from(sorted(inputs)), min_size=1, max_size=2)):
        row[name] = draw(ODD)
    return row | draw(st.fixed_dictionaries({}, optional={"x": ODD}) if draw(st.integers(0, 5)) == 0 else st.just({}))


@hypothesis_settings(max_examples=2 * EXAMPLES)
@given(st.data(), st.booleans())
def test_no_json_value_of_any_field_is_a_fault_of_the_server(model, data, by_columns):
    signature = data.draw(st.sampled_from(sorted(model.signatures)))
    row = data.draw(rows(model.signatures[signature].inputs, by_columns))
    body = {"signature_name": signature} | ({"inputs": row} if by_columns else {"instances": [row]})
    _ask(model, json.dumps(body).encode())


def test_every_signature_is_answered_for_sound_values(model):
    """The odd values above are next to these, so that their check is reached."""
    for name, signature in model.signatures.items():
        known = {field: SOUND[field] for field in signature.inputs if field in SOUND}
        if known.keys() == signature.inputs.keys():
            assert _ask(model, json.dumps({"signature_name": name, "instances": [known]}).encode()), name


@hypothesis_settings(max_examples=EXAMPLES)
@given(
    st.binary()
    | st.recursive(SCALARS, lambda values: st.dictionaries(st.text(), values)).map(json.dumps).map(str.encode)
)
def test_no_bytes_are_a_fault_of_the_server(model, body):
    _ask(model, body)


@hypothesis_settings(max_examples=EXAMPLES)
@given(st.dictionaries(st.sampled_from(["signature_name", "inputs", "instances", "x"]), VALUES | DEEP | BROAD))
def test_no_fields_of_a_request_are_a_fault_of_the_server(model, body):
    _ask(model, json.dumps(body).encode())


def _ask(model: Model, body: bytes) -> bool:
    """Answer a request or refuse it, and return whether it was answered; any other exception would be a 500."""
    limits = settings("unused").serving
    with contextlib.suppress(Refusal):
        request = codec.parse(body, model.signatures, limits)
        outputs = model.run(request.signature, request.inputs)
        assert all(len(value) == request.rows for value in outputs.values())
        json.loads(codec.encode(outputs, request.by_columns))
        return True
    return False


@hypothesis_settings(max_examples=EXAMPLES)
@given(
    st.lists(st.tuples(st.sampled_from([b"visitorId", b"k", b"x"]), st.binary(max_size=80)), max_size=4),
    st.binary(max_size=20),
)
def test_a_query_has_the_bytes_of_its_ids_or_is_refused(pairs, more):
    limits = settings("unused").serving
    text = b"&".join(name + b"=" + quote_from_bytes(value).encode() for name, value in pairs)
    asked = [value for name, value in pairs if name == b"visitorId"]
    if len(asked) == 1 and asked[0]:
        assert answers.Query(text, limits).id("visitorId") == asked[0]
    query = answers.Query(text + more, limits)
    for read in (query.k, lambda: query.id("visitorId")):
        with contextlib.suppress(Refusal):
            read()


BODY = json.dumps({"inputs": ONE}).encode()
REQUEST = b"POST /v1/models/wals:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
CUT = st.builds(
    lambda first, put, last: REQUEST[:first] + put + REQUEST[last:],
    st.integers(0, len(REQUEST)),
    st.binary(max_size=8)
    | st.sampled_from([b"\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"\x00", REQUEST]),
    st.integers(0, len(REQUEST)),
)


@hypothesis_settings(max_examples=EXAMPLES)
@given(st.binary(max_size=200) | CUT | st.lists(CUT, max_size=3).map(b"".join))
def test_no_bytes_on_a_connection_are_a_fault_of_the_server(world, sent):
    address = world.client.base_url.host, world.client.base_url.port
    with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)  # the server need not wait for more
        connection.recv(65536)
    assert not re.findall(r'method="\w+",path="(?!/readyz).*status="5\d+"', world.client.get("/metrics").text)
