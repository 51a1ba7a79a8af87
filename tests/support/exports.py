"""Small export files by hand; interactions and datasets read back: for the pipeline's tests."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from artifacts import tfrecords
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.settings import Settings, resolve
from pipeline import preprocess
from pipeline.interactions import columns, splits
from pipeline.sources import inputs
from pipeline.sources.select import source_of

START = 1704067200  # the first second of 2024
SHARED = Path(os.environ.get("WALS_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
PLAIN_RUNNER = "tests.support.plain_runner.DirectRunner"
needs_shared = pytest.mark.skipif(
    not (SHARED / "lastfm").is_dir(), reason="the shared data sets are not on this machine (WALS_SHARED_DATA)"
)


def hit(number: int, time_ms: int, content: str | None = None, kind: str = "PAGE") -> dict[str, Any]:
    """Return a GA360 hit as `bq extract` writes it: integers as strings."""
    dimensions = [{"index": "4", "value": "subscriber"}]
    if content is not None:
        dimensions.append({"index": "10", "value": content})
    return {"hitNumber": str(number), "time": str(time_ms), "type": kind, "customDimensions": dimensions}


def session(visitor: str | None, visit: int, hits: list[dict], day: str = "20240101", **more: Any) -> dict[str, Any]:
    """Return a GA360 session. It starts in the second `visit` since 1970; a small one is since 2024."""
    return {
        "fullVisitorId": visitor,
        "visitNumber": "1",
        "visitId": str(visit),
        "visitStartTime": str(visit if visit > START // 2 else START + visit),
        "date": day,
        "hits": hits,
        **more,
    }


def reads(visitor: str, items: dict[str, int], visit: int = START) -> dict[str, Any]:
    """Return a session in which a visitor reads items for so many ms each, and then leaves from the home page."""
    hits, clock = [], 0
    for number, (content, dwell_ms) in enumerate(items.items(), start=1):
        hits.append(hit(number, clock, content))
        clock += dwell_ms
    return session(visitor, visit, [*hits, hit(len(hits) + 1, clock)])


def event(visitor: str | None, content: str | None, engaged_ms: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a GA4 event."""
    params = [{"key": "page_location", "value": {"string_value": f"https://example.com/{content}?utm=a#top"}}]
    if content is not None:
        params.append({"key": "content_id", "value": {"string_value": content}})
    if engaged_ms is not None:
        params.append({"key": "engagement_time_msec", "value": {"int_value": str(engaged_ms)}})
    row = {"event_date": "20240101", "event_timestamp": "1704067200000000", "event_params": params}
    return row | {"user_pseudo_id": visitor, "user_id": None} | more


def write_ndjson(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON lines, as they are where they are bytes; gzip by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def settings(dataset_dir: Path, glob: Any, kind: str = "ga360", **sections: Any) -> Settings:
    """Return settings for a small run on this machine; `source`, `rating`, ... as dicts."""
    source = {"kind": kind, "input": str(glob)} | sections.pop("source", {})
    tree = {"source": source, "dataset_dir": str(dataset_dir), "beam": {"runner": PLAIN_RUNNER}}
    return resolve(Settings.model_validate(tree | sections))


def make_dataset(dataset_dir: Path, glob: Any, kind: str = "ga360", replace: bool = False, **sections: Any) -> dict:
    """Run the job and return the manifest as JSON has it."""
    return preprocess.preprocess(settings(dataset_dir, glob, kind, **sections), [], replace).model_dump(mode="json")


def ratings(dataset_dir: Path, side: str = "items_for_user") -> dict[tuple[bytes, bytes], float]:
    """Read one side of a dataset, by the site's own ids: (visitorId, contentId) -> rating."""
    dataset = Dataset(str(dataset_dir))
    users, items = Vocabulary.read(dataset.vocab_users).ids, Vocabulary.read(dataset.vocab_items).ids
    rows, columns = (items, users) if side == "users_for_item" else (users, items)
    found = {}
    for path in sorted(dataset_dir.glob(f"{side}-*")):
        for key, indices, values in tfrecords.read_rows(str(path)):
            assert list(indices) == sorted(set(indices)), "indices ascend without repeats"
            for index, value in zip(indices.tolist(), values.tolist(), strict=True):
                pair = (rows[key], columns[index])
                found[pair[::-1] if side == "users_for_item" else pair] = value
    return found


def rejected(dataset_dir: Path) -> list[dict[str, Any]]:
    """Read the rejected rows."""
    paths = sorted(dataset_dir.glob("rejected/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def interactions(made: Settings) -> tuple[dict, dict]:
    """Read a source without Beam: (visitorId, contentId) -> amount, time; and its counts.

    With a split also (visitorId, contentId, "held out").
    """
    parts, counts = [], Counter()
    with inputs.opened(made) as opened:
        source = source_of(made.source, made.rating, made.split, opened.read)
        for name in opened.files:
            for raw in source.read(name):
                extract = source.extract(raw, name)
                parts.append(columns.to_bytes(extract.table))
                counts.update(extract.counts)
    views, duplicates = source.interactions(columns.from_bytes(iter(parts)))
    pairs, held_out, more = splits.divide(views, source.combine, made.split)
    counts += duplicates
    rows = {}
    for table, mark in ((pairs, ()), (held_out, ("held out",))):
        for visitor, content, amount, time in (
            zip(*(c.to_pylist() for c in table.columns), strict=True) if table else ()
        ):
            rows[visitor, content, *mark] = amount, time
    return rows, counts + more
