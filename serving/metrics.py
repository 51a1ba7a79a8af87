"""What the server counts, for Prometheus. No label holds an id: their values are few and known."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One server's figures, in a registry of its own."""

    def __init__(self) -> None:
        own = self._all = CollectorRegistry()
        ProcessCollector(registry=own)
        self.requests = Counter("wals_requests", "Requests answered.", ("path", "method", "status"), registry=own)
        self.seconds = Histogram(
            "wals_request_seconds", "Seconds to answer.", ("path",), buckets=_SECONDS, registry=own
        )
        self.at_work = Gauge("wals_requests_at_work", "Requests computed or waiting.", registry=own)
        self.batch_rows = Histogram("wals_batch_rows", "Rows of a call of the model.", buckets=_ROWS, registry=own)
        self.rules = Counter(
            "wals_answers", "Rows answered, by the rule that made the answer.", ("rule",), registry=own
        )
        self.version = Gauge("wals_model_version", "Version of the model that answers.", registry=own)
        self.load_seconds = Gauge("wals_model_load_seconds", "What loading it took.", registry=own)
        self.loads = Counter("wals_model_loads", "Versions loaded.", registry=own)
        self.refused = Gauge("wals_model_versions_refused", "Versions on disk that cannot be served.", registry=own)

    def text(self) -> bytes:
        return generate_latest(self._all)
