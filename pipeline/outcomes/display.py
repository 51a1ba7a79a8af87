"""Display of an outcome: tables of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from artifacts.manifests.outcome import (
    Compared,
    EntryGroup,
    Estimate,
    ListCount,
    NextDays,
    Outcome,
    OutcomeManifest,
    Tracked,
    VisitorGroup,
)

_WIDTH = 80
_EXCLUDED = 12  # reasons that are printed


def show(root: str, manifest: OutcomeManifest, outcome: Outcome) -> None:
    """Print the figures of each version, the warnings, and what was left out."""
    console = Console(width=_WIDTH)
    confidence = f"{100 * outcome.confidence:g} %"
    for version, figures in outcome.versions.items():
        live = [f"{run.live_from[:16]} to {run.live_until[:16]}" for run in manifest.runs if run.version == version]
        console.print(f"Version {version}, live {'; '.join(live)}; {confidence} intervals", highlight=False)
        _show_next_days(console, figures.next_days)
        if figures.tracked:
            _show_tracked(console, figures.tracked)
    for warning in manifest.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    reasons = list(manifest.excluded.items())
    rows = [(name.replace("_", " "), f"{number:,}") for name, number in reasons[:_EXCLUDED]]
    _print(console, "Left out, by reason", ("reason", "rows"), rows)
    more = f"; {len(reasons) - _EXCLUDED} more reasons are in its manifest.json" if len(reasons) > _EXCLUDED else ""
    console.print(f"outcome {root}{more}", highlight=False, markup=False, soft_wrap=True)


def show_lists(lists: Mapping[str, ListCount], counts: Mapping[str, int]) -> None:
    """Print the lists of an export, and how many visitors have exposures and clicks."""
    console = Console(width=_WIDTH)
    if not lists:
        console.print("the export has no list of items: no exposures and no clicks", highlight=False)
        return
    rows = [
        (
            name,
            f"{each.exposures:,}",
            f"{each.clicks:,}",
            f"{each.clicks / each.exposures:.4f}" if each.exposures else "",
        )
        for name, each in lists.items()
    ]
    _print(console, "Lists of the export", ("list", "exposures", "clicks", "CTR"), rows)
    for kind in ("exposures", "clicks"):
        console.print(f"{kind} are of {counts.get(f'visitors.{kind}', 0):,} visitors", highlight=False)


def _show_next_days(console: Console, days: NextDays) -> None:
    console.print(
        f"{days.visitors:,} visitors with a list, {days.active:,} of them came for {days.pairs:,} items new to them",
        highlight=False,
    )
    if days.whole is None:
        return
    heading = "popularity", "difference"
    rows = [(name, *_compared(each)) for name, each in days.whole.metrics.items()]
    _print(console, "Next days", ("metric", "live", *heading), rows)
    metric = list(days.whole.metrics)[len(days.whole.metrics) // 2 - 1]
    for kind, groups in (("rule", days.by_rule), ("items before", days.by_activity)):
        rows_of = [(name, f"{each.visitors:,}", *_of_visitors(each, metric)) for name, each in groups.items()]
        _print(console, f"{metric} by {kind}", (kind, "visitors", "live", *heading), rows_of)
    for kind, entries in (("rank", days.by_rank), ("category", days.by_category), ("age of item", days.by_age)):
        rows_of = [(name, f"{each.hits:,}", *_of_entries(each)) for name, each in entries.items()]
        _print(console, f"Hits per entry by {kind}", (kind, "hits", "live", *heading), rows_of)


def _show_tracked(console: Console, tracked: Tracked) -> None:
    whole = tracked.whole
    console.print(
        f"{whole.exposures:,} exposures, {whole.clicks:,} clicks: CTR {_text(whole.ctr, joint='  ')}", highlight=False
    )
    ranks = [
        (name, f"{one.exposures:,}", f"{one.clicks:,}", _text(one.ctr), _text(one.examination))
        for name, one in tracked.by_rank.items()
    ]
    _print(console, "CTR by rank", ("rank", "exposures", "clicks", "CTR", "of the first"), ranks)
    for kind, groups in (("rule", tracked.by_rule), ("category", tracked.by_category), ("age", tracked.by_age)):
        rows = [
            (name, f"{one.exposures:,}", f"{one.clicks:,}", _text(one.ctr), _text(one.corrected))
            for name, one in groups.items()
        ]
        last = "corrected" if kind == "rule" else ""
        _print(console, f"CTR by {kind}", (kind, "exposures", "clicks", "CTR", last), rows)
    due = [
        (kind, rule, f"{one.number:,}", f"{one.value:,.2f}", _text(one.per_touch))
        for kind, by_rule in tracked.due.items()
        for rule, one in by_rule.items()
    ]
    _print(console, "Attributed", ("what", "rule", "number", "value", "per touch"), due)


def _of_visitors(group: VisitorGroup, metric: str) -> Sequence[str]:
    return _compared(group.metrics[metric])


def _of_entries(group: EntryGroup) -> Sequence[str]:
    return _compared(group.share)


def _compared(figure: Compared) -> tuple[str, str, str]:
    return _text(figure.live), _text(figure.popularity), _text(figure.difference, "+")


def _text(estimate: Estimate | None, sign: str = "", joint: str = "\n") -> str:
    """Return a value with its interval, in a table on a line of its own, so that it fits the width."""
    if estimate is None or estimate.value is None:
        return ""
    return f"{estimate.value:{sign}.4f}{joint}{estimate.low:{sign}.4f} {estimate.high:{sign}.4f}"


def _print(console: Console, title: str, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, if it has rows; all columns but the first are on the right."""
    rows = list(rows)
    if not rows:
        return
    columns = [Column(name, justify="right") for name in heading[1:]]
    table = Table(Column(heading[0], overflow="fold"), *columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
