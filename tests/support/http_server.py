"""Servers on loopback that replace a service of Google, or relay to an emulator of it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType

JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})


class Handler(http.server.BaseHTTPRequestHandler):
    """The base class of the handlers."""

    def answer(self, status: int, data: bytes, headers: Mapping[str, str] = JSON) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Log nothing: http.server would print one line per request."""


@contextlib.contextmanager
def serving(handler: type[Handler]) -> Iterator[http.server.ThreadingHTTPServer]:
    """Run a server on a free port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
