"""No message, log line or traceback shows an id: marked ids are in every input, and each command is run to errors.

`rejected/` shows ids where they are not hashed (docs/privacy.md); nothing else does.
"""

import contextlib
import datetime
import io
import json
import logging
import socket
import sys
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from configs import cli
from configs.errors import UserError
from configs.settings import Settings, TrainingSettings
from pipeline import batch_predict, hash_ids, preprocess, show
from pipeline.prediction import plan
from serving import server
from tests.support import quick_export, served
from tests.support.datasets import write_dataset
from tests.support.exports import PLAIN_RUNNER, event, hit, interactions, session, settings
from tests.support.predicted import make_world
from trainer.job import training_job

MARK = "ann@example.org-MARK"
FORMS = (MARK, "example.org", "-MARK")


@contextlib.contextmanager
def nothing_marked(capfd, caplog):
    """Check what a block printed and logged, and the whole traceback of an error, which it may raise."""
    caplog.set_level(logging.INFO)
    shown = ""
    try:
        yield
    except BaseException as error:  # also SystemExit of argparse
        shown = "".join(traceback.format_exception(error))
        if not isinstance(error, UserError | SystemExit):
            raise
    out, err = capfd.readouterr()
    for text in (shown, out, err, caplog.text):
        assert not any(form in text for form in FORMS), text


def run(main, *argv) -> None:
    """Run a command to its end; raise its error where there is one."""
    if status := cli.run(main, [str(argument) for argument in argv]):
        raise SystemExit(status)


# Files of a table, of GA360 and of GA4, each with something wrong at or next to a marked id.
SOUND = f"visitorId,contentId,stars,day\n{MARK},{MARK},5,2024-01-05\n"
TABLES: dict[str, Any] = {
    "no header": f"{MARK},tea,5\n",
    "JSON": json.dumps({"visitorId": MARK}) + "\n",
    "a header of marks": f"{MARK},{MARK},{MARK}\n{MARK},{MARK},5\n",
    "a rating that is a mark": f"{SOUND}{MARK},tea,{MARK},2024-01-05\n",
    "a time that is a mark": f"{SOUND}{MARK},tea,5,{MARK}\n",
    "a quote that is not closed": f'{SOUND}"{MARK},tea,5,\n',
    "columns too many": f"{SOUND}{MARK},{MARK},{MARK},{MARK},{MARK}\n",
    "columns too few": f"{SOUND}{MARK}\n",
    "not UTF-8": SOUND.encode() + MARK.encode() + b"\xff,\xff,5,\n",
    "Latin-1 in the header": f"{MARK}é,contentId\n".encode("latin-1"),
    "UTF-16 that is cut off": SOUND.encode("utf-16")[:-1],
    "NUL": f"{SOUND}{MARK}\0,tea,5,\n",
    "gzip that is cut off": b"\x1f\x8b\x08" + MARK.encode(),
    "Avro of bytes": b"Obj\x01" + MARK.encode() * 9,
    "Parquet of bytes": b"PAR1" + MARK.encode() * 9 + b"PAR1",
    "a PDF": b"%PDF" + MARK.encode(),
}
ROWS_360 = {
    "hits that are a mark": session(MARK, 1, MARK),
    "a hit that is a mark": session(MARK, 1, [MARK]),
    "a visitor that is an object": session({MARK: MARK}, 1, [hit(1, 0, MARK)]),
    "a start that is a mark": session(MARK, 1, [hit(1, 0, MARK)], visitStartTime=MARK),
    "a date that is a mark": session(MARK, 1, [hit(1, 0, MARK)], day=MARK),
    "a line end": session(MARK + "\n", 1, [hit(1, 0, MARK)]),
    "other dimensions": session(MARK, 1, [{"hitNumber": "1", "customDimensions": [{"index": MARK, "value": MARK}]}]),
}
ROWS_4 = {
    "parameters that are a mark": event(MARK, MARK, event_params=MARK),
    "a key that is a mark": event(MARK, None, event_params=[{"key": MARK, "value": {"string_value": MARK}}]),
    "a dwell that is a mark": event(MARK, MARK, MARK),
    "a time that is a mark": event(MARK, MARK, 5, event_timestamp=MARK),
    "a date that is a mark": event(MARK, MARK, 5, event_date=MARK),
}
LINES = {
    "not JSON": f'{{"{MARK}": {MARK}',
    "cut off": f'{{"fullVisitorId": "{MARK}',
    "a list": f'["{MARK}"]',
    "text": f'"{MARK}"',
    "nothing but a mark": MARK,
    "a bad escape": f'{{"{MARK}": "\\x{MARK}"}}',
    "a key twice": f'{{"{MARK}": 1, "{MARK}": 2}} {MARK}',
}


