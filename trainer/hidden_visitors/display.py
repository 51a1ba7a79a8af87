"""The display of the measurement of new visitors: two tables."""

from __future__ import annotations

from rich.console import Console

from configs import tables
from configs.nouns import counted
from trainer.evaluation.intervals import Cells
from trainer.hidden_visitors.measure import METRICS, NewVisitorsEvaluation


def show(found: NewVisitorsEvaluation, k: int) -> None:
    """Print recall and NDCG at k of hidden visitors, and the differences from popularity."""
    console, names = Console(), [f"{metric}@{k}" for metric in METRICS]
    visitors, items = counted(found.visitors, "visitor"), counted(found.pairs, "item")
    tables.say(console, f"\n{visitors} hidden from a training, {items}:")
    table = tables.table("system", names)
    for system, cells in found.systems.items():
        table.add_row(system, *_texts(cells, names))
        if difference := found.over_popularity.get(system):
            table.add_row("  minus popularity", *_texts(difference, names, "+z.3f"))
    console.print(table)
    if found.after_one_view:
        tables.say(console, "\nthe same visitors after one view:")
        table = tables.table("system", names)
        for system, cells in found.after_one_view.items():
            table.add_row(system, *_texts(cells, names))
        table.add_row("difference", *_texts(found.gain_after_one_view, names, "+z.3f"))
        console.print(table)


def _texts(cells: Cells, names: list[str], form: str = ".3f") -> list[str]:
    metrics = (cells[name] for name in names)
    return [f"{cell.value:{form}} ({tables.interval(cell.low, cell.high, form)})" for cell in metrics]
