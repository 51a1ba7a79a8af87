"""Comparisons of the model with the other systems, in words."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluation.baselines import WALS
from trainer.evaluation.intervals import Cell, Cells

AHEAD, BEHIND, OPEN = "ahead", "behind", "no significant difference"


@dataclass(frozen=True)
class Verdict:
    """The comparison with one system, by recall at the greatest K.

    Attributes:
        verdict: AHEAD, BEHIND or OPEN: the paired difference's interval is above zero, below it, or contains it.
        intervals_overlap: whether the two systems' own intervals overlap, a stricter test that ignores the pairing.
        summary: a sentence.
    """

    system: str
    metric: str
    verdict: str
    intervals_overlap: bool
    summary: str


def verdicts(cells: dict[str, Cells], differences: dict[str, Cells], k: int) -> list[Verdict]:
    """Return the verdict on each system in `differences`, by recall@k."""
    metric = f"recall@{k}"
    ours = cells[WALS][metric]
    return [_verdict(name, metric, ours, cells[name][metric], paired[metric]) for name, paired in differences.items()]


def _verdict(system: str, metric: str, ours: Cell, other: Cell, difference: Cell) -> Verdict:
    verdict = AHEAD if difference.low > 0 else BEHIND if difference.high < 0 else OPEN
    opening = {
        AHEAD: f"{WALS} is ahead of {system}",
        BEHIND: f"{WALS} is behind {system}",
        OPEN: f"No significant difference between {WALS} and {system}",
    }[verdict]
    overlap = ours.low <= other.high and other.low <= ours.high
    summary = (
        f"{opening}: {metric} {ours.value:.4f} and {other.value:.4f}, paired {difference.text('+.4f')}; "
        f"intervals {'overlap' if overlap else 'do not overlap'}"
    )
    return Verdict(system, metric, verdict, overlap, summary)
