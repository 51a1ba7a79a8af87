"""The settings that fit an export, as a config."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from configs.errors import UserError
from configs.settings import Settings, resolve
from configs.settings.section import validate
from configs.settings.signals import PRESETS
from pipeline.inspection.facts import ga4 as ga4_facts
from pipeline.inspection.facts.measures import Candidate, Facts
from pipeline.inspection.facts.table import Roles
from pipeline.inspection.sampling.files import Sample
from pipeline.inspection.sampling.kinds import NAMES

SHOP_EVENTS = ("purchase", "add_to_cart", "view_item")
_LEAST_COVERAGE = 0.05  # of a parameter or a dimension with the item's id
_FEWEST_ITEMS = 10  # of a dimension: with fewer values it is a category
_TIMES_MORE = 10  # events with an item's id in a parameter than with items, so that the shop is not the subject
_USERS = 0.2  # the share of events with user_id, from which on it is preferred
_OUTPUTS = ("dataset", "model", "predictions")


class Proposal(NamedTuple):
    """Settings by section, the field with the item's id, and the presets that fit, the proposed one first."""

    tree: dict[str, Any]
    item: str
    presets: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings, with all defaults."""
        return resolve(validate(Settings, self.tree, "the proposed config"))


def of_export(sample: Sample, facts: Facts, preset: str | None) -> Proposal:
    """Return the settings for an export of Google Analytics.

    preset: its name, in place of the one that fits best. Raise UserError if no preset fits, or `preset` does not.
    """
    fitting = _ga4(facts) if facts.kind == "ga4" else _ga360(facts)
    if preset and PRESETS[preset].kind != facts.kind:
        kinds = NAMES[PRESETS[preset].kind], NAMES[facts.kind]
        raise UserError(f"preset {preset} is for a {kinds[0]}; {sample.input} is a {kinds[1]}")
    if preset and preset not in fitting:
        fits = f"these do: {', '.join(fitting)}" if fitting else "no other does"
        raise UserError(f"preset {preset}: no event of {sample.input} has its item; {fits}")
    if not fitting:
        raise UserError(f"{sample.input} has no items, pages or screens; if the id is elsewhere, see source.signals")
    chosen = preset or next(iter(fitting))
    source: dict[str, Any] = {"preset": chosen, "input": sample.input, **fitting[chosen]}
    if sample.unfinished:
        source["include_intraday"] = True
    if facts.kind == "ga4" and (facts.users or 0) >= _USERS:
        source["prefer_user_id"] = True
    tree: dict[str, Any] = {"source": source}
    item = PRESETS[chosen].signals[0].item
    if "item_parameter" in source:
        item = f"param.{source['item_parameter']}"
    if "signals" in source:
        item = source["signals"][0]["item"]
    if "item_dimension_index" in source:
        item = f"dimension.{source['item_dimension_index']}"
    return Proposal(tree, item, (chosen, *(name for name in fitting if name != chosen)))


def of_table(sample: Sample, roles: Roles) -> Proposal:
    """Return the settings for a table; raise UserError if no columns look like those of visitors and items."""
    if roles.visitor is None or roles.item is None:
        missing = "visitors" if roles.visitor is None else "items"
        raise UserError(
            f"{sample.input} has no column that looks like the ids of {missing}: a table has a row per visitor and item"
        )
    source: dict[str, Any] = {"kind": "table", "input": sample.input}
    source |= {"visitor_column": roles.visitor, "item_column": roles.item}
    if not sample.header:
        source["csv"] = {"header": False}
    if roles.time:
        source["time_column"] = roles.time
    if roles.time_unit not in (None, "auto", "ms"):
        source["time_unit"] = roles.time_unit
    rating: dict[str, Any] = {"kind": "binary"}
    if roles.rating:
        source["rating_column"] = roles.rating
        rating = {"kind": "linear"}
    if roles.answers:
        ordered = sorted(roles.answers)
        rating = {"kind": "ordinal", "ordinal": {answer: number for number, answer in enumerate(ordered, 1)}}
    if roles.duration:
        source["duration_column"] = roles.duration
        rating = {"kind": "median"}
    return Proposal({"source": source, "rating": rating}, roles.item)


def text_of(proposal: Proposal, about: str, path: str | None) -> str:
    """Return the config as YAML with comments.

    about: what was looked at, for the first line. path: of the config; its outputs are in a directory of data/ that has
    its name.
    """
    stem = re.sub(r".*/|[.][^.]*$", "", path or "config") or "config"
    tree = proposal.tree | {f"{name}_dir": f"data/{stem}/{name}" for name in _OUTPUTS}
    tree["beam"] = {"runner": "FnApiRunner"}
    lines = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=10_000).splitlines()
    if len(proposal.presets) > 1:
        lines = [_with_others(line, proposal.presets) for line in lines]
    return "\n".join([f"# {about}", *lines, ""])


def _with_others(line: str, presets: tuple[str, ...]) -> str:
    return f"{line}  # or {', '.join(presets[1:])}" if line == f"  preset: {presets[0]}" else line


def _ga4(facts: Facts) -> dict[str, dict[str, Any]]:
    """Return the presets that fit with what they need besides, the best first."""
    fitting: dict[str, dict[str, Any]] = {}
    page, screen, parameter = facts.candidate("page"), facts.candidate("screen"), _parameter(facts)
    shop = sum(event.with_items for event in facts.events if event.name in SHOP_EVENTS)
    articles = {"ga4_articles": {"item_parameter": parameter.field.removeprefix("param.")}} if parameter else {}
    if parameter and parameter.carried > _TIMES_MORE * shop:
        fitting |= articles
    fitting |= _shop("ga4_shop", facts, ("items.item_id", "items.item_name")) | articles
    if screen and (page is None or screen.carried > page.carried):
        fitting["ga4_app"] = {}
    if page:
        fitting["ga4_pages"] = {}
    if screen:
        fitting["ga4_app"] = {}
    for preset in fitting:
        if fitting[preset].get("item_parameter") == "content_id":
            fitting[preset] = {}
    return fitting


def _shop(preset: str, facts: Facts, fields: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return a shop's preset, if its events carry items; with signals of its own if only another field has ids."""
    signals = PRESETS[preset].signals
    counted = {name for signal in signals for name in signal.event}
    field = next((each for each in fields if facts.candidate(each)), None)
    if field is None or not any(event.with_items for event in facts.events if event.name in counted):
        return {}
    if field == signals[0].item:
        return {preset: {}}
    return {preset: {"signals": [{"event": each.event[0], "item": field, "weight": each.weight} for each in signals]}}


