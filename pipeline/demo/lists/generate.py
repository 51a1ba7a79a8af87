"""An export of imaginary days after some predictions: their visitors come, are shown their lists, click and buy."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

import numpy as np

from artifacts.manifests import PredictionsManifest
from artifacts.names import CONTENT_ID, DAY_SECONDS, VISITOR_ID
from artifacts.paths import Predictions, join
from configs.errors import UserError
from pipeline.demo.lists.events import SCHEMA, List, Site, rows
from pipeline.demo.lists.habits import Habits, draw
from pipeline.demo.sample.formats import NdjsonWriter
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.rows import Row
from pipeline.outcomes.live.lists import RANK, RULE, predicted

_SUFFIX = ".jsonl"


def make_days(output_dir: str, root: str, list_name: str, days: int, seed: int, replace: bool = False) -> Counter[str]:
    """Write `ga4_lists/events_YYYYMMDD.ndjson.gz` of the days after predictions; return the numbers of events by name.

    Raise UserError if the predictions are not finished, or have no JSON lines.
    """
    made = PredictionsManifest.read(Predictions(root).manifest)
    lists = [one for name in sorted(made.files) if name.endswith(_SUFFIX) for one in _lists(join(root, name))]
    if not lists:
        raise UserError(f"{root} has no recommendations as JSON lines; predict with jsonl in prediction.formats")
    first = datetime.datetime.fromisoformat(made.run_time).astimezone(datetime.UTC).date() + datetime.timedelta(days=1)
    start_s = (first - datetime.date(1970, 1, 1)).days * DAY_SECONDS
    habits, length = Habits(), min(max(len(one.items) for one in lists), len(Habits().examination))
    lists = [one._replace(items=one.items[:length]) for one in lists]
    catalogue = sorted({item for one in lists for item in one.items})
    draws = draw(habits, [one.rule for one in lists], length, days, np.random.default_rng(seed))
    site = Site(list_name, "model_version", made.model_version, catalogue)
    by_day: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    for second, row in rows(lists, draws, start_s, site):
        by_day[(second - start_s) // DAY_SECONDS].append((second, row))
    counts: Counter[str] = Counter()
    output = OutputDirectory(output_dir, replace)
    with output.open():
        for day in range(max([days, *by_day]) + 1 if by_day else days):
            date = first + datetime.timedelta(days=day)
            path = output.add(f"ga4_lists/events_{date:%Y%m%d}.ndjson.gz")
            with contextlib.closing(NdjsonWriter(path, SCHEMA)) as writer:
                found = [row for _, row in sorted(by_day[day], key=lambda one: one[0])]
                writer.write(found)
                counts.update(row["event_name"] for row in found)
        output.publish({"made_by": "pipeline.sample", "seed": seed, "habits": asdict(habits), "days": days, **counts})
    return counts


def _lists(path: str) -> Iterator[List]:
    """Yield the lists of a file."""
    for batch in predicted(path, 0):
        columns = zip(*(batch[name].to_pylist() for name in (VISITOR_ID, RULE, CONTENT_ID, RANK)), strict=True)
        for visitor, entries in groupby(columns, key=lambda entry: entry[0]):
            ordered = sorted(entries, key=lambda entry: entry[3])
            yield List(visitor.decode(), ordered[0][1], [entry[2].decode() for entry in ordered])
