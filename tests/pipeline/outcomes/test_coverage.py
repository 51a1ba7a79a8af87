"""On simulated days with a known CTR, position bias and share of purchases, the intervals contain the truth."""

from __future__ import annotations

from collections import Counter

from tests.support.outcome_coverage import trial


def test_intervals_contain_the_truth():
    """Eight seeds, each with one of the exports; benchmarks/pipeline/outcome_coverage.py has 200."""
    covered, seeds = Counter(), 8
    for seed in range(seeds):
        figures = trial(seed, visitors=300, resamples=300, kind=("ga4", "ga360")[seed % 2])
        covered.update({name: figure.covers for name, figure in figures.items()})
    assert len(figures) == 21 and min(covered.values()) > seeds / 2, covered
    assert 0.88 < sum(covered.values()) / seeds / len(figures) < 1
