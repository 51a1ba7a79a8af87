"""The display of the measurement of new visitors: two tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from trainer.evaluation.intervals import Cells
from trainer.hidden_visitors.measure import METRICS, NewVisitorsEvaluation


def show(found: NewVisitorsEvaluation, k: int) -> None:
    """Print recall and NDCG at k of hidden visitors, and the differences from popularity."""
    console, names = Console(), [f"{metric}@{k}" for metric in METRICS]
    table = _table(
        f"{found.visitors:,} visitors hidden from a training, {found.pairs:,} items",
        ["system", *names, f"{names[0]} minus popularity"],
    )
    for system, cells in found.systems.items():
        difference = found.over_popularity.get(system)
        table.add_row(system, *_texts(cells, names), *(_texts(difference, names[:1], "+.4f") if difference else [""]))
    console.print(table)
    if found.after_one_view:
        table = _table("the same visitors after one view", ["system", *names])
        for system, cells in found.after_one_view.items():
            table.add_row(system, *_texts(cells, names))
        table.add_row("difference", *_texts(found.gain_after_one_view, names, "+.4f"))
        console.print(table)


def _table(title: str, columns: list[str]) -> Table:
    first, *others = columns
    return Table(first, *(Column(name, justify="right") for name in others), title=title, title_justify="left")


def _texts(cells: Cells, names: list[str], form: str = ".4f") -> list[str]:
    return [f"{cells[n].value:{form}} [dim]{cells[n].low:{form}} to {cells[n].high:{form}}[/dim]" for n in names]
