"""Display of an outcome: tables whose rows are single lines of 80 columns; outcome.json has all intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from artifacts.manifests.outcome import (
    Compared,
    Estimate,
    ListCount,
    NextDays,
    Outcome,
    OutcomeManifest,
    ShownGroup,
    Tracked,
)
from configs import tables
from configs.nouns import counted
from pipeline.outcomes.experiments import display as experiments

_EXCLUDED = 12  # reasons that are printed


def show(root: str, manifest: OutcomeManifest, outcome: Outcome) -> None:
    """Print the figures of each version, the warnings, and what was left out."""
    console, interval = Console(), f"{100 * outcome.confidence:g} % interval"
    for version, figures in outcome.versions.items():
        live = [f"{run.live_from[:16]} to {run.live_until[:16]}" for run in manifest.runs if run.version == version]
        tables.say(console, f"Version {version}, live {'; '.join(live)}")
        _show_next_days(console, figures.next_days, interval)
        if figures.tracked:
            _show_tracked(console, figures.tracked, interval)
    for head, parts in experiments.heads(outcome):
        tables.say(console, escape(head))
        for first, right, cells in parts:
            _print(console, first, right, cells)
    for warning in manifest.warnings:
        tables.say(console, escape(f"warning: {warning}"))
    reasons = list(manifest.excluded.items())
    _print(console, "left out", ("rows",), [(name.replace("_", " "), f"{n:,}") for name, n in reasons[:_EXCLUDED]])
    more = f"; {len(reasons) - _EXCLUDED} more reasons are in its manifest.json" if len(reasons) > _EXCLUDED else ""
    tables.say(console, escape(f"outcome {root}{more}"))


def show_lists(lists: Mapping[str, ListCount], counts: Mapping[str, int]) -> None:
    """Print the lists of an export, and how many visitors have exposures and clicks."""
    console = Console()
    if not lists:
        console.print("the export has no list of items: no exposures and no clicks", highlight=False)
        return
    rows = [
        (name, f"{one.exposures:,}", f"{one.clicks:,}", f"{one.clicks / one.exposures:.4f}" if one.exposures else "")
        for name, one in lists.items()
    ]
    _print(console, "list", ("exposures", "clicks", "CTR"), rows)
    for kind in ("exposures", "clicks"):
        tables.say(console, f"{kind} are of {counted(counts.get(f'visitors.{kind}', 0), 'visitor')}")


def _show_next_days(console: Console, days: NextDays, interval: str) -> None:
    came = f"{days.active:,} of them came for {counted(days.pairs, 'item')} new to them"
    tables.say(console, f"{counted(days.visitors, 'visitor')} with a list, {came}")
    if days.whole is None:
        return
    heading = ("live", "popularity", "difference", interval)
    _print(console, "next days", heading, [(name, *_compared(each)) for name, each in days.whole.metrics.items()])
    metric = list(days.whole.metrics)[len(days.whole.metrics) // 2 - 1]
    for kind, groups in (("rule", days.by_rule), ("items before", days.by_activity)):
        found = [(name, f"{each.visitors:,}", *_compared(each.metrics[metric])) for name, each in groups.items()]
        _print(console, f"{metric} by {kind}", ("visitors", *heading), found)
    for kind, entries in (("rank", days.by_rank), ("category", days.by_category), ("age of item", days.by_age)):
        hits = [(name, f"{each.hits:,}", *_compared(each.share)) for name, each in entries.items()]
        _print(console, f"hits per entry by {kind}", ("hits", *heading), hits)


def _show_tracked(console: Console, tracked: Tracked, interval: str) -> None:
    whole = tracked.whole
    exposures, clicks = counted(whole.exposures, "exposure"), counted(whole.clicks, "click")
    tables.say(console, f"{exposures}, {clicks}: CTR {_value(whole.ctr)} ({_limits(whole.ctr)})")
    ranks = [(name, *_clicks(one), _value(one.examination)) for name, one in tracked.by_rank.items()]
    heading = ("exposures", "clicks", "CTR", interval)
    _print(console, "CTR by rank", (*heading, "of the first"), ranks)
    rules = [(name, *_clicks(one), _value(one.corrected)) for name, one in tracked.by_rule.items()]
    _print(console, "CTR by rule", (*heading, "corrected"), rules)
    for kind, groups in (("category", tracked.by_category), ("age", tracked.by_age)):
        _print(console, f"CTR by {kind}", heading, [(name, *_clicks(one)) for name, one in groups.items()])
    due = [
        (f"{kind}, {rule}", f"{one.number:,}", f"{one.value:,.2f}", _value(one.per_touch), _limits(one.per_touch))
        for kind, by_rule in tracked.due.items()
        for rule, one in by_rule.items()
    ]
    _print(console, "attributed", ("number", "value", "per touch", interval), due)


def _clicks(group: ShownGroup) -> tuple[str, ...]:
    return f"{group.exposures:,}", f"{group.clicks:,}", _value(group.ctr), _limits(group.ctr)


def _compared(figure: Compared) -> tuple[str, ...]:
    """Return the cells of a comparison; the interval is that of the difference."""
    difference = figure.difference
    return _value(figure.live), _value(figure.popularity), _value(difference, "+"), _limits(difference, "+")


def _value(estimate: Estimate | None, sign: str = "") -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:{sign}z.4f}"


def _limits(estimate: Estimate, sign: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return tables.interval(estimate.low, estimate.high, f"{sign}z.3f")


def _print(console: Console, first: str, right: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table and an empty line after it, if it has rows."""
    if not rows:
        return
    table = tables.table(first, right)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
