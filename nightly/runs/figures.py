"""The figures of a run, as a line of JSON (`runs.jsonl`) and as Prometheus' text format (`nightly.textfile`).

No figure contains the id of a visitor or of an item.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.special import entr

from artifacts import storage
from artifacts.items_table import ItemsTable
from artifacts.manifests import DatasetManifest, Manifest, ModelManifest, OutcomeManifest, PredictionsManifest
from artifacts.manifests.outcome import ONLINE, Outcome, online
from artifacts.names import CONTENT_ID, DAY_SECONDS, VISITORS
from artifacts.paths import Dataset, Model, Night, Nights, OutcomeFiles, Output, Predictions
from configs.settings import NightlySettings
from nightly.runs import live, record
from nightly.runs.record import Record

_LINES = 1000  # lines that runs.jsonl keeps: three years of nights
_WALS = "WALS"  # the name of our model among the systems of an evaluation
_PREDICTION_COUNTS = ("visitors", "recommendations")
_ABOUT = ("name", "date", "status", "message")  # what the manifest of a run already has
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
    "exposures": "Recommendations shown on the last day of the window, as the site's tags report them.",
    "clicks": "Clicks on them.",
    "split_mismatch": "Least p-value that the visitors of an experiment were split as asked.",
    "outcome_warnings": "Warnings of the outcome, which are in its manifest.",
    "item_drift": "Jensen-Shannon divergence of the visitors by item from those of the live model's dataset, in bits.",
}

M = TypeVar("M", bound=Manifest)


def write(settings: NightlySettings, nights: Nights, run: Record) -> None:
    """Write the figures into the run's manifest, into runs.jsonl, and into the text file if one is set."""
    line = describe(nights, run)
    run.update(figures={key: value for key, value in line.items() if key not in _ABOUT})
    earlier = (storage.read_if_exists(nights.figures) or b"").splitlines()[-_LINES + 1 :]
    text = b"".join(old + b"\n" for old in earlier) + json.dumps(line).encode() + b"\n"
    storage.write_bytes(nights.figures, text)
    if settings.textfile:
        storage.write_bytes(settings.textfile, to_text(line))


def describe(nights: Nights, run: Record) -> dict[str, Any]:
    """Return the figures of a run, as far as it got."""
    night, version = run.night, live.read(nights).live
    line: dict[str, Any] = {
        "time": record.now(),
        "name": run.name,
        "date": run.manifest.date,
        "status": run.status,
        "message": run.manifest.message,
        "live": version.name if version else None,
        "live_age_seconds": round(time.time() - end_of_day(version.date)) if version else None,
        "seconds": {name: step.seconds for name, step in run.manifest.steps.items() if step.seconds is not None},
    }
    if dataset := _finished(DatasetManifest, Dataset(night.dataset)):
        line |= dataset.counts.model_dump(include={"rows_read", "rows_rejected", "interactions", "users", "items"})
        line |= {"rejected": dataset.rejected, "median": dataset.median} | _drift(run)
    if model := _finished(ModelManifest, Model(night.model)):
        last = model.history[-1]
        line |= {"loss": last.loss, "rwse": last.rwse, "sweeps": len(model.history)}
        line |= {"warm_start": model.start.digest is not None}
    if predictions := _finished(PredictionsManifest, Predictions(night.predictions)):
        line |= {name: predictions.counts[name] for name in _PREDICTION_COUNTS if name in predictions.counts}
    return line | {"quality": _quality(night)} | _outcome(run)


def _outcome(run: Record) -> dict[str, Any]:
    """Return what the versions that were live before did, with intervals, and the exposures of the run's last day."""
    files = OutcomeFiles(run.night.outcome)
    manifest = _finished(OutcomeManifest, files)
    if manifest is None:
        return {}
    outcome = Outcome.model_validate_json(storage.read_bytes(files.figures))
    tracked = outcome.together.tracked if outcome.together else None
    of_day = tracked.by_day.get(run.manifest.date) if tracked else None
    splits = [value for experiment in outcome.experiments.values() for value in experiment.mismatch.values()]
    return {
        ONLINE: {name: estimate.model_dump() for name, estimate in online(outcome).items()},
        "exposures": of_day.exposures if of_day else 0,
        "clicks": of_day.clicks if of_day else 0,
        "outcome_warnings": len(manifest.warnings),
    } | ({"split_mismatch": min(splits)} if splits else {})


def _finished(manifest: type[M], output: Output) -> M | None:
    return manifest.read(output.manifest) if storage.exists(output.manifest) else None


def _quality(night: Night) -> dict[str, float]:
    """Return the metrics of our model by name; none before it was evaluated."""
    text = storage.read_if_exists(night.evaluation)
    metrics = json.loads(text).get("systems", {}).get(_WALS, {}) if text else {}
    return {name: cell["value"] for name, cell in metrics.items() if cell is not None}


def _drift(run: Record) -> dict[str, float]:
    """Return how far ratings and items have moved since the live model's dataset: 0 the same, 1 nothing shared."""
    parent = run.manifest.parent
    if parent is None:
        return {}
    new, old = Dataset(run.night.dataset), Dataset(parent.dataset_dir)
    drifts = {
        "rating_drift": divergence(_rating_counts(new), _rating_counts(old)),
        "item_drift": divergence(_visitors_of_items(new), _visitors_of_items(old)),
    }
    return {name: drift for name, drift in drifts.items() if drift is not None}


def divergence(one: dict[Any, float], other: dict[Any, float]) -> float | None:
    """Return the Jensen-Shannon divergence of two counts by name, in bits (Lin 1991), None if one of them is empty.

    JSD = H((p + q) / 2) - (H(p) + H(q)) / 2, between 0 and 1.
    """
    names = sorted(one.keys() | other.keys())
    p, q = (np.array([counts.get(name, 0.0) for name in names], float) for counts in (one, other))
    if not p.sum() or not q.sum():
        return None
    p, q = p / p.sum(), q / q.sum()
    nats = (entr((p + q) / 2) - (entr(p) + entr(q)) / 2).sum()
    return float(np.clip(nats / np.log(2), 0, 1))


def _rating_counts(dataset: Dataset) -> dict[Any, float]:
    """Return the counts of the histogram of ratings, by the kind of rating and the lower edge of the bin."""
    text = storage.read_if_exists(dataset.statistics)
    if text is None:
        return {}
    histogram = json.loads(text)["ratings"]
    edges = histogram["edges"][: len(histogram["counts"])]
    return {(histogram["kind"], edge): count for edge, count in zip(edges, histogram["counts"], strict=True)}


def _visitors_of_items(dataset: Dataset) -> dict[Any, float]:
    """Return the number of visitors of each item."""
    if not storage.exists(dataset.items):
        return {}
    items = ItemsTable.read(dataset.items, columns=(CONTENT_ID, VISITORS))
    return dict(zip(items.content_ids, items.visitors.tolist(), strict=True))


def to_text(line: dict[str, Any]) -> bytes:
    """Return the gauges of a run's figures, for the textfile collector of Prometheus' node exporter."""
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
    for limit in ("value", "low", "high"):
        values = {name: each[limit] for name, each in line.get(ONLINE, {}).items() if each[limit] is not None}
        name, text = ("online", "") if limit == "value" else (f"online_{limit}", f": {limit} limit of the interval")
        gauges(name, f"Figures of what was live{text}.", "metric", values)
    return generate_latest(registry)


def end_of_day(date: str) -> float:
    """Return the end of a day in UTC, as seconds since 1970."""
    return datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.UTC).timestamp() + DAY_SECONDS
