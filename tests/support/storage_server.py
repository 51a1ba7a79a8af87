"""Cloud Storage over the wire: an emulator, and a proxy through which TensorFlow's gs:// reaches it.

Google's Python client, and so Beam, uses the host in STORAGE_EMULATOR_HOST. TensorFlow's file system has no such
switch, but it uses https_proxy, and trusts the certificate in CURL_CA_BUNDLE.
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
_HEADERS = ("Content-Range", "Content-Type", "Location", "Range")  # of the emulator's answers, relayed
_OF_ONE_HOP = ("content-length", "expect", "host", "transfer-encoding")


@dataclass
class Server:
    """A running emulator. environment: of a process that uses it. seen: methods and paths that the proxy relayed."""

    environment: dict[str, str]
    seen: list[str] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        return f"gs://{BUCKET}"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start an emulator with one bucket, and the proxy, on free ports; the proxy's certificate is in `folder`."""
    with emulating() as environment, _proxy(environment, folder / "ca.pem") as server:
        yield server


@contextlib.contextmanager
def emulating(bucket: str = BUCKET) -> Iterator[dict[str, str]]:
    """Start an emulator with one bucket and yield the environment in which Google's Python client finds it."""
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
            """Answer as the requested host: what follows on this connection is TLS."""
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def relay(self) -> None:
            body = _body(self.rfile, self.headers)
            server.seen.append(f"{self.command} {self.path}")
            # TensorFlow asks this before it renames a directory; the emulator has no answer to it.
            if self.path.endswith("/storageLayout"):
                self.answer(200, b'{"hierarchicalNamespace": {"enabled": false}}')
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
            if not body and "uploadType=media" in self.path:  # the emulator fails on it
                self.path, headers, body = _in_parts(self.path, headers)
            connection = http.client.HTTPConnection(local.removeprefix("http://"), timeout=_SECONDS)
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            data = reply.read()
            connection.close()
            kept = {name: reply.getheader(name) for name in _HEADERS}
            if kept["Location"]:  # of a resumable upload
                kept["Location"] = kept["Location"].replace(local, f"https://{self.headers['Host']}", 1)
            self.answer(reply.status, data, {name: value for name, value in kept.items() if value})

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
    """Turn an empty upload into a multipart one."""
    parts = [b"Content-Type: application/json\r\n\r\n{}", b"Content-Type: application/octet-stream\r\n\r\n"]
    mark = f"--{_PARTS}\r\n".encode()
    body = b"".join(mark + part + b"\r\n" for part in parts) + f"--{_PARTS}--\r\n".encode()
    kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    kept["Content-Type"] = f"multipart/related; boundary={_PARTS}"
    return path.replace("uploadType=media", "uploadType=multipart"), kept, body
