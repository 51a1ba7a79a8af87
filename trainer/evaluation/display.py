"""The display of an evaluation: a progress bar, then tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from configs import cli
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.gate import Rule
from trainer.evaluation.intervals import Cell


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the number of users that are done, on terminals only."""
    with cli.progress("evaluating", unit="visitors", stderr=True) as bar:
        yield lambda done, total: bar.update(done, total=total)


def show(evaluation: Evaluation, rules: Sequence[Rule]) -> None:
    """Print the tables: all metrics, differences, by activity, and the gate."""
    console = Console()
    confidence = f"{100 * evaluation.about['settings']['confidence']:g} %"
    table = _table(
        f"{evaluation.about['model']['root']} on {evaluation.pairs:,} pairs held out of {evaluation.users:,} "
        f"visitors ({evaluation.about['dataset']['split']['kind']}); {confidence} intervals",
        "metric",
        *evaluation.cells,
    )
    for metric in _metrics(evaluation):
        table.add_row(metric, *_cells([cells.get(metric) for cells in evaluation.cells.values()], metric))
    console.print(table)
    _show_differences(console, evaluation)
    _show_groups(console, evaluation)
    left_out = [f"{name}: {count:,}" for name, count in evaluation.about["left_out"].items() if count]
    if left_out:
        console.print(f"left out: {'; '.join(left_out)}", highlight=False, soft_wrap=True)
    for rule in rules:
        mark = "[green]passed[/green]" if rule.passed else "[red]failed[/red]"
        console.print(f"gate {mark}: {rule.summary}", highlight=False, soft_wrap=True)


def _table(title: str, first: str, *others: str) -> Table:
    """Return a table with these columns; all but the first are on the right."""
    return Table(first, *(Column(name, justify="right") for name in others), title=title, title_justify="left")


def _metrics(evaluation: Evaluation) -> list[str]:
    """Return all metrics at the greatest K, then recall and NDCG at the others."""
    ks = sorted(evaluation.about["settings"]["k"], reverse=True)
    names = list(dict.fromkeys(name for cells in evaluation.cells.values() for name in cells))
    greatest = [name for name in names if name.endswith(f"@{ks[0]}") or "@" not in name]
    others = [f"{metric}@{k}" for k in ks[1:] for metric in ("recall", "ndcg")]
    return greatest + [name for name in others if name in names]


def _cells(cells: Sequence[Cell | None], metric: str) -> list[str]:
    """Return cells as text, the best in bold; its interval is on a line of its own, so that it fits 80 columns."""
    values = [cell.value for cell in cells if cell is not None]
    best = min(values) if metric.startswith(("gini", "rmse")) else max(values)
    texts = []
    for cell in cells:
        text = "" if cell is None else f"{cell.value:.4f}\n[dim]{cell.low:.3f}-{cell.high:.3f}[/dim]"
        texts.append(f"[bold]{text}[/bold]" if cell is not None and cell.value == best and len(values) > 1 else text)
    return texts


def _show_differences(console: Console, evaluation: Evaluation) -> None:
    if not evaluation.differences:
        return
    most = max(evaluation.about["settings"]["k"])
    table = _table("WALS minus the others, paired by visitor", "metric", *evaluation.differences)
    for metric in (f"recall@{most}", f"ndcg@{most}"):
        cells = [cells[metric] for cells in evaluation.differences.values()]
        table.add_row(metric, *(f"{cell.value:+.4f}\n[dim]{cell.low:+.3f} to {cell.high:+.3f}[/dim]" for cell in cells))
    console.print(table)
    for verdict in evaluation.verdicts:
        weak = [f"  weak spot: {spot}" for spot in verdict.weak_spots]
        for line in (verdict.summary, *weak, *(f"  trade-off: {spot}" for spot in verdict.trade_offs)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if note := evaluation.by_chance:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    for name, cell in evaluation.overlap.items():
        line = f"{name} with {evaluation.against}: {cell.text('.3f')} of a list is the same"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _show_groups(console: Console, evaluation: Evaluation) -> None:
    metric = f"recall@{max(evaluation.about['settings']['k'])}"
    kinds = (
        ("items", "the number of items in train", evaluation.by_activity),
        ("group", "what visitors have and what is held out", evaluation.by_segment),
    )
    for first, kind, groups in kinds:
        table = _table(f"{metric} by {kind}", first, "visitors", *groups.cells)
        for group, users in groups.users.items():
            cells = [by_group[group][metric] for by_group in groups.cells.values()]
            table.add_row(escape(group), f"{users:,}", *_cells(cells, metric))
        console.print(table)
