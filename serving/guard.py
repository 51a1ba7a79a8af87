"""What stands before all addresses: the names this server answers to, and the figures of each request."""

from __future__ import annotations

import time
from typing import Any

from serving.addresses import LOOPBACK, is_loopback
from serving.service import Service
from serving.wire import dumps


class Guard:
    """An ASGI application around another.

    On loopback it answers to loopback's names only: a web page elsewhere could otherwise give its own name this address
    and read what visitors viewed through the browser of whoever opens it (DNS rebinding).
    """

    def __init__(self, app: Any, service: Service):
        self._app, self._metrics, settings = app, service.metrics, service.settings
        names = (*settings.allowed_hosts, *((*LOOPBACK, settings.host) if is_loopback(settings.host) else ()))
        self._hosts = frozenset(name.lower().encode() for name in names)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._hosts and _host(scope) not in self._hosts:
                await _refuse(noting)
            else:
                await self._app(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
            self._metrics.requests.labels(path, method, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)


def _host(scope: dict[str, Any]) -> bytes:
    """The name a request was sent to, without the port."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    if host.startswith(b"["):
        return host[1:].partition(b"]")[0].lower()
    return host.partition(b":")[0].lower()


async def _refuse(send: Any) -> None:
    body = dumps({"error": "this server does not answer to that Host; name it in serving.allowed_hosts"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
