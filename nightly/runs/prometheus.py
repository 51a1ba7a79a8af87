"""The figures of a run as gauges in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from artifacts.names import DAY_SECONDS
from nightly.runs import record

_STATUSES = (record.PROMOTED, record.GATE_FAILED, record.FAILED, record.NO_TABLE, record.NOT_PROMOTED)
_HELP = {
    "rows_read": "Rows of the export in the window.",
    "rows_rejected": "Rows that could not be used.",
    "interactions": "Pairs of visitor and item.",
    "users": "Visitors in the training data.",
    "items": "Items in the training data.",
    "visitors": "Visitors with predictions.",
    "recommendations": "Recommendations written.",
    "loss": "Loss after the last sweep.",
    "rwse": "Root weighted squared error after the last sweep.",
    "sweeps": "Sweeps of the training.",
    "rating_drift": "Jensen-Shannon divergence of the ratings from those of the live model's dataset, in bits.",
    "item_drift": "Jensen-Shannon divergence of the visitors by item from those of the live model's dataset, in bits.",
}


def to_text(line: dict[str, Any]) -> bytes:
    """Return the gauges of a run's figures."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"wals_nightly_{name}", text, registry=registry).set(value)

    def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> None:
        if values:
            metric = Gauge(f"wals_nightly_{name}", text, [label], registry=registry)
            for key, value in values.items():
                metric.labels(key).set(value)

    ended = datetime.datetime.fromisoformat(line["time"]).timestamp()
    gauge("last_run_timestamp_seconds", "Time at which the last run ended.", ended)
    statuses = {status: float(status == line["status"]) for status in _STATUSES}
    gauges("status", "1 for the outcome of the last run.", "status", statuses)
    live_end = end_of_day(line["live"].rpartition(".")[0]) if line["live"] else None
    gauge("live_data_timestamp_seconds", "End of the live version's window.", live_end)
    gauges("step_seconds", "Time of each step.", "step", line["seconds"])
    for name, text in _HELP.items():
        gauge(name, text, line.get(name))
    gauges("rejected", "Rejected rows by reason.", "reason", line.get("rejected", {}))
    gauges("quality", "Metrics on held-out data.", "metric", line["quality"])
    return generate_latest(registry)


def end_of_day(date: str) -> float:
    """Return the end of a day in UTC, as seconds since 1970."""
    return datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.UTC).timestamp() + DAY_SECONDS
