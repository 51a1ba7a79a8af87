"""Inputs -> one HTML file with its style, script and data in it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from artifacts import storage
from configs.errors import UserError
from configs.settings import ReportSettings
from report import inputs, item_map, quality, sections
from report.inputs import Inputs

_HERE = Path(__file__).parent
_COLOURS = 10  # categories with a colour of their own


def write(path: str, found: Inputs, settings: ReportSettings) -> int:
    """Writes the page, whole or not at all; gives its bytes.

    Raises:
        UserError: it cannot be written.
    """
    text = page(found, settings).encode()
    try:
        storage.write_bytes(path, text)
    except OSError as error:
        raise UserError(f"report {path} cannot be written: {error.strerror}") from error
    return len(text)


def page(found: Inputs, settings: ReportSettings) -> str:
    """The HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        found=found,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        facts=sections.facts(found),
        by_day=sections.by_day(found),
        ratings=sections.ratings(found),
        long_tail=sections.long_tail(found),
        concentration=sections.concentration(found),
        activity=sections.activity(found),
        rejects=sections.rejects(found),
        training=sections.training(found),
        quality=None if found.evaluation is None else quality.describe(found.evaluation),
        settings=sections.settings(found),
        versions=inputs.versions(found.dataset, found.model),
        title_of=lambda content: found.catalogue.get(content, (content, ""))[0],
        category_of=lambda content: found.catalogue.get(content, ("", ""))[1],
        **_map(found, settings),
    )


def _map(found: Inputs, settings: ReportSettings) -> dict[str, Any]:
    drawn = item_map.draw(found.item_factors, found.users_per_item, settings.map_items)
    names = [found.catalogue.get(found.items[item], (found.items[item], "")) for item in drawn.items]
    users = found.users_per_item[drawn.items]
    categories = sections.categories([category for _, category in names], users, _COLOURS)
    colour = {name: place for place, name in enumerate(categories)}
    points = [
        [round(float(x), 4), round(float(y), 4), int(count), colour.get(category, -1), title, category]
        for (x, y), count, (title, category) in zip(drawn.places, users, names, strict=True)
    ]
    return {
        "map_method": drawn.method,
        "categories": categories,
        "others": any(point[3] < 0 for point in points),
        # Within <script> nothing may look like its end.
        "points": markupsafe.Markup(json.dumps(points, ensure_ascii=False).replace("<", "\\u003c")),  # noqa: S704
    }
