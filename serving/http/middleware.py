"""What stands before all addresses: the names this server answers to, the figures of each request, and a short way
to the addresses that are asked most."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.errors import Refusal
from serving.http.addresses import LOOPBACK, is_loopback
from serving.http.replies import FAILED, refuse
from serving.models.service import Service

LOG = logging.getLogger("serving")

Handler = Callable[[Request], Awaitable[Response]]


class Guard:
    """An ASGI application around another.

    Between a request and what answers it, FastAPI spends three times as long as that takes; so the addresses in
    `direct` are looked up here. They are described, and their other methods refused, by the application within.

    On loopback it answers to loopback's names only: a web page elsewhere could otherwise give its own name this address
    and read what visitors viewed through the browser of whoever opens it (DNS rebinding).
    """

    def __init__(self, app: Any, service: Service, direct: Mapping[tuple[str, str], tuple[str, Handler]]):
        """direct: (method, path) -> the address as the figures call it, and what answers it."""
        self._app, self._metrics, self._direct, settings = app, service.metrics, direct, service.settings
        names = (*settings.allowed_hosts, *((*LOOPBACK, settings.host) if is_loopback(settings.host) else ()))
        self._hosts = frozenset(name.lower().encode() for name in names)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        direct = self._direct.get((method, scope["path"]))
        path, status = "other", 500
        try:
            if self._hosts and _host(scope) not in self._hosts:
                reason = "this server does not answer to that Host; name it in serving.allowed_hosts"
                status = await _send(refuse(421, reason), scope, receive, send)
            elif direct:
                path, handler = direct
                scope["app"] = self._app
                status = await _send(await _answer(handler, Request(scope, receive)), scope, receive, send)
            else:
                status = await self._within(scope, receive, send)
                path = getattr(scope.get("route"), "path", "other")
        finally:
            method = method if method in ("GET", "POST", "HEAD") else "other"
            self._metrics.requests.labels(path, method, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)

    async def _within(self, scope: dict[str, Any], receive: Any, send: Any) -> int:
        status = 500

        async def noting(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, noting)
        return status


async def _answer(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refuse(refusal.status, refusal.reason)
    except Exception:
        LOG.exception("a request failed")
        return refuse(500, FAILED)


async def _send(response: Response, scope: dict[str, Any], receive: Any, send: Any) -> int:
    await response(scope, receive, send)
    return response.status_code


def _host(scope: dict[str, Any]) -> bytes:
    """The name a request was sent to, without the port."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    if host.startswith(b"["):
        return host[1:].partition(b"]")[0].lower()
    return host.partition(b":")[0].lower()
