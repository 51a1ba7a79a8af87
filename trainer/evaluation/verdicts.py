"""Whether the model is better than what it is compared with, in words that do not flatter it."""

from __future__ import annotations

from typing import Any

from trainer.evaluation.baselines import WALS
from trainer.evaluation.intervals import Cell, Cells

AHEAD, BEHIND, OPEN = "ahead of", "behind", "not to be told from"


def verdicts(cells: dict[str, Cells], differences: dict[str, Cells], k: int) -> list[dict[str, Any]]:
    """One of each other system, by recall@k: `system`, `metric`, `verdict`, `intervals_touch`, and `said` in words.

    The verdict is the paired difference's: its interval lies above zero, below it, or across. Whether the two systems'
    own intervals touch is said beside it, as the stricter test (it does not know that both met the same visitors).
    """
    metric, found = f"recall@{k}", []
    for system, values in differences.items():
        ours, other, difference = cells[WALS][metric], cells[system][metric], values[metric]
        verdict = AHEAD if difference.low > 0 else BEHIND if difference.high < 0 else OPEN
        touch = ours.low <= other.high and other.low <= ours.high
        said = (
            f"{WALS} is {verdict} {system}: {metric} {ours.value:.4f} and {other.value:.4f}, by visitor "
            f"{_signed(difference)}; their intervals {'touch' if touch else 'do not touch'}"
        )
        about = {"system": system, "metric": metric, "verdict": verdict, "intervals_touch": touch}
        found.append(about | {"said": said})
    return found


def _signed(cell: Cell) -> str:
    return f"{cell.value:+.4f} [{cell.low:+.4f}, {cell.high:+.4f}]"