def read(path: Path, kind: str, **source) -> None:
    """Read a file to its end, by record; a window makes dates matter."""
    rating = {"kind": "linear" if kind == "table" else "median"}
    interactions(settings(path.parent / "out", path, kind, source=source, rating=rating))


TABLE = {"rating_column": "stars"}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("more", [{}, {"time_column": "day", "start_date": "2024-01-01"}])
def test_tables(tmp_path, capfd, caplog, name, more):
    data = TABLES[name]
    (tmp_path / "in").write_bytes(data if isinstance(data, bytes) else data.encode())
    with nothing_marked(capfd, caplog):
        read(tmp_path / "in", "table", **TABLE, **more)


@pytest.mark.parametrize("kind", ["ga360", "ga4"])
def test_exports(tmp_path, capfd, caplog, kind):
    rows = ROWS_360 if kind == "ga360" else ROWS_4
    lines = [json.dumps(row) for row in rows.values()] + list(LINES.values())
    for line in lines:
        for text in (f"{line}\n", line, f"{line}\n{MARK}\n", "\n".join([*lines[:3], line])):
            (tmp_path / "in").write_text(text)
            with nothing_marked(capfd, caplog):
                read(tmp_path / "in", kind, start_date="2024-01-01")


PARQUET = {
    "text": pa.array([MARK]),
    "structs": pa.array([{MARK: MARK}]),
    "lists": pa.array([[MARK]]),
    "maps": pa.array([[(MARK, MARK)]], pa.map_(pa.string(), pa.string())),
    "a dictionary": pa.array([MARK]).dictionary_encode(),
    "binary": pa.array([MARK.encode() + b"\xff"]),
    "times": pa.array([datetime.datetime(2024, 1, 5)]),
    "decimals": pa.array([Decimal("1.5")]),
}


@pytest.mark.parametrize("kind", ["table", "ga360", "ga4"])
def test_parquet(tmp_path, capfd, caplog, kind):
    names = {
        "table": ("visitorId", "contentId", "stars"),
        "ga360": ("fullVisitorId", "visitId", "hits", "date", "visitStartTime"),
        "ga4": ("user_pseudo_id", "event_params", "event_timestamp", "event_date"),
    }[kind]
    for odd in names:
        for column in PARQUET.values():
            columns = dict.fromkeys((*names, MARK), PARQUET["text"]) | {odd: column}
            table = pa.table(columns).replace_schema_metadata({MARK: MARK})
            pq.write_table(table, tmp_path / "in")
            with nothing_marked(capfd, caplog):
                read(tmp_path / "in", kind, **(TABLE if kind == "table" else {"start_date": "2024-01-01"}))
    pq.write_table(pa.table({MARK: [MARK]}), tmp_path / "in")
    with nothing_marked(capfd, caplog):
        read(tmp_path / "in", kind, **(TABLE if kind == "table" else {}))
    data = (tmp_path / "in").read_bytes()
    for end in range(8, len(data), 97):
        (tmp_path / "in").write_bytes(data[:end] + data[end + 5 :])
        with nothing_marked(capfd, caplog):
            read(tmp_path / "in", kind, **(TABLE if kind == "table" else {}))


