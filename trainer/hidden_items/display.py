"""The display of the measurement of new items: two tables."""

from __future__ import annotations

from rich.console import Console

from configs import tables
from configs.nouns import counted
from trainer.evaluation.intervals import Cells
from trainer.hidden_items.measure import METRICS, NewItemsEvaluation


def show(found: NewItemsEvaluation, k: int) -> None:
    """Print recall and NDCG at k: of hidden items among themselves, and of all items in one list."""
    console, names = Console(), [f"{metric}@{k}" for metric in METRICS]
    tables.say(console, f"\n{counted(found.items, 'item')} hidden from a training, among themselves:")
    among = tables.table("system", names)
    for system, cells in found.among_new.items():
        among.add_row(system, *_texts(cells, names))
    console.print(among)
    tables.say(console, "\nall items in one list, by the views of the item in train:")
    one_list = tables.table("held out", ["", *names])
    for group, systems in found.one_list.items():
        for system, cells in systems.items():
            one_list.add_row(group, system, *_texts(cells, names))
    console.print(one_list)
    tables.say(
        console,
        f"\nlists of known items alone, with attributes minus without; training lets attributes count for items of "
        f"fewer than {found.reach:,.0f} views:",
    )
    alone = tables.table("held out", names)
    for group, cells in found.known_alone.items():
        alone.add_row(group, *_texts(cells, names, "+z.3f"))
    console.print(alone)


def _texts(cells: Cells, names: list[str], form: str = ".3f") -> list[str]:
    metrics = (cells[name] for name in names)
    return [f"{cell.value:{form}} ({tables.interval(cell.low, cell.high, form)})" for cell in metrics]
