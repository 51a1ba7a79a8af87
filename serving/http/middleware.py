"""Middleware around all addresses: allowed hosts, HEAD, request metrics, and a fast path to the busiest addresses."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.errors import Refusal
from serving.hosts import LOOPBACK, is_loopback
from serving.http.limiter import Limiter
from serving.http.observers import Observed, observers
from serving.http.replies import FAILED, refuse
from serving.models.service import Service

LOG = logging.getLogger("serving")
COUNTED_METHODS = ("GET", "HEAD", "POST")

Handler = Callable[[Request], Awaitable[Response]]
FastPath = Mapping[tuple[str, str], tuple[str, Handler]]


class Middleware:
    """An ASGI application around another one.

    FastAPI spends three times as long on a request as its answer takes, so the addresses of the fast path are looked up
    here. The inner application documents them and refuses their other methods.

    A server on loopback answers only to loopback's names. Otherwise a web page could let its own name resolve to
    127.0.0.1 and read visitors' histories through the browser of whoever opens it (DNS rebinding).
    """

    def __init__(self, app: Any, service: Service, fast_path: FastPath):
        """Wrap an application; fast_path: (method, path) -> the path's label in metrics, and its handler."""
        self._app, self._service, self._metrics, self._fast_path = app, service, service.metrics, fast_path
        host, names = service.settings.host, service.settings.allowed_hosts
        allowed = (*names, *LOOPBACK, host) if is_loopback(host) else names
        self._limit = Limiter.of(service.settings)
        self._observers = observers(service.settings)
        self._hosts = frozenset(name.lower().encode() for name in allowed)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        path, status = "other", 500
        try:
            path, status = await self._respond(scope, receive, send)
        finally:
            method = method if method in COUNTED_METHODS else "other"
            self._metrics.requests.labels(path, method, status).inc()
            seconds = time.perf_counter() - started
            self._metrics.seconds.labels(path).observe(seconds)
            for observe in self._observers:
                observe(Observed(method, path, status, seconds), scope)

    async def _respond(self, scope: dict[str, Any], receive: Any, send: Any) -> tuple[str, int]:
        """Send the answer and return the path's label and the status."""
        refusal = self._refused_host(scope) or (self._limit and self._limit.refused(scope))
        if scope["method"] == "HEAD":  # answered as GET; uvicorn sends the head of the answer alone
            scope = scope | {"method": "GET"}
        path, handler = self._fast_path.get((scope["method"], scope["path"]), ("other", None))
        if refusal:
            response = refusal
        elif handler:
            scope["app"] = self._app
            response = await _run(handler, Request(scope, receive))
        else:
            status = await self._forward(scope, receive, send)
            return getattr(scope.get("route"), "path", path), status
        if self._service.draining:  # so that the client's next request goes to another server
            response.headers["connection"] = "close"
        await response(scope, receive, send)
        return path, response.status_code

    async def _forward(self, scope: dict[str, Any], receive: Any, send: Any) -> int:
        status = 500

        async def note_status(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, note_status)
        return status

    def _refused_host(self, scope: dict[str, Any]) -> Response | None:
        """Return a refusal unless the request has one Host header (RFC 9112, 3.2) with an allowed name."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            return refuse(400, "a request must have exactly one Host header")
        if self._hosts and (not hosts or _name(hosts[0]) not in self._hosts):
            return refuse(421, "this server does not answer to this Host; add the name to serving.allowed_hosts")
        return None


async def _run(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refuse(refusal.status, refusal.reason)
    except Exception:
        LOG.exception("a request failed")
        return refuse(500, FAILED)


def _name(host: bytes) -> bytes:
    """Return the name in a Host header, without the port."""
    if host.startswith(b"["):
        return host[1:].partition(b"]")[0].lower()
    return host.partition(b":")[0].lower()
