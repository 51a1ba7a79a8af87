"""A limit on the requests of one client address."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from starlette.responses import Response

from configs.settings import ServingSettings
from serving.http.replies import refuse

_CLIENTS = 100_000  # whose requests are counted; those that have not asked for longest are forgotten
_FREE = ("/healthz", "/readyz", "/metrics")


class Limiter:
    """A token bucket per address: it fills by `rate` a second, up to twice that."""

    def __init__(self, rate: float):
        self._rate, self._most = rate, max(2 * rate, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were so many

    @classmethod
    def of(cls, settings: ServingSettings) -> Limiter | None:
        """Return the limit of one of the workers, which share the clients; None if the settings have none."""
        return cls(settings.requests_per_second / settings.workers) if settings.requests_per_second else None

    def refused(self, scope: dict[str, Any]) -> Response | None:
        """Return a refusal (429) if the client has sent too many requests."""
        if scope["path"] in _FREE or self.take((scope.get("client") or ("",))[0], time.monotonic()):
            return None
        return refuse(429, "too many requests from this address; try again in a moment")

    def take(self, client: str, now: float) -> bool:
        """Return whether a client may send a request at a time, in seconds."""
        tokens, since = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return allowed