def test_avro(tmp_path, capfd, caplog):
    def field(kind):
        return {"name": "user_pseudo_id", "type": kind}

    record = {"type": "record", "name": "mark", "fields": [{"name": "x", "type": "string"}]}
    enum = {"type": "enum", "name": "mark", "symbols": ["ann"]}
    kinds: list[tuple[Any, Any]] = [
        ("string", MARK),
        (record, {"x": MARK}),
        (["string", "long"], MARK),
        ({"type": "map", "values": "string"}, {MARK: MARK}),
    ]
    kinds += [({"type": "array", "items": "string"}, [MARK]), (enum, "ann"), ("bytes", MARK.encode() + b"\xff")]
    for kind, value in kinds:
        schema = {"type": "record", "name": "row", "doc": MARK, "fields": [field(kind)]}
        file = io.BytesIO()
        fastavro.writer(file, schema, [{"user_pseudo_id": value}])
        data = file.getvalue()
        for text in (data, data[:-20], data.replace(MARK.encode(), b"\xff" * len(MARK)) + MARK.encode()):
            (tmp_path / "in").write_bytes(text)
            with nothing_marked(capfd, caplog):
                read(tmp_path / "in", "ga4")
    (tmp_path / "in").write_bytes(data.replace(b'"record"', b'"MARKED"'))
    with nothing_marked(capfd, caplog):
        read(tmp_path / "in", "ga4")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("table", TABLES["no header"]),
        ("table", f"{SOUND}{MARK},tea,{MARK},\n{MARK}\n"),
        ("ga4", "\n".join(map(json.dumps, ROWS_4.values()))),
        ("ga4", LINES["cut off"]),
        ("ga360", "\n".join(LINES.values())),
    ],
)
def test_preprocessing(tmp_path, capfd, caplog, kind, text):
    """Also Beam's log of a worker's error."""
    (tmp_path / "in").write_text(text)
    (tmp_path / "c.yaml").write_text("beam: {runner: FnApiRunner}\nrating: {kind: linear}\n")
    flags = ["--source", kind, "--input", tmp_path / "in", "--dataset_dir", tmp_path / "out"]
    flags += ["--set", "source.rating_column=stars"] if kind == "table" else ["--set", "rating.kind=binary"]
    with nothing_marked(capfd, caplog):
        run(preprocess.main, "--config", tmp_path / "c.yaml", *flags)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = make_world(tmp_path_factory.mktemp("world"), 1)
    tree = {"dataset_dir": str(root / "dataset"), "model_dir": str(root / "model"), "prediction": {"top_k": 2}}
    tree |= {"predictions_dir": str(root / "predictions"), "beam": {"runner": PLAIN_RUNNER}}
    (root / "c.yaml").write_text(json.dumps(tree))
    return root


