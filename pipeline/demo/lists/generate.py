"""An export of imaginary days after some predictions: their visitors come, are shown their lists, click and buy."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from types import ModuleType
from typing import NamedTuple

import numpy as np

from artifacts.manifests import PredictionsManifest
from artifacts.names import CONTENT_ID, DAY_SECONDS, VISITOR_ID
from artifacts.paths import Predictions, join
from configs.errors import UserError
from pipeline.demo.lists import events, sessions
from pipeline.demo.lists.deeds import List, Site, deeds
from pipeline.demo.lists.habits import Habits, draw
from pipeline.demo.sample.formats import NdjsonWriter
from pipeline.demo.sample.output import OutputDirectory
from pipeline.demo.sample.rows import Row
from pipeline.outcomes.live.lists import RANK, RULE, predicted

_SUFFIX = ".jsonl"
_FILES: dict[str, tuple[ModuleType, str]] = {"ga360": (sessions, "ga_sessions"), "ga4": (events, "events")}
LAYOUTS = tuple(_FILES)
NEW_ITEMS = 3


class Plan(NamedTuple):
    """The days after some predictions. root: of these; layouts: ga4, ga360, or both; new_items: of each day."""

    root: str
    list_name: str
    days: int
    seed: int
    layouts: Sequence[str] = LAYOUTS
    new_items: int = NEW_ITEMS


def make_days(output_dir: str, plan: Plan, replace: bool = False) -> Counter[str]:
    """Write `LAYOUT_lists/PREFIX_YYYYMMDD.ndjson.gz` of the days after predictions; return what happened, by kind.

    Raise UserError if the predictions are not finished, or have no JSON lines.
    """
    made = PredictionsManifest.read(Predictions(plan.root).manifest)
    names = [name for name in sorted(made.files) if name.endswith(_SUFFIX)]
    lists = [one for name in names for one in _lists(join(plan.root, name))]
    if not lists:
        raise UserError(f"{plan.root} has no recommendations as JSON lines; predict with jsonl in prediction.formats")
    first = datetime.datetime.fromisoformat(made.run_time).astimezone(datetime.UTC).date() + datetime.timedelta(days=1)
    start_s = (first - datetime.date(1970, 1, 1)).days * DAY_SECONDS
    habits, length = Habits(), min(max(len(one.items) for one in lists), len(Habits().examination))
    lists = [one._replace(items=one.items[:length]) for one in lists]
    catalogue = sorted({item for one in lists for item in one.items})
    draws = draw(habits, [one.rule for one in lists], length, plan.days, np.random.default_rng(plan.seed))
    site = Site(plan.list_name, "model_version", made.model_version, catalogue, plan.new_items)
    counts = Counter(deed.kind for deed in deeds(lists, draws, start_s, site))
    output = OutputDirectory(output_dir, replace)
    with output.open():
        for layout in plan.layouts:
            module, prefix = _FILES[layout]
            by_day: dict[int, list[tuple[int, Row]]] = defaultdict(list)
            for second, row in module.rows(lists, draws, start_s, site):
                by_day[(second - start_s) // DAY_SECONDS].append((second, row))
            for day in range(max([plan.days - 1, *by_day]) + 1):
                path = output.add(f"{layout}_lists/{prefix}_{first + datetime.timedelta(days=day):%Y%m%d}.ndjson.gz")
                with contextlib.closing(NdjsonWriter(path, module.SCHEMA)) as writer:
                    writer.write([row for _, row in sorted(by_day[day], key=lambda one: one[0])])
        truth = {"habits": asdict(habits), "new_items_a_day": plan.new_items}
        output.publish({"made_by": "pipeline.sample", "seed": plan.seed, "days": plan.days, **truth, **counts})
    return counts


def _lists(path: str) -> Iterator[List]:
    """Yield the lists of a file."""
    for batch in predicted(path, 0):
        columns = zip(*(batch[name].to_pylist() for name in (VISITOR_ID, RULE, CONTENT_ID, RANK)), strict=True)
        for visitor, entries in groupby(columns, key=lambda entry: entry[0]):
            ordered = sorted(entries, key=lambda entry: entry[3])
            yield List(visitor.decode(), ordered[0][1], [entry[2].decode() for entry in ordered])
