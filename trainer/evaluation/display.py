"""What an evaluation shows: a bar at work, tables at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.intervals import Cell


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Shows how many users are done; on terminals only."""
    console = Console(stderr=True)
    columns = TextColumn("evaluating"), BarColumn(), TextColumn("{task.completed}/{task.total} visitors")
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(found: Evaluation, rules: Sequence[dict[str, Any]]) -> None:
    """The tables: all metrics, differences, by activity, and the gate."""
    console = Console()
    confidence = f"{100 * found.about['settings']['confidence']:g} %"
    table = Table(
        title=f"{found.about['model']['root']} on {found.pairs:,} pairs held out of {found.users:,} visitors "
        f"({found.about['dataset']['split']['kind']}); {confidence} intervals",
        title_justify="left",
    )
    table.add_column("metric")
    for name in found.cells:
        table.add_column(name, justify="right")
    for metric in _metrics(found):
        table.add_row(metric, *_cells([cells.get(metric) for cells in found.cells.values()], metric))
    console.print(table)
    _show_differences(console, found)
    _show_activity(console, found)
    left_out = [f"{what}: {count:,}" for what, count in found.about["left_out"].items() if count]
    if left_out:
        console.print(f"left out: {'; '.join(left_out)}", highlight=False, soft_wrap=True)
    for rule in rules:
        mark = "[green]passed[/green]" if rule["passed"] else "[red]failed[/red]"
        console.print(f"gate {mark}: {rule['said']}", highlight=False, soft_wrap=True)


def _metrics(found: Evaluation) -> list[str]:
    """The metrics of the greatest K first, whole; of the others those that say most."""
    ks = sorted(found.about["settings"]["k"], reverse=True)
    names = list(dict.fromkeys(name for cells in found.cells.values() for name in cells))
    greatest = [name for name in names if name.endswith(f"@{ks[0]}") or "@" not in name]
    others = [f"{metric}@{k}" for k in ks[1:] for metric in ("recall", "ndcg")]
    return greatest + [name for name in others if name in names]


def _cells(cells: Sequence[Cell | None], metric: str) -> list[str]:
    """As text, the best in bold."""
    values = [cell.value for cell in cells if cell is not None]
    best = min(values) if metric.startswith(("gini", "rmse")) else max(values)
    texts = []
    for cell in cells:
        text = "" if cell is None else f"{cell.value:.4f} [dim]{cell.low:.4f} to {cell.high:.4f}[/dim]"
        texts.append(f"[bold]{text}[/bold]" if cell is not None and cell.value == best and len(values) > 1 else text)
    return texts


def _show_differences(console: Console, found: Evaluation) -> None:
    if not found.differences:
        return
    most = max(found.about["settings"]["k"])
    table = Table(title="WALS minus the others, paired by visitor", title_justify="left")
    table.add_column("metric")
    for name in found.differences:
        table.add_column(name, justify="right")
    for metric in (f"recall@{most}", f"ndcg@{most}"):
        cells = [cells[metric] for cells in found.differences.values()]
        table.add_row(metric, *(f"{cell.value:+.4f} [dim]{cell.low:+.4f} to {cell.high:+.4f}[/dim]" for cell in cells))
    console.print(table)
    for verdict in found.verdicts:
        console.print(verdict["said"], highlight=False, markup=False, soft_wrap=True)
    for name, cell in found.overlap.items():
        said = f"{name} with {found.against}: {cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}] of a list is the same"
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def _show_activity(console: Console, found: Evaluation) -> None:
    metric = f"recall@{max(found.about['settings']['k'])}"
    table = Table(title=f"{metric} by the items that a visitor has in train", title_justify="left")
    table.add_column("items")
    table.add_column("visitors", justify="right")
    for name in found.by_activity:
        table.add_column(name, justify="right")
    for group, users in found.activity.items():
        cells = [groups[group][metric] for groups in found.by_activity.values()]
        table.add_row(group, f"{users:,}", *_cells(cells, metric))
    console.print(table)
