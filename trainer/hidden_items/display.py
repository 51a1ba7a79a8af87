"""The display of the measurement of new items: two tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from trainer.evaluation.intervals import Cells
from trainer.hidden_items.measure import METRICS, NewItemsEvaluation


def show(found: NewItemsEvaluation, k: int) -> None:
    """Print recall and NDCG at k: of hidden items among themselves, and of all items in one list."""
    console, names = Console(), [f"{metric}@{k}" for metric in METRICS]
    among = _table(f"{found.items:,} items hidden from a training, among themselves", "system", names)
    for system, cells in found.among_new.items():
        among.add_row(system, *_texts(cells, names))
    console.print(among)
    one_list = _table("all items in one list, by the views of the item in train", "held out", ["system", *names])
    for group, systems in found.one_list.items():
        for system, cells in systems.items():
            one_list.add_row(group, system, *_texts(cells, names))
    console.print(one_list)
    alone = _table("lists of known items alone: with attributes minus without", "held out", names)
    for group, cells in found.known_alone.items():
        alone.add_row(group, *_texts(cells, names))
    console.print(alone)


def _table(title: str, first: str, others: list[str]) -> Table:
    return Table(first, *(Column(name, justify="right") for name in others), title=title, title_justify="left")


def _texts(cells: Cells, names: list[str]) -> list[str]:
    return [f"{cells[name].value:.4f} [dim]{cells[name].low:.4f} to {cells[name].high:.4f}[/dim]" for name in names]
