"""The agreement of validation and test over the trials of a search."""

from __future__ import annotations

from collections.abc import Sequence

_LEAST = 8  # trials
_WEAK = 0.5  # the rank correlation below which validation does not choose well


def describe(pairs: Sequence[tuple[float, float]], metric: str) -> str | None:
    """Return a line on the rank correlation (Spearman) of validation and test; None with too few trials.

    pairs: the metric of each trial on validation and on test.
    """
    if len(pairs) < _LEAST or any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    from scipy.stats import spearmanr  # takes half a second to import

    correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    line = (
        f"{metric} on validation and on test has a rank correlation of {correlation:.2f} over {len(pairs)} trials; "
        "test chose nothing, and must not"
    )
    if correlation >= _WEAK:
        return line
    return f"{line}. They do not agree: validation may choose badly, so prefer the config's own settings if in doubt"
