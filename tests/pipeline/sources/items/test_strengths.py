"""The strength of an occurrence, against the same rule in plain Python."""

import datetime
import math

import numpy as np
import pytest

from configs.settings import SourceSettings
from pipeline.sources.items import strengths as rule

DAY_MS = 86_400_000
END_MS = round(datetime.datetime(2024, 2, 1, tzinfo=datetime.UTC).timestamp() * 1000)  # after the last day of January


def source(*given, **more):
    return SourceSettings(kind="ga360", input="x", signals=given, **more)


def strengths(amounts, places, times, settings):
    return rule.strengths(np.array(amounts, float), np.array(places), np.array(times), settings).tolist()


def test_one_dwell_counts_in_ms_and_unchanged():
    amounts = np.array([1.0, 0.3, 5e12])
    only = source({"event": "page", "item": "page", "dwell": True})
    assert rule.strengths(amounts, np.zeros(3, int), np.zeros(3, int), only) is amounts


def test_a_dwell_beside_counts_is_in_minutes():
    both = source(
        {"event": "page", "item": "page", "dwell": True, "weight": 2},
        {"event": "Video", "item": "page", "weight": -3},
    )
    assert strengths([90_000, 1, 4], [0, 1, 1], [0, 0, 0], both) == [3.0, -3.0, -12.0]


def test_a_signal_has_its_own_half_life():
    settings = source(
        {"event": "purchase", "item": "product.productSKU", "weight": 10, "half_life_days": 2},
        {"event": "detail", "item": "product.productSKU"},
        end_date="2024-01-31",
    )
    ages = [0, 1, 2, 7, -3]  # days before the end of the last day; later times have not aged
    found = strengths([1] * 10, [0] * 5 + [1] * 5, [END_MS - age * DAY_MS for age in ages] * 2, settings)
    assert found[:5] == pytest.approx([10 * math.pow(2, -max(age, 0) / 2) for age in ages], abs=2**-20)
    assert found[5:] == [1.0] * 5


@pytest.mark.parametrize(
    "changes", [{"weight": 0.1, "half_life_days": 3}, {"amount": "quantity"}], ids=["a weight", "fractions"]
)
def test_sums_do_not_depend_on_the_order(changes):
    settings = source({"event": "detail", "item": "product.productSKU"} | changes, end_date="2024-01-31")
    rng = np.random.default_rng(1)
    amounts = rng.random(5000) if "amount" in changes else np.ones(5000)
    counted = rule.strengths(amounts, np.zeros(5000, int), END_MS - rng.integers(0, 30 * DAY_MS, 5000), settings)
    assert counted == pytest.approx(counted if "weight" in changes else amounts, abs=2**-20)
    sums = {float(np.add.reduceat(part, [0])[0]) for part in (counted, counted[::-1], rng.permutation(counted))}
    assert len(sums) == 1
