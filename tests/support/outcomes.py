"""Recommendations that were live and the export of the days after, by hand or simulated, and their outcome."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import orjson
import scipy.sparse as sp

from artifacts.manifests import DatasetManifest, OutcomeManifest
from artifacts.manifests.outcome import Outcome
from artifacts.names import CATEGORY, FIRST_TIME_MS
from artifacts.paths import Dataset, OutcomeFiles
from configs.settings import PredictionSettings, Settings, resolve
from pipeline import outcome as command
from pipeline.demo.lists.deeds import List, Site
from pipeline.demo.lists.events import rows
from pipeline.demo.lists.habits import Draws, Habits, draw
from tests.support import manifests
from tests.support.datasets import write_dataset, write_items
from tests.support.exports import PLAIN_RUNNER, write_ndjson

RUN_TIME = datetime.datetime(2024, 1, 1, 4, tzinfo=datetime.UTC)
MIDNIGHT_S = round(datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC).timestamp())
NAME = "Recommended for you"
RULES = ("factors", "projection", "popularity")


def ms(day: int, hour: float = 0) -> int:
    """Return a time of January 2024."""
    start = datetime.datetime(2024, 1, day, tzinfo=datetime.UTC).timestamp()
    return round((start + hour * 3600) * 1000)


def event(visitor: str, name: str, time_ms: int, *items: dict, **params: str) -> dict:
    """Return a GA4 event with items."""
    at = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    values = [{"key": key, "value": {"string_value": value}} for key, value in params.items()]
    return {
        "event_date": f"{at:%Y%m%d}",
        "event_timestamp": str(time_ms * 1000),
        "event_name": name,
        "user_pseudo_id": visitor,
        "event_params": values,
        "items": list(items),
    }


def shown(item: str, position: int | None = None, name: str = NAME) -> dict:
    """Return an item of a list."""
    more = {} if position is None else {"item_list_index": str(position)}
    return {"item_id": item, "item_list_name": name, **more}


def write_world(
    root: Path, visitors: int = 60, items: int = 30, length: int = 5, seed: int = 0, **predictions
) -> list[List]:
    """Write `dataset` and `predictions` of visitors v0 ..., items c0 ...; return the lists, whose rules take turns."""
    rng = np.random.default_rng(seed)
    had = rng.random((visitors, items)) < np.linspace(0.5, 0.02, items)
    had[3] = False
    dataset = Dataset(write_dataset(root / "dataset", sp.csr_matrix(had.astype(float)), shards=2))
    first = [ms(1) - int(age) * 86_400_000 for age in rng.integers(0, 60, items)]
    categories = [f"category {number % 3}" for number in range(items)]
    ids = [f"c{number}" for number in range(items)]
    write_items(dataset, ids, had.sum(0), **{FIRST_TIME_MS: first, CATEGORY: categories})
    lists = []
    for number in range(visitors):
        new = rng.permutation(np.flatnonzero(~had[number]))[:length]
        lists.append(List(f"v{number}", RULES[number % 3], [ids[item] for item in new]))
    write_predictions(root / "predictions", lists, dataset, length, **predictions)
    return lists


def write_predictions(root: Path, lists: list[List], dataset: Dataset, length: int, **fields) -> None:
    """Write JSON lines and a manifest, as `wals predict` lays them out."""
    root.mkdir()
    path = root / "predictions-00000-of-00001.jsonl"
    lines = []
    for one in lists:
        entries = [{"contentId": item, "score": 1 / rank, "rank": rank} for rank, item in enumerate(one.items, 1)]
        lines.append(orjson.dumps({"visitorId": one.visitor, "rule": one.rule, "recommendations": entries}))
    path.write_bytes(b"\n".join(lines) + b"\n")
    values = {
        "files": manifests.describe_below(root, path),
        "dataset_fingerprint": DatasetManifest.read(dataset.manifest).fingerprint(),
        "run_time": RUN_TIME.isoformat(),
        "model_version": "monday",
        "settings": {"prediction": PredictionSettings(top_k=length)},
    }
    manifests.predictions_manifest(**values | fields).write(f"{root}/manifest.json")


def settings(root: Path, **outcome) -> Settings:
    """Return the settings of an outcome of `write_world`, with the export in `export/`."""
    tree = {
        "source": {"preset": "ga4_shop", "input": str(root / "export" / "events_*")},
        "evaluation": {"k": (1, 3, 5), "resamples": 200},
        "outcome": {"list_name": NAME, **outcome},
        "beam": {"runner": PLAIN_RUNNER},
        **{f"{name}_dir": str(root / name) for name in ("dataset", "predictions", "outcome")},
    }
    return resolve(Settings.model_validate(tree))


def write_export(root: Path, events: list[dict]) -> None:
    """Write events as one file per day."""
    for day in {row["event_date"] for row in events}:
        write_ndjson(root / "export" / f"events_{day}.ndjson", [row for row in events if row["event_date"] == day])


def measured(made: Settings, replace: bool = True) -> tuple[OutcomeManifest, Outcome]:
    """Run the job, and read what it wrote."""
    manifest = command.outcome(made, [], replace)
    return manifest, Outcome.model_validate_json(Path(OutcomeFiles(made.outcome_dir).figures).read_bytes())


def simulated(lists: list[List], habits: Habits, days: int, seed: int, site: Site) -> tuple[list[dict], Draws]:
    """Return the events of simulated days, in the order of time, as JSON has them."""
    draws = draw(habits, [one.rule for one in lists], len(lists[0].items), days, np.random.default_rng(seed))
    made = sorted(rows(lists, draws, MIDNIGHT_S, site), key=lambda found: found[0])
    return [row | {"event_timestamp": str(row["event_timestamp"])} for _, row in made], draws
