"""Rendering of the report: one HTML file with style, script and data in it."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import tensorflow as tf

from artifacts import storage
from configs import cli
from configs.settings import ReportSettings
from report import amounts, excluded, headline, item_map, sections
from report.inputs import Inputs
from report.quality.describe import describe
from report.quality.online import happened

_HERE = Path(__file__).parent
_COLOURS = 10  # categories with a colour of their own
_LABELS = 40  # categories with their name on the map


def write(path: str, inputs: Inputs, settings: ReportSettings) -> int:
    """Write the report atomically and return its size in bytes."""
    data = page(inputs, settings).encode()
    storage.write_bytes(path, data)
    return len(data)


def page(inputs: Inputs, settings: ReportSettings) -> str:
    """Return the HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    changed, defaults = sections.settings(inputs)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        top=headline.headline(inputs, settings),
        facts=headline.facts(inputs),
        warnings=headline.warnings(inputs),
        charts=sections.data_charts(inputs),
        at_cap=amounts.share_at_cap(inputs.amounts, inputs.dataset),
        excluded=excluded.excluded(inputs.dataset),
        training=sections.training(inputs),
        quality=None if inputs.evaluation is None else describe(inputs.evaluation, inputs.previous),
        happened=happened(inputs.outcome, inputs.model.digest()[:12]),
        changed=changed,
        defaults=defaults,
        versions={
            "dataset": inputs.dataset_dir,
            "created": inputs.dataset.created,
            "fingerprint": inputs.model.dataset.fingerprint[:16],
            "model": inputs.model_dir,
            "pipeline": inputs.dataset.code_version,
            "trainer": inputs.model.code_version,
            "schema": inputs.dataset.schema_version,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            "TensorFlow": tf.__version__,
            "this page": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        },
        **_map(inputs, settings),
    )


def _map(inputs: Inputs, settings: ReportSettings) -> dict[str, Any]:
    with cli.progress("drawing the map", stderr=True):
        drawn = item_map.draw(inputs.item_factors, inputs.rows.users_per_item, settings.map_items)
    items = [inputs.items[index] for index in drawn.items]
    users = inputs.rows.users_per_item[drawn.items]
    ordered = sections.categories([inputs.category(item) for item in items], users)
    categories = ordered[:_COLOURS]
    colours = {name: number for number, name in enumerate(categories)}
    points = []
    for item, (x, y), count in zip(items, drawn.positions.tolist(), users.tolist(), strict=True):
        category = inputs.category(item)
        points.append([round(x, 4), round(y, 4), count, colours.get(category, -1), inputs.title(item), category])
    return {
        "map_method": drawn.method,
        "categories": categories,
        "all_categories": sorted(ordered),
        "labels": ordered[:_LABELS],
        "others": any(point[3] < 0 for point in points),
        "points": points,
    }
