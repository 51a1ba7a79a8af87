"""The comparison with each other system in words, and the groups of visitors for whom the other one is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.evaluation.intervals import Cell, Cells

AHEAD, BEHIND, OPEN = "ahead", "behind", "no significant difference"
LEAST = 100  # visitors of a group that is named as a weak spot


@dataclass(frozen=True)
class Verdict:
    """The comparison with one system, by the headline metrics at the greatest K.

    Attributes:
        verdict: BEHIND if the interval of the paired difference is below zero in any headline metric, else AHEAD if it
            is above zero in any, else OPEN.
        summary: a sentence with the metrics.
        weak_spots: a sentence per group of LEAST or more visitors for whom the other system is significantly better.
    """

    system: str
    verdict: str
    summary: str
    weak_spots: list[str]


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same visitors: metrics of each, and the paired differences ours - theirs."""

    ours: Cells
    theirs: Cells
    differences: Cells

    def verdict(self, metrics: Sequence[str]) -> str:
        """Return AHEAD, BEHIND or OPEN; see `Verdict`."""
        cells = [self.differences[metric] for metric in metrics]
        if any(cell.high < 0 for cell in cells):
            return BEHIND
        return AHEAD if any(cell.low > 0 for cell in cells) else OPEN

    def text(self, metrics: Sequence[str], confidence: str) -> str:
        """Return the metrics as text: `recall@20 0.687 vs 0.594 (+0.093, 95 % CI +0.073 to +0.113)`."""
        return ", ".join(
            f"{metric} {self.ours[metric].value:.3f} vs {self.theirs[metric].value:.3f} "
            f"({_signed(self.differences[metric], confidence)})"
            for metric in metrics
        )


def of(
    system: str,
    whole: Comparison,
    groups: Mapping[str, tuple[int, Comparison]],
    metrics: Sequence[str],
    confidence: float,
) -> Verdict:
    """Return the verdict on a system.

    Args:
        whole: the comparison over all visitors.
        groups: visitors by the items that they have in train: their number, and the comparison over them.
        metrics: the headline metrics, such as recall@20.
        confidence: of the intervals, as a share.
    """
    level = f"{100 * confidence:g} %"
    verdict = whole.verdict(metrics)
    opening = {AHEAD: f"better than {system}", BEHIND: f"worse than {system}"}.get(verdict)
    opening = opening or f"no significant difference from {system}"
    weak = [
        f"visitors with {_items(name)} ({number:,}): {system} is better, {group.text(metrics, level)}"
        for name, (number, group) in groups.items()
        if number >= LEAST and group.verdict(metrics) == BEHIND
    ]
    return Verdict(system, verdict, f"{opening}: {whole.text(metrics, level)}", weak)


def _items(group: str) -> str:
    return "1 item" if group == "1" else f"{group} items"


def _signed(cell: Cell, level: str) -> str:
    return f"{cell.value:+.3f}, {level} CI {cell.low:+.3f} to {cell.high:+.3f}"
