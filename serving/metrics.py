"""Prometheus metrics of the server. No label contains an id: labels have few, known values."""

from __future__ import annotations

import os
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

from serving.workers import METRICS_DIRECTORY

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("wals_requests", "Requests answered.", ("path", "method", "status"), registry=registry)
        self.seconds = Histogram(
            "wals_request_seconds", "Seconds per request.", ("path",), buckets=_SECONDS, registry=registry
        )
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livemax")
        self.at_work = Gauge(
            "wals_requests_at_work", "Requests in progress or waiting.", registry=registry, multiprocess_mode="livesum"
        )
        self.batch_rows = Histogram("wals_batch_rows", "Rows per call of the model.", buckets=_ROWS, registry=registry)
        self.rules = Counter("wals_answers", "Rows answered, by the rule used.", ("rule",), registry=registry)
        self.version = gauge("wals_model_version", "Live version of the model.")
        self.load_seconds = gauge("wals_model_load_seconds", "Seconds to load the live version.")
        self.loads = Counter("wals_model_loads", "Versions loaded.", registry=registry)
        self.added_items = gauge("wals_added_items", "Items added since the live version was trained.")
        self.events = Counter(
            "wals_events", "Views taken, and what was left out, by reason.", ("kept",), registry=registry
        )
        self.store_up = gauge("wals_event_store_up", "1 if the store of views answered last.")
        self.stale_lists = gauge("wals_lists_stale", "Files of serving.allow and block whose newest state is not used.")
        self.refused = gauge("wals_model_versions_refused", "Versions that cannot be served.")

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format; those of all workers together, if there are several."""
        if METRICS_DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