LISTS: dict[str, Any] = {
    "unknown": f"{MARK}\n",
    "weights": f"{MARK},1\n{MARK},{MARK}\n",
    "a catalogue": f"contentId,title,category\n{MARK},{MARK}\n",
    "a header": f"{MARK};{MARK};{MARK}\n",
    "a quote": f'contentId,title,category\n"{MARK}\n',
    "Latin-1": f"{MARK}é\n".encode("latin-1"),
    "NUL": f"{MARK}\0\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_weights_and_catalogues(world, tmp_path, capfd, caplog, monkeypatch, name):
    data = LISTS[name]
    data = data if isinstance(data, bytes) else data.encode()
    path = tmp_path / "list"
    path.write_bytes(data)
    tree = json.loads((world / "c.yaml").read_text())
    for more in (
        {"prediction": {"top_k": 2, "kind": "similar_items", "only": str(path)}},
        {"prediction": {"top_k": 2, "allow": str(path)}},
        {"prediction": {"top_k": 2, "block": str(path)}},
        {"prediction": {"top_k": 2, "max_per_category": 1}, "catalogue": str(path)},
        {"privacy": {"deleted_visitors": str(path)}},
    ):
        with nothing_marked(capfd, caplog):
            plan.make(Settings.model_validate(tree | more))
    rows = write_dataset(tmp_path / "rows", sp.random(9, 7, 0.5, random_state=1))
    with nothing_marked(capfd, caplog), quick_export.without_graphs():
        weighted = TrainingSettings(row_weights_file=str(path), embedding_dimension=2)
        training_job.train(weighted, rows, str(tmp_path / "model"), False)
    for serving in ({"catalogue": path}, {"deleted_visitors": str(path)}):
        with nothing_marked(capfd, caplog):
            _, listening = server.prepare(served.settings(tmp_path, **serving), required_catalogue=True)
            listening.close()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    monkeypatch.setenv("A_KEY", "0123456789abcdef")
    with nothing_marked(capfd, caplog):
        run(hash_ids.main, "--config", world / "c.yaml", "--set", "privacy.hash_key_env=A_KEY")


def test_a_visitor_to_show_and_predictions_that_are_damaged(world, tmp_path, capfd, caplog):
    config = ["--config", world / "c.yaml"]
    run(batch_predict.main, *config, "--replace")
    capfd.readouterr()
    (path,) = (world / "predictions").glob("*.jsonl")
    whole = path.read_text()
    with nothing_marked(capfd, caplog):
        run(show.main, *config, "--visitor_id", MARK)
    entry = {"visitorId": MARK, "recommendations": [{"rank": 1, "contentId": MARK, "score": MARK}]}
    for line in (MARK, json.dumps(MARK), json.dumps({MARK: MARK}), json.dumps(entry), json.dumps(entry)[:-9]):
        path.write_text(f"{line}\n{whole}")
        with nothing_marked(capfd, caplog):
            run(show.main, *config)


@pytest.mark.parametrize("line", [f'["{MARK}"', f"{MARK}: {{", f"'{MARK}", f"@{MARK}", f"[{MARK}, {MARK}: ]"])
def test_a_config_that_names_visitors(tmp_path, capfd, caplog, line):
    (tmp_path / "c.yaml").write_text(f"serving:\n  example_visitors: {line}\n")
    with nothing_marked(capfd, caplog):
        run(show.main, "--config", tmp_path / "c.yaml")


NUMBER = {"inputs": {"visitorId": ["v0"], "k": 1}}
BODIES: list[Any] = [
    MARK,
    f'{{"inputs": {{"visitorId": ["{MARK}", ',
    f'{{"{MARK}": {MARK}}}',
    [MARK],
    {MARK: MARK},
    {"instances": [MARK]},
    {"instances": [{MARK: MARK}]},
    {"instances": [{"visitorId": MARK, "k": MARK}]},
    {"instances": [{"visitorId": {MARK: MARK}, "k": 1}]},
    {"inputs": MARK},
    {"inputs": {MARK: [MARK], "k": 1}},
    {"inputs": {"visitorId": [MARK, [MARK]], "k": 1}},
    {"inputs": {"visitorId": [{"b64": MARK}], "k": 1}},
    {"inputs": {"visitorId": [MARK * 100], "k": 1}},
    {"inputs": {"visitorId": [MARK], "k": 0}},
    {"signature_name": MARK, **NUMBER},
    {"signature_name": "explanation", "inputs": {"visitorId": [MARK], "contentId": [MARK, MARK], "k": 1}},
    {"signature_name": "similar_items", "inputs": {"contentId": MARK, "k": 1}},
]
REFUSED = [
    "/{name}", "/{name}?visitorId={name}", "/v1/models/{name}", "/v1/models/{name}/metadata",
    "/v1/models/wals/versions/{name}", "/v1/models/wals/{name}", "/recommendations?visitorId={name}&k={name}",
    "/recommendations?visitorId={name}&visitorId={name}", "/recommendations?{name}={name}", "/history?visitorId=",
    "/audience?contentId={name}&k=-1", "/similar_items?contentId={long}", "/explanation?visitorId={name}",
]  # fmt: skip
ANSWERED = [
    "/recommendations?visitorId={name}", "/history?visitorId={name}", "/audience?contentId={name}",
    "/similar_items?contentId={name}", "/explanation?visitorId={name}&contentId={name}", "/", "/healthz", "/readyz",
    "/metrics", "/v1/models/wals", "/about?visitorId={name}",
]  # fmt: skip


RAW = [
    "{name} / HTTP/1.1\r\n\r\n",
    "GET /{name} {name}\r\n\r\n",
    "GET /{name} HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "GET /history?visitorId={name} HTTP/1.1\r\nHost: {name}\r\n\r\n",
    "GET /history?visitorId={name} HTTP/1.1\r\nHost: localhost\r\nHost: {name}\r\n\r\n",
    "POST /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {name}\r\n\r\n",
    "POST /{name} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{name}\r\n",
    "POST /v1/models/wals:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n{name}",
    "HEAD /{name} HTTP/1.1\r\nHost: localhost\r\n{name}\r\n\r\n",
]


def test_a_server(served_model, tmp_path, capfd, caplog):
    """No refusal repeats what came with a request, and no log or metric has it, of an answer neither."""
    limits = {"max_id_bytes": 64, "max_batch": 64, "max_k": 9}
    caplog.set_level(logging.WARNING, "httpx")  # the client's own log has the addresses
    with nothing_marked(capfd, caplog), served.running(served.settings(served_model / "served", **limits)) as client:
        for body in BODIES:
            content = body if isinstance(body, str) else json.dumps(body)
            for path in ("/v1/models/wals:predict", f"/v1/models/{MARK}:predict", f"/{MARK}"):
                _refused(client.post(path, content=content, headers={"x-mark": MARK}))
        for path in REFUSED:
            _refused(client.get(path.format(name=MARK, long=MARK * 9), headers={"cookie": f"id={MARK}"}))
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
            _refused(client.request(method, f"/recommendations?visitorId={MARK}", content=MARK))
        for path in ANSWERED:
            client.get(path.format(name=MARK))
        for head in RAW:
            answer = _sent(client.base_url, head.format(name=MARK))
            assert not answer or " 4" in answer.splitlines()[0], answer  # some connections are closed without an answer
            assert not any(form in answer for form in FORMS), answer
        assert not any(form in client.get("/metrics").text for form in FORMS)


def _sent(url, head: str) -> str:
    """Return the answer to bytes that no client of HTTP would send."""
    with socket.create_connection((url.host, url.port), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode()


def _refused(answer) -> None:
    assert 400 <= answer.status_code < 500, answer.status_code
    assert not any(form in f"{answer.headers} {answer.text}" for form in FORMS), answer.text
