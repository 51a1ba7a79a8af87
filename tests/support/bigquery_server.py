"""BigQuery over the wire: bqemulator in a process of its own, GA's tables in it, and relays that break on demand."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types

from configs.settings import Settings, resolve
from tests.support import http_server
from tests.support.exports import PLAIN_RUNNER

PROJECT = "test-project"
_START_SECONDS = 90
_ROOT = Path(__file__).parents[2]

_FIELD = bigquery.SchemaField
_DIMENSIONS = _FIELD(
    "customDimensions", "RECORD", "REPEATED", fields=[_FIELD("index", "INTEGER"), _FIELD("value", "STRING")]
)
_HITS = [_FIELD("hitNumber", "INTEGER"), _FIELD("time", "INTEGER"), _FIELD("type", "STRING"), _DIMENSIONS]
_VALUE = [
    _FIELD("string_value", "STRING"),
    _FIELD("int_value", "INTEGER"),
    _FIELD("float_value", "FLOAT"),
    _FIELD("double_value", "FLOAT"),
]
_PARAMS = [_FIELD("key", "STRING"), _FIELD("value", "RECORD", fields=_VALUE)]
SCHEMAS = {
    "ga360": [
        _FIELD("fullVisitorId", "STRING"),
        _FIELD("visitNumber", "INTEGER"),
        _FIELD("visitId", "INTEGER"),
        _FIELD("visitStartTime", "INTEGER"),
        _FIELD("date", "STRING"),
        _FIELD("hits", "RECORD", "REPEATED", fields=_HITS),
    ],
    "ga4": [
        _FIELD("event_date", "STRING"),
        _FIELD("event_timestamp", "INTEGER"),
        _FIELD("event_name", "STRING"),
        _FIELD("event_bundle_sequence_id", "INTEGER"),
        _FIELD("event_params", "RECORD", "REPEATED", fields=_PARAMS),
        _FIELD("user_id", "STRING"),
        _FIELD("user_pseudo_id", "STRING"),
    ],
}


@dataclass
class Server:
    """A running emulator. bucket: the directory that it takes for gs://."""

    rest: str
    storage: str
    bucket: Path
    process: subprocess.Popen

    @property
    def client(self) -> bigquery.Client:
        options = {"api_endpoint": self.rest}
        return bigquery.Client(PROJECT, AnonymousCredentials(), client_options=options)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the section `bigquery` of settings that lead here."""
        own = {"project": PROJECT, "endpoint": self.rest, "storage_endpoint": self.storage, "retry_seconds": 5}
        return own | more

    def load(self, dataset: str, table: str, schema: list[bigquery.SchemaField], rows: list[dict]) -> None:
        """Make a table from rows, by a load job."""
        with self.client as client:
            client.create_dataset(dataset, exists_ok=True)
            if not rows:
                client.create_table(bigquery.Table(f"{PROJECT}.{dataset}.{table}", schema))
                return
            name = f"{dataset}-{table}.json"
            lines = (json.dumps(_whole(row, schema)) for row in rows)
            (self.bucket / name).write_text("\n".join(lines))
            config = bigquery.LoadJobConfig(schema=schema, source_format="NEWLINE_DELIMITED_JSON")
            client.load_table_from_uri(f"gs://{name}", f"{PROJECT}.{dataset}.{table}", job_config=config).result(
                timeout=60
            )

    def load_parquet(self, dataset: str, table: str, path: Path) -> None:
        """Make a table from a Parquet file, with its columns as BigQuery types them."""
        name = f"{PROJECT}.{dataset}.{table}"
        schema = [_field(each) for each in pq.read_schema(path)]
        shutil.copy(path, self.bucket / f"{table}.parquet")
        with self.client as client:
            client.create_dataset(dataset, exists_ok=True)
            client.create_table(bigquery.Table(name, schema))
            config = bigquery.LoadJobConfig(schema=schema, source_format="PARQUET")
            client.load_table_from_uri(f"gs://{table}.parquet", name, job_config=config).result(timeout=300)

    def tables(self, dataset: str) -> list[str]:
        with self.client as client:
            return [table.table_id for table in client.list_tables(dataset)]

    def datasets(self) -> list[str]:
        with self.client as client:
            return [dataset.dataset_id for dataset in client.list_datasets()]

    def remove(self, dataset: str) -> None:
        with self.client as client:
            client.delete_dataset(dataset, delete_contents=True)

    def rows(self, query: str) -> list[dict]:
        with self.client as client:
            return [dict(row) for row in client.query(query).result(timeout=60)]


def _field(field: pa.Field) -> bigquery.SchemaField:
    repeated = pa.types.is_list(field.type)
    kind, mode = (field.type.value_type, "REPEATED") if repeated else (field.type, "NULLABLE")
    if pa.types.is_struct(kind):
        return _FIELD(field.name, "RECORD", mode, fields=[_field(part) for part in kind])
    types_of = {pa.int64(): "INTEGER", pa.float64(): "FLOAT", pa.string(): "STRING", pa.bool_(): "BOOLEAN"}
    return _FIELD(field.name, types_of[kind], mode)


def _whole(row: dict, schema: list[bigquery.SchemaField]) -> dict:
    """Return the row with every field of the schema, at every depth; other fields are left out."""
    whole: dict[str, Any] = {}
    for each in schema:
        value = row.get(each.name)
        if each.mode == "REPEATED" and each.fields:
            whole[each.name] = [_whole(part, each.fields) for part in value or []]
        elif each.field_type == "RECORD":
            whole[each.name] = None if value is None else _whole(value, each.fields)
        else:
            whole[each.name] = value
    return whole


@contextlib.contextmanager
def serving(bucket: Path) -> Iterator[Server]:
    """Start an emulator on free ports; end it at the end."""
    bucket.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.bigquery_emulator", str(bucket)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    late = threading.Timer(_START_SECONDS, process.kill)
    errors = threading.Thread(target=lambda: list(process.stderr), daemon=True)  # so that its pipe never fills
    late.start()
    try:
        line = next((line for line in process.stdout if line.startswith("serving")), None)
        if line is None:
            raise RuntimeError(f"the emulator did not start: {process.stderr.read()[-2000:]}")
        late.cancel()
        errors.start()
        _, rest, storage = line.split()
        yield Server(rest, f"http://{storage}", bucket, process)
    finally:
        late.cancel()
        process.kill()
        process.wait(10)
        process.stdout.close()
        if errors.ident:
            errors.join(10)
        process.stderr.close()


@dataclass
class RestRelay:
    """Passes requests on to the emulator, but for those that `faults` answers: (words of the path, status, reason,
    message, how often). reads: what jobs are said to read, in bytes, where the emulator reports 0 for all."""

    url: str
    reads: int | None = None
    faults: list[list] = field(default_factory=list)
    seen: list[tuple[str, str, dict]] = field(default_factory=list)

    def fault(self, method: str, path: str) -> tuple[int, str, str] | None:
        for each in self.faults:
            words, status, reason, message, times = each
            if words in f"{method} {path}" and times > 0:
                each[4] -= 1
                return status, reason, message
        return None

    def counted(self, data: bytes) -> bytes:
        """Return the reply, with the bytes of `reads`."""
        reply = json.loads(data) if self.reads is not None and data[:1] == b"{" else {}
        statistics = reply.get("statistics")
        if statistics is None:
            return data
        for part in (statistics, statistics.setdefault("query", {})):
            part["totalBytesProcessed"] = str(self.reads)
        return json.dumps(reply).encode()


@contextlib.contextmanager
def relaying(server: Server) -> Iterator[RestRelay]:
    """Start a relay before the emulator's REST service."""
    host, port = server.rest.removeprefix("http://").split(":")

    class Handler(http_server.Handler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            relay.seen.append((self.command, self.path, json.loads(plain) if plain[:1] == b"{" else {}))
            found, moved = relay.fault(self.command, self.path), None
            if found:
                status, reason, message = found
                parts = [{"reason": reason, "message": message}]
                status, data = (
                    status,
                    json.dumps({"error": {"code": status, "message": message, "errors": parts}}).encode(),
                )
            else:
                connection = http.client.HTTPConnection(host, int(port), timeout=60)
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                status, data, moved = reply.status, relay.counted(reply.read()), reply.getheader("Location")
                connection.close()
            # An upload that goes on elsewhere does so at the emulator itself.
            self.answer(status, data, {**http_server.JSON, **({"Location": moved} if moved else {})})

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = relay  # noqa: N815 - http.server's names

    with http_server.serving(Handler) as listening:
        relay = RestRelay(f"http://127.0.0.1:{listening.server_port}")
        yield relay


@dataclass
class StreamRelay:
    """Passes streams on in batches of `rows`, from the offset asked for (which the emulator ignores). The first
    `breaks` calls break off after `after` batches. The first sessions are refused with the codes of `refuses`."""

    url: str = ""
    rows: int = 100
    after: int = 3
    breaks: int = 0
    offsets: list[int] = field(default_factory=list)
    refuses: list[grpc.StatusCode] = field(default_factory=list)
    sessions: list[types.ReadSession] = field(default_factory=list)

    def create(self, data: bytes, context: grpc.ServicerContext, upstream: grpc.Channel) -> bytes:
        self.sessions.append(types.CreateReadSessionRequest.deserialize(data).read_session)
        if self.refuses:
            context.abort(self.refuses.pop(0), "refused")
        return upstream.unary_unary(_CREATE)(data, timeout=60)

    def read_rows(self, data: bytes, context: grpc.ServicerContext, upstream: grpc.Channel) -> Iterator[bytes]:
        request = types.ReadRowsRequest.deserialize(data)
        self.offsets.append(request.offset)
        replies = upstream.unary_stream(_READ_ROWS)(data, timeout=60)
        batches, schema = [], None
        for reply in map(types.ReadRowsResponse.deserialize, replies):
            if schema is None:
                schema = reply.arrow_schema.serialized_schema
            message = pa.py_buffer(reply.arrow_record_batch.serialized_record_batch)
            batches.append(pa.ipc.read_record_batch(message, pa.ipc.read_schema(pa.py_buffer(schema))))
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches()[0].slice(request.offset)
        for number, start in enumerate(range(0, whole.num_rows, self.rows)):
            if self.breaks and number == self.after:
                self.breaks -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken off")
            batch = whole.slice(start, self.rows)
            response = types.ReadRowsResponse(
                row_count=batch.num_rows,
                arrow_record_batch={"serialized_record_batch": batch.serialize().to_pybytes()},
            )
            if number == 0:
                response.arrow_schema = {"serialized_schema": schema}
            yield types.ReadRowsResponse.serialize(response)


_SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryRead"
_CREATE, _READ_ROWS = f"{_SERVICE}/CreateReadSession", f"{_SERVICE}/ReadRows"


@contextlib.contextmanager
def relaying_streams(server: Server, **how: Any) -> Iterator[StreamRelay]:
    """Start a relay before the emulator's Storage Read API."""
    relay = StreamRelay(**how)

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if details.method == _CREATE:
                return grpc.unary_unary_rpc_method_handler(lambda data, context: relay.create(data, context, upstream))
            return grpc.unary_stream_rpc_method_handler(lambda data, context: relay.read_rows(data, context, upstream))

    with (
        grpc.insecure_channel(server.storage.removeprefix("http://")) as upstream,
        futures.ThreadPoolExecutor(4) as pool,
    ):
        listening = grpc.server(pool)
        listening.add_generic_rpc_handlers([Handler()])
        relay.url = f"http://127.0.0.1:{listening.add_insecure_port('127.0.0.1:0')}"
        listening.start()
        try:
            yield relay
        finally:
            listening.stop(0).wait(10)


def settings(bigquery_section: dict[str, Any], source: dict[str, Any], **sections: Any) -> Settings:
    """Return settings that read from BigQuery."""
    tree = {"source": source, "bigquery": bigquery_section, "beam": {"runner": PLAIN_RUNNER}} | sections
    return resolve(Settings.model_validate(tree))
