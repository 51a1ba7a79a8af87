"""What a run looks like in numbers: a JSON line a run (`runs.jsonl`), and Prometheus' text format (`nightly.textfile`).

No figure has a visitor's or an item's id in it.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np

from artifacts import storage
from artifacts.items_table import ItemsTable
from artifacts.names import CONTENT_ID, DAY_SECONDS, VISITORS
from artifacts.paths import Dataset, Night, Nights
from configs.settings import NightlySettings
from nightly import alias, record, steps
from nightly.record import Record

_LINES = 1000  # kept of runs.jsonl: three years of nights
_OURS = "WALS"  # the system of ours among the evaluation's


def write(settings: NightlySettings, nights: Nights, run: Record) -> None:
    """Puts the figures into the run's manifest, appends its line, and writes the text file where one is named."""
    line = describe(nights, run)
    run.update(figures={key: value for key, value in line.items() if key not in ("name", "date", "status", "message")})
    before = (storage.read_if_exists(nights.figures) or b"").splitlines()[-_LINES + 1 :]
    text = b"".join(old + b"\n" for old in before) + json.dumps(line).encode() + b"\n"
    storage.write_bytes(nights.figures, text)
    if settings.textfile:
        storage.write_bytes(settings.textfile, prometheus(line))


def describe(nights: Nights, run: Record) -> dict[str, Any]:
    """The figures of a run, as far as it came."""
    made = steps.outputs_of(run.night)
    live = alias.read(nights).live
    line: dict[str, Any] = {
        "time": record.now(),
        "name": run.name,
        "date": run.content["date"],
        "status": run.status,
        "message": run.content.get("message"),
        "live": live.name if live else None,
        "live_age_seconds": _age(live.date) if live else None,
        "seconds": {name: step["seconds"] for name, step in run.steps.items() if "seconds" in step},
    }
    if "dataset" in made:
        line |= _some(made["dataset"]["counts"], "rows_read", "rows_rejected", "interactions", "users", "items")
        line |= _some(made["dataset"], "rejected", "median") | _drift(run)
    if "model" in made:
        line |= _some(made["model"]["history"][-1], "loss", "rwse") | {"sweeps": len(made["model"]["history"])}
        line |= {"warm_start": "digest" in made["model"]["start"]}
    if "predictions" in made:
        line |= _some(made["predictions"]["counts"], "visitors", "recommendations")
    return line | {"quality": quality(run.night)}


def _some(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: content[name] for name in names if name in content}


def quality(night: Night) -> dict[str, float]:
    """The metrics of our model, coverage among them; nothing before it was evaluated."""
    text = storage.read_if_exists(night.evaluation)
    ours = json.loads(text).get("systems", {}).get(_OURS, {}) if text else {}
    return {name: cell["value"] for name, cell in ours.items() if cell is not None}


def _drift(run: Record) -> dict[str, float]:
    """How far ratings and items have moved since the dataset of the live model: 0 the same, 1 nothing shared."""
    if run.content["parent"] is None:
        return {}
    own, before = Dataset(run.night.dataset), Dataset(run.content["parent"]["dataset_dir"])
    found = {"rating_drift": divergence(_ratings(own), _ratings(before))}
    found["item_drift"] = divergence(_popularity(own), _popularity(before))
    return {name: value for name, value in found.items() if value is not None}


def divergence(one: dict[Any, float], other: dict[Any, float]) -> float | None:
    """Jensen-Shannon divergence of two distributions given as counts by name, in bits (Lin 1991); None without counts.

    JSD = H((p + q) / 2) - (H(p) + H(q)) / 2, between 0 and 1.
    """
    names = sorted(one.keys() | other.keys())
    p, q = (np.array([counts.get(name, 0.0) for name in names], float) for counts in (one, other))
    if not p.sum() or not q.sum():
        return None
    p, q = p / p.sum(), q / q.sum()
    return float(np.clip(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, 0, 1))


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _ratings(dataset: Dataset) -> dict[Any, float]:
    """Counts by bin of the histogram of ratings; bins are told by their lower edge."""
    text = storage.read_if_exists(dataset.statistics)
    if text is None:
        return {}
    histogram = json.loads(text)["ratings"]
    return {
        (histogram["kind"], edge): count for edge, count in zip(histogram["edges"], histogram["counts"], strict=False)
    }


def _popularity(dataset: Dataset) -> dict[Any, float]:
    """Visitors of each item."""
    if not storage.exists(dataset.items):
        return {}
    items = ItemsTable.read(dataset.items, columns=(CONTENT_ID, VISITORS))
    return dict(zip(items.content_ids, items.visitors.tolist(), strict=True))


def prometheus(line: dict[str, Any]) -> bytes:
    """The figures as gauges, for the textfile collector of Prometheus' node exporter."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, text: str, values: dict[tuple[str, ...], float | None], *labels: str) -> None:
        if known := {label: value for label, value in values.items() if value is not None}:
            metric = Gauge(f"wals_nightly_{name}", text, labels, registry=registry)
            for label, value in known.items():
                (metric.labels(*label) if labels else metric).set(value)

    statuses = (record.PROMOTED, record.GATE_FAILED, record.FAILED, record.NO_TABLE, record.NOT_PROMOTED)
    gauge("last_run_timestamp_seconds", "When the last run ended.", {(): _seconds(line["time"])})
    gauge(
        "status", "1 for the outcome of the last run.", {(s,): float(s == line["status"]) for s in statuses}, "status"
    )
    live_ends = _seconds(line["live"].rpartition(".")[0]) + DAY_SECONDS if line["live"] else None
    gauge("live_data_timestamp_seconds", "End of the window of the live version.", {(): live_ends})
    gauge("step_seconds", "Time of each step.", {(s,): v for s, v in line["seconds"].items()}, "step")
    texts = {
        "rows_read": "Rows of the export in the window.",
        "rows_rejected": "Rows that could not be kept.",
        "interactions": "Pairs of visitor and item.",
        "users": "Visitors trained on.",
        "items": "Items trained on.",
        "visitors": "Visitors with predictions.",
        "recommendations": "Recommendations written.",
        "loss": "Loss after the last sweep.",
        "rwse": "Root weighted squared error after the last sweep.",
        "sweeps": "Sweeps of the training.",
        "rating_drift": "Jensen-Shannon divergence of the ratings from those the live model had, bits.",
        "item_drift": "Jensen-Shannon divergence of the visitors by content from those the live model had, bits.",
    }
    for name, text in texts.items():
        gauge(name, text, {(): line.get(name)})
    gauge("rejected", "Rejected rows by reason.", {(r,): v for r, v in line.get("rejected", {}).items()}, "reason")
    gauge("quality", "Metrics on held-out data.", {(m,): v for m, v in line["quality"].items()}, "metric")
    return generate_latest(registry)


def _age(date: str) -> int:
    """Seconds since the end of a window whose last day this is (UTC)."""
    return round(datetime.datetime.now(datetime.UTC).timestamp() - _seconds(date) - DAY_SECONDS)


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()
