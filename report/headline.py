"""The top of the report: what it is of, how good the model is in a sentence, and what to look at in the data."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.settings import ReportSettings
from report import amounts
from report.inputs import Inputs

_REJECTED = 0.01  # shares above which there is a warning
_ONE_ITEM = 0.5
_AT_CAP = 0.8
_FEW_DAYS = 7
_QUIET_DAY = 0.3  # of the median day


class Headline(NamedTuple):
    """The name of the site or dataset, the days of the data, and the model's quality in sentences."""

    title: str
    days: str
    sentences: list[tuple[str, str]]  # with their CSS classes


def headline(inputs: Inputs, settings: ReportSettings) -> Headline:
    """Return the top of the page."""
    name = settings.title or _name(inputs.dataset_dir)
    days = _days(inputs)
    shown = f"{days[0]} to {days[1]}" if days else f"made on {inputs.dataset.created[:10]}"
    return Headline(name, shown, list(_sentences(inputs)))


def _name(root: str) -> str:
    """Return the last part of a path that is not just `data` or `dataset`."""
    path = root if "://" in root else str(Path(root).absolute())
    parts = [part for part in path.split("/") if part]
    return next((part for part in reversed(parts) if part not in ("data", "dataset")), parts[-1])


def _days(inputs: Inputs) -> tuple[datetime.date, datetime.date] | None:
    first, last = inputs.dataset.days.first, inputs.dataset.days.last
    return (datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)) if first and last else None


def _sentences(inputs: Inputs) -> Iterator[tuple[str, str]]:
    if inputs.evaluation is None:
        yield inputs.unmeasured, "open"
        return
    systems = inputs.evaluation["systems"]
    ours = next(iter(systems.values()))
    metric = max((name for name in ours if name.startswith("recall@")), key=_k, default=None)
    if metric:
        text = f"A list of {_k(metric)} items has {ours[metric]['value']:.1%} of what a visitor chose next ({metric})"
        yield f"{text}.", "open"
    for verdict, words, kind in (("ahead", "Better than", "good"), ("behind", "Worse than", "bad"), ("", "", "")):
        names = [each["system"] for each in inputs.evaluation.get("verdicts", []) if each["verdict"] == verdict]
        if names:
            yield f"{words} {_listed(names)}.", kind
    yield from _since(inputs.previous, ours)


def _since(previous: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the change since an earlier evaluation in the metrics of both at their greatest K."""
    if previous is None:
        return
    theirs = next(iter(previous["systems"].values()))
    both = [name for name in ours if name in theirs and name.partition("@")[0] in ("recall", "ndcg")]
    greatest = [name for name in both if _k(name) == max(map(_k, both))]
    for name in greatest:
        new, old = ours[name], theirs[name]
        change = new["value"] - old["value"]
        apart = new["low"] > old["high"] or new["high"] < old["low"]
        kind = "open" if not apart else "good" if change > 0 else "bad"
        note = "" if apart else "; the intervals overlap"
        yield f"Last run: {name} {old['value']:.3f}, now {new['value']:.3f} ({change:+z.3f}{note}).", kind


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def facts(inputs: Inputs) -> list[tuple[str, str]]:
    """Return the figures at the top of the page, each with its label."""
    counts, days = inputs.dataset.counts, _days(inputs)
    density = counts.interactions / max(counts.users * counts.items, 1)
    facts = [
        (f"{counts.users:,}", "visitors"),
        (f"{counts.items:,}", "items"),
        (f"{counts.interactions:,}", "interactions"),
        (f"{density:.2%}", "of all pairs"),
    ]
    if days:
        facts.append((f"{(days[1] - days[0]).days + 1:,} days", f"{days[0]} to {days[1]}"))
    return [*facts, (str(inputs.model.embedding_dimension), "factors"), (f"{inputs.model.seconds:.1f} s", "training")]


def warnings(inputs: Inputs) -> list[str]:
    """Return what is unusual in the data, with what to do."""
    found = [_rejected(inputs), _visitors_with_one_item(inputs), _ratings_at_cap(inputs), *_of_days(inputs)]
    if inputs.items and not any(item in inputs.catalogue for item in inputs.items):
        found.append("No item has a title. Set source.attributes, or bring a catalogue.")
    return [warning for warning in found if warning]


def _rejected(inputs: Inputs) -> str:
    share = inputs.dataset.counts.rows_rejected / max(inputs.dataset.counts.rows_read, 1)
    rejected = f"{inputs.dataset_dir}/rejected"
    text = f"{share:.1%} of the rows were rejected, by the reasons below; {rejected} has them."
    return text if share > _REJECTED else ""


def _visitors_with_one_item(inputs: Inputs) -> str:
    lengths = inputs.rows.items_per_user
    share = np.count_nonzero(lengths == 1) / max(int(np.count_nonzero(lengths)), 1)
    text = f"{share:.0%} of the visitors have one item, on which their list rests. With a wider window they have more."
    return text if share > _ONE_ITEM else ""


def _ratings_at_cap(inputs: Inputs) -> str:
    share = amounts.share_at_cap(inputs.amounts, inputs.dataset) or 0.0
    text = f"About {share:.0%} of the ratings are at the cap: the amount hardly counts. A lower rating.scale lets it."
    return text if share > _AT_CAP else ""


def _of_days(inputs: Inputs) -> Iterator[str]:
    days = inputs.statistics["interactions_by_day"]
    if 0 < len(days) < _FEW_DAYS:
        yield f"The data has {len(days)} days. A week or more shows what visitors come back for."
    median = float(np.median(list(days.values()))) if days else 0.0
    quiet = [day for day, number in sorted(days.items()) if number < _QUIET_DAY * median]
    if quiet:
        days_have = f"{quiet[0]} has" if len(quiet) == 1 else f"{quiet[0]} and {len(quiet) - 1} more have"
        few = f"fewer than {_QUIET_DAY:.0%} of the median day's interactions"
        yield f"{days_have} {few}. Is the export complete?"
