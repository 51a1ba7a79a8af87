"""The screen: what an export is, in 80 columns."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from configs.nouns import counted
from configs.settings.signals import PRESETS
from pipeline.inspection.advice import listed, percent
from pipeline.inspection.facts.measures import Event, Facts
from pipeline.inspection.sampling.files import Sample
from pipeline.inspection.sampling.kinds import NAMES
from pipeline.inspection.windows import BOT_VIEWS_A_DAY, Interest, Window

_WIDTH = 80
_FEW_VALUES = 10
_COUNTED = {name for preset in PRESETS.values() for signal in preset.signals for name in signal.event}
_MOST_EVENTS, _MOST_CANDIDATES, _MOST_COLUMNS, _MOST_PARAMETERS = 10, 5, 16, 9


def show(sample: Sample, facts: Facts, interest: Interest | None, warnings: Sequence[str], config: str | None) -> None:
    """Print the screen; interest: what the proposed settings make of the sample; None if there are none."""
    console = Console()
    console = Console(width=min(console.width, 100) if console.is_terminal else _WIDTH, highlight=False)
    for part in _parts(sample, facts, interest, warnings, config):
        console.print(part)


def about(sample: Sample, facts: Facts) -> str:
    """Return what was looked at, in a line."""
    days = f", {_day(facts.days[0])} to {_day(facts.days[-1])}" if facts.days else ""
    return f"pipeline.inspect on a {NAMES[sample.kind]}: {facts.rows:,} {facts.unit}{days}"


def _parts(
    sample: Sample, facts: Facts, interest: Interest | None, warnings: Sequence[str], config: str | None
) -> Iterator[RenderableType]:
    of = f"{sample.opened} of " if sample.opened < sample.files else ""
    opened = of + counted(sample.files, sample.unit)
    read = "all of it" if sample.share >= 1 else f"about {percent(sample.share)}"
    name = NAMES[sample.kind]
    yield Text(f"{name[0].upper()}{name[1:]} {sample.input}", "bold")
    hits = f" with {counted(facts.hits, 'hit')}" if facts.hits else ""
    yield f"{facts.rows:,} {facts.unit}{hits} in {opened}, {read} read"
    yield _summary(facts, interest)
    yield ""
    if facts.events:
        yield _events(facts)
    if facts.parameters:
        shown = [f"{name} {percent(share)}" for name, share in facts.parameters.items()][:_MOST_PARAMETERS]
        more = len(facts.parameters) - len(shown)
        yield Text(f"parameters: {', '.join(shown)}" + (f", and {more} more" if more > 0 else ""))
    if facts.columns:
        yield _columns(facts)
    if any(each.carried for each in facts.candidates):
        yield ""
        yield from _candidates(facts)
    if interest is not None:
        yield ""
        yield _windows(interest)
    if warnings:
        yield ""
    for warning in warnings:
        yield _line("!", warning, "yellow")
    if config is not None:
        yield Group("", Text("proposed config", "bold"), Text(config.rstrip("\n")))


def _table(*headers: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
    for header in headers:
        is_number = header in right
        table.add_column(header, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
    return table


def _line(mark: str, text: str, style: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_row(Text(mark, style), Text(text))
    return table


def _summary(facts: Facts, interest: Interest | None) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for name, value in _rows(facts, interest):
        table.add_row(Text(name, "bold"), Text(value))
    return table


def _rows(facts: Facts, interest: Interest | None) -> Iterator[tuple[str, str]]:
    if facts.days:
        yield "days", f"{len(facts.days)}: {_day(facts.days[0])} to {_day(facts.days[-1])}"
    if facts.visitors:
        back = f"{facts.returning:,} ({percent(facts.returning / facts.visitors)}) come back on another day"
        back = back if len(facts.days) > 1 else "one day does not show who comes back"
        yield "visitors", f"{facts.visitors:,}; {back if facts.days else 'without times'}"
    if facts.kind == "ga4":
        answers = ", ".join(f"{name} {percent(share)}" for name, share in facts.consent.items())
        said = f"analytics_storage {answers}" if answers else "analytics_storage is not set"
        yield "consent", f"{percent(1 - facts.anonymous)} of the events have a visitor; {said}"
    if facts.users is not None:
        yield "user_id", f"on {percent(facts.users)} of the {facts.unit}"
    duplicates = facts.duplicates
    if interest is not None:
        duplicates += interest.counts["views.skipped.duplicate_event"]
        bots = (
            f"{counted(interest.bots, 'visitor')}, {counted(interest.bot_views, 'view')}" if interest.bots else "none"
        )
        yield "bots", f"{bots} (over {BOT_VIEWS_A_DAY} views a day)"
    yield "duplicates", f"{duplicates:,}"


def _events(facts: Facts) -> Table:
    numbers = ["events", "with items", "items each", "engaged"]
    with_engagement = any(event.engaged for event in facts.events)
    headers = ["event", *numbers[: 4 if with_engagement else 3]]
    table = _table(*headers, right=numbers)
    for event in _chosen(facts):
        items = (f"{event.with_items:,}", str(event.typical_items)) if event.with_items else ("", "")
        engaged = [percent(event.engaged) if event.engaged else ""] if with_engagement else []
        table.add_row(Text(event.name), f"{event.events:,}", *items, *engaged)
    rest = len(facts.events) - table.row_count
    if rest > 0:
        table.add_row(Text(f"and {rest} more", "dim"))
    return table


def _chosen(facts: Facts) -> list[Event]:
    """Return the events to show: those that presets count, and the most frequent others."""
    ranked = sorted(facts.events, key=lambda event: (event.name not in _COUNTED, -event.events))
    kept = {event.name for event in ranked[:_MOST_EVENTS]}
    return [event for event in facts.events if event.name in kept]


def _columns(facts: Facts) -> Table:
    table = _table("column", "type", "filled", "distinct", "looks like", right=["filled", "distinct"])
    for column in facts.columns[:_MOST_COLUMNS]:
        values = (percent(column.filled), f"{column.distinct:,}", Text(column.looks_like))
        table.add_row(Text(column.name), Text(column.type), *values)
    if len(facts.columns) > _MOST_COLUMNS:
        table.add_row(Text(f"and {len(facts.columns) - _MOST_COLUMNS} more", "dim"))
    return table


def _candidates(facts: Facts) -> Iterator[RenderableType]:
    """Yield the table of the candidates, those with many values first, and what is in place of an id."""
    numbers = ["coverage", "distinct", "visitors each"]
    table = _table("item's id", *numbers, right=numbers)
    ranked = sorted(facts.candidates, key=lambda each: each.distinct < _FEW_VALUES)
    shown = [each for each in ranked if each.carried][:_MOST_CANDIDATES]
    for each in shown:
        table.add_row(Text(each.field), percent(each.coverage), f"{each.distinct:,}", f"{each.per_item:,.1f}")
    yield table
    for each in shown:
        if each.examples:
            yield _clipped(f"{each.field}: {', '.join(each.examples)}")
    no_ids = [f"{each.field} {listed(each.no_ids)}" for each in facts.candidates if each.no_ids]
    if no_ids:
        yield Text(f"no ids: {'; '.join(no_ids[:3])}")


def _clipped(text: str) -> Text:
    clipped = Text(text)
    clipped.truncate(_WIDTH, overflow="ellipsis")
    return clipped


def _windows(interest: Interest) -> Table:
    numbers = ["window", "pairs", "visitors", "items", "visitors with 2+ items"]
    table = _table(*numbers, right=numbers)
    for window in interest.windows[:-1]:
        table.add_row(f"{window.days} days", *_figures(window))
    whole = interest.windows[-1]
    table.add_row(f"all {whole.days} days" if whole.days > 1 else "all", *_figures(whole))
    return table


def _figures(window: Window) -> tuple[str, ...]:
    return (f"{window.pairs:,}", f"{window.visitors:,}", f"{window.items:,}", percent(window.several))


def _day(day: str) -> str:
    return str(datetime.datetime.strptime(day, "%Y%m%d").date())
