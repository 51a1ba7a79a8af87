"""The comparison with each other system in words, and the groups of visitors for whom the other one is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trainer.evaluation.baselines import KNN, POPULAR, RECENT
from trainer.evaluation.intervals import Cell, Cells
from trainer.evaluation.segments import MOST_POPULAR, RARE

AHEAD, BEHIND, OPEN = "ahead", "behind", "no significant difference"
LEAST = 100  # visitors of a group that is named as a weak spot


@dataclass(frozen=True)
class Verdict:
    """The comparison with one system, by the headline metrics at the greatest K.

    Attributes:
        verdict: BEHIND if the interval of the paired difference is below zero in any headline metric, else AHEAD if it
            is above zero in any, else OPEN.
        summary: a sentence with the metrics.
        weak_spots: a sentence per group of LEAST or more visitors for whom the other system is significantly better,
            with what to try.
        trade_offs: the same for groups of held-out items, which a list gains and loses in turn.
        comparisons: how many intervals of groups could name one of either, which is one per metric of each group.
    """

    system: str
    verdict: str
    summary: str
    weak_spots: list[str]
    trade_offs: list[str]
    comparisons: int


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


class Group(NamedTuple):
    """Some visitors: who they are in words, their number, the comparison over them, and what to try if it is bad."""

    name: str
    users: int
    comparison: Comparison
    advice: str = ""


def of(
    system: str,
    whole: Comparison,
    groups: Sequence[Group],
    held_out: Sequence[Group],
    metrics: Sequence[str],
    confidence: float,
) -> Verdict:
    """Return the verdict on a system.

    Args:
        whole: the comparison over all visitors.
        groups: of visitors. held_out: of visitors by what is held out of them.
        metrics: the headline metrics, such as recall@20.
        confidence: of the intervals, as a share.
    """
    level = f"{100 * confidence:g} %"
    verdict = whole.verdict(metrics)
    opening = {AHEAD: f"better than {system}", BEHIND: f"worse than {system}"}.get(verdict)
    opening = opening or f"no significant difference from {system}"
    weak, trade_offs = (
        [
            f"{group.name} ({group.users:,}): {system} is better, {group.comparison.text(metrics, level)}{group.advice}"
            for group in all_groups
            if group.users >= LEAST and group.comparison.verdict(metrics) == BEHIND
        ]
        for all_groups in (groups, held_out)
    )
    comparisons = len(metrics) * sum(group.users >= LEAST for group in [*groups, *held_out])
    return Verdict(system, verdict, f"{opening}: {whole.text(metrics, level)}", weak, trade_offs, comparisons)


def by_chance(verdicts: Sequence[Verdict], confidence: float) -> str | None:
    """Return a sentence on how many comparisons of groups would be behind by chance; None if none is behind."""
    if not any(verdict.weak_spots or verdict.trade_offs for verdict in verdicts):
        return None
    comparisons = sum(verdict.comparisons for verdict in verdicts)
    expected = comparisons * (1 - confidence) / 2
    return (
        f"each of {comparisons:,} comparisons of groups has an interval of its own; by chance alone, about "
        f"{expected:.1f} of them would be below zero"
    )


def for_visitors(system: str, gamma: float) -> str:
    """Return what to try if a system is better for a group of visitors; gamma: of the model's item-item term."""
    if system == KNN and not gamma:
        return "; train with neighbourhood.gamma=auto, or search settings with wals tune"
    return "; search settings with wals tune" if system in (KNN, POPULAR, RECENT) else ""


def for_held_out(items: str) -> str:
    """Return what to try if a system finds more of the held-out items of a group (`trainer.evaluation.segments`)."""
    change = {MOST_POPULAR: "lower", RARE: "raise"}.get(items)
    return f"; to show more of them, {change} training.col_weights_exponent" if change else ""


def _signed(cell: Cell, level: str) -> str:
    return f"{cell.value:+z.3f}, {level} CI {cell.low:+z.3f} to {cell.high:+z.3f}"
