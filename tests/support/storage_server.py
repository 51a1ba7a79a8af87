"""Cloud Storage over the wire: an emulator, and a proxy that leads TensorFlow's own gs:// to it.

Google's Python client, and so Beam, asks where STORAGE_EMULATOR_HOST says. TensorFlow's file system, in C++, knows no
such switch, but takes a proxy, and the certificate that is to be trusted: https_proxy, CURL_CA_BUNDLE.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import BinaryIO

import trustme
from gcp_storage_emulator.server import create_server

from tests.support import http_server

BUCKET = "bucket"
_HOSTS = ("www.googleapis.com", "storage.googleapis.com")
_SECONDS = 60
_PARTS = "empty"
_HEADERS = ("Content-Range", "Content-Type", "Location", "Range")  # of the emulator's answers, handed on
_OF_ONE_HOP = ("content-length", "expect", "host", "transfer-encoding")


@dataclass
class Server:
    """A running emulator. environment: what a process needs to find it; seen: methods and paths that came by proxy."""

    environment: dict[str, str]
    seen: list[str] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        return f"gs://{BUCKET}"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Starts an emulator with one bucket, and the proxy, on free ports; `folder` gets the proxy's certificate."""
    with emulating() as environment, _proxy(environment, folder / "ca.pem") as server:
        yield server


@contextlib.contextmanager
def emulating(bucket: str = BUCKET) -> Iterator[dict[str, str]]:
    """Starts an emulator with one bucket; gives the environment in which Google's Python client finds it."""
    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    emulator = create_server("127.0.0.1", 0, in_memory=True, default_bucket=bucket)
    emulator.start()
    try:
        yield {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{emulator._api._httpd.server_port}",
            "NO_GCE_CHECK": "true",
            "GOOGLE_CLOUD_PROJECT": "project",
        }
    finally:
        emulator.stop()


@contextlib.contextmanager
def _proxy(environment: dict[str, str], certificate: Path) -> Iterator[Server]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(certificate))
    context, local = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), environment["STORAGE_EMULATOR_HOST"]
    authority.issue_cert(*_HOSTS).configure_cert(context)

    class Handler(http_server.Handler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:  # noqa: N802
            """Becomes the host that was asked for: what follows on this connection is TLS."""
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def relay(self) -> None:
            body = _body(self.rfile, self.headers)
            server.seen.append(f"{self.command} {self.path}")
            if self.path.endswith("/storageLayout"):  # asked before a directory is renamed; unknown to the emulator
                self.answer(200, b'{"hierarchicalNamespace": {"enabled": false}}')
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
            if not body and "uploadType=media" in self.path:  # the emulator falls over these, not over parts
                self.path, headers, body = _in_parts(self.path, headers)
            connection = http.client.HTTPConnection(local.removeprefix("http://"), timeout=_SECONDS)
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            data = reply.read()
            connection.close()
            found = {name: reply.getheader(name) for name in _HEADERS}
            if found["Location"]:  # of an upload that goes on
                found["Location"] = found["Location"].replace(local, f"https://{self.headers['Host']}", 1)
            self.answer(reply.status, data, {name: value for name, value in found.items() if value})

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = relay  # noqa: N815

    with http_server.serving(Handler) as listening:
        proxy = {
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
            "https_proxy": f"http://127.0.0.1:{listening.server_port}",
            "CURL_CA_BUNDLE": str(certificate),
        }
        server = Server(environment | proxy)
        yield server


def _body(file: BinaryIO, headers: Message) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return file.read(int(headers.get("Content-Length") or 0))
    parts = []
    while size := int(file.readline().partition(b";")[0], 16):
        parts.append(file.read(size))
        file.readline()
    file.readline()
    return b"".join(parts)


def _in_parts(path: str, headers: dict[str, str]) -> tuple[str, dict[str, str], bytes]:
    """An upload of nothing, as a multipart one."""
    parts = [b"Content-Type: application/json\r\n\r\n{}", b"Content-Type: application/octet-stream\r\n\r\n"]
    mark = f"--{_PARTS}\r\n".encode()
    body = b"".join(mark + part + b"\r\n" for part in parts) + f"--{_PARTS}--\r\n".encode()
    kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    kept["Content-Type"] = f"multipart/related; boundary={_PARTS}"
    return path.replace("uploadType=media", "uploadType=multipart"), kept, body
