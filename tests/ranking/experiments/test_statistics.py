"""The statistics of experiments, against SciPy and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ranking.experiments import statistics


@pytest.mark.parametrize(
    ("counts", "shares"), [([510, 490], [0.5, 0.5]), ([90, 10, 5], [0.8, 0.1, 0.1]), ([5000, 4600], [0.5, 0.5])]
)
def test_the_check_of_the_split_is_the_chi_square_test(counts, shares):
    expected = np.array(shares) * sum(counts)
    assert statistics.mismatch(counts, shares) == pytest.approx(stats.chisquare(counts, expected).pvalue, rel=1e-9)


def test_no_visitors_are_no_mismatch():
    assert statistics.mismatch([0, 0], [0.5, 0.5]) == 1 and statistics.mismatch([7], [1.0]) == 1


def test_the_planned_visitors_find_the_effect_with_the_power():
    """n visitors, split 1 to 3, whose difference is `effect`: the share of draws whose z is beyond 1.96."""
    variance, shares, effect = 0.04, (0.25, 0.75), 0.01
    number = statistics.needed(variance, shares, effect, 0.95)
    sizes = [share * number for share in shares]
    assert statistics.detectable(variance, sizes, 0.95) == pytest.approx(effect, rel=1e-3)
    error = math.sqrt(variance / sizes[0] + variance / sizes[1])
    power = stats.norm.cdf(effect / error - stats.norm.ppf(0.975))
    assert power == pytest.approx(0.8, abs=1e-3)


def test_an_always_valid_interval_covers_at_all_looks():
    """2,000 streams of draws of mean 0 at 40 looks: the fixed interval errs in more than a fifth of them."""
    rng = np.random.default_rng(0)
    looks, step = 40, 50
    sums = rng.standard_normal((2000, looks, step)).sum(2).cumsum(1)
    sizes = step * np.arange(1, looks + 1)
    means, errors = sums / sizes, 1 / np.sqrt(sizes)
    widths = [statistics.always_valid(error, size, 1000, 0.95) for error, size in zip(errors, sizes, strict=True)]
    assert (np.abs(means) > widths).any(1).mean() < 0.05
    assert (np.abs(means) > 1.96 * errors).any(1).mean() > 0.2
    assert all(width > 1.96 * error for width, error in zip(widths, errors, strict=True))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_an_always_valid_interval_is_narrowest_at_the_plan(confidence):
    """Next to the interval of one look; their rho is an approximation."""
    sizes = np.geomspace(100, 10_000, 801)
    ratios = [statistics.always_valid(1 / math.sqrt(n), n, 1000, confidence) * math.sqrt(n) for n in sizes]
    assert sizes[np.argmin(ratios)] == pytest.approx(1000, rel=0.1)


def test_an_always_valid_interval_at_the_plan_and_without_visitors():
    assert statistics.always_valid(1 / math.sqrt(1000), 1000, 1000, 0.95) * math.sqrt(1000) == pytest.approx(
        3.04, abs=0.02
    )
    assert statistics.always_valid(0.1, 0, 1000, 0.95) == math.inf


def test_a_difference_of_means_is_that_of_welch_and_of_ratios_that_of_the_jackknife():
    rng = np.random.default_rng(4)
    one, other = rng.gamma(2.0, size=40), rng.gamma(2.0, size=25)
    found = statistics.difference(*(statistics.ratio(each, np.ones(len(each))) for each in (one, other)))
    welch = stats.ttest_ind(one, other, equal_var=False)
    limits = welch.confidence_interval(0.9)
    assert found.freedom == pytest.approx(welch.df)
    assert found.interval(0.9) == pytest.approx((limits.low, limits.high))
    sizes = rng.integers(1, 5, 300)
    totals = rng.binomial(sizes, 0.3).astype(float)
    empty = np.zeros(200)  # buckets without visitors change nothing
    found = statistics.ratio(np.append(totals, empty), np.append(sizes, empty))
    without = (totals.sum() - totals) / (sizes.sum() - sizes)
    assert found.value == pytest.approx(totals.sum() / sizes.sum()) and found.freedom == 299
    assert found.variance == pytest.approx(299 / 300 * ((without - without.mean()) ** 2).sum(), rel=0.01)


def test_too_few_visitors_have_no_interval():
    assert statistics.ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])) is None
    assert statistics.ratio(np.zeros(3), np.zeros(3)) is None
    same = statistics.ratio(np.ones(3), np.ones(3))
    assert statistics.difference(same, same).interval(0.95) == (0, 0)
