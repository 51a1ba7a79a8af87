"""Servers on loopback that stand in for a service of Google's, or before an emulator of one."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType

JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


class Handler(http.server.BaseHTTPRequestHandler):
    """What the handlers of such servers share."""

    def answer(self, status: int, data: bytes, headers: Mapping[str, str] = JSON) -> None:
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Says nothing: http.server writes a line a request, and a test prints what went wrong."""


@contextlib.contextmanager
def serving(handler: type[Handler]) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server at work on a free port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