def _parameter(facts: Facts) -> Candidate | None:
    """Return the parameter that has the item's id."""
    found = [
        each
        for each in facts.candidates
        if each.field.startswith("param.")
        and ga4_facts.is_like_id(each.field.removeprefix("param."))
        and each.coverage >= _LEAST_COVERAGE
        and each.distinct > 1
    ]
    return max(found, key=lambda each: (each.field == "param.content_id", each.distinct, each.coverage), default=None)


def _ga360(facts: Facts) -> dict[str, dict[str, Any]]:
    fitting: dict[str, dict[str, Any]] = {}
    page = facts.candidate("page")
    fitting |= _shop("ga360_shop", facts, ("product.productSKU", "product.v2ProductName"))
    dimension = _dimension(facts, page)
    if dimension:
        index = int(dimension.field.removeprefix("dimension."))
        fitting["ga360_dimension"] = {} if index == 10 else {"item_dimension_index": index}
    if page:
        fitting["ga360_pages"] = {}
    return fitting


def _dimension(facts: Facts, page: Candidate | None) -> Candidate | None:
    """Return the custom dimension that has the item's id: many values, and neither one a visitor nor one a view."""
    found = [
        each
        for each in facts.candidates
        if each.field.startswith("dimension.")
        and each.coverage >= _LEAST_COVERAGE
        and each.distinct >= max(_FEWEST_ITEMS, 0.1 * (page.distinct if page else 0))
        and each.is_shared
    ]
    return max(found, key=lambda each: (each.distinct, each.coverage), default=None)
