"""Amounts of interactions: the histogram with the rating over it, and the dwell behind a rating."""

from __future__ import annotations

import re

import numpy as np
import pytest

from artifacts.manifests import DatasetManifest
from configs.settings import RatingSettings
from pipeline.dataset import ratings
from report import amounts, charts
from tests.support.manifests import dataset_manifest

AMOUNTS = {"edges": [500.0, 1000.0, 2000.0], "counts": [400, 405]}


def described(**rating) -> DatasetManifest:
    """Return the manifest of dwells with a median of two seconds."""
    return dataset_manifest(median=2000.0, settings={"rating": RatingSettings(**rating)})


@pytest.mark.parametrize(
    ("rating", "dwell", "shown"),
    [
        ({"kind": "median", "scale": 1}, 500, "0.5 s"),
        ({"kind": "median", "scale": 1}, 9000, "\u2265 2.0 s"),
        ({"kind": "linear", "scale": 0.5}, 90_000, "90 s"),
        ({"kind": "log"}, 9000, "9.0 s"),
        ({"kind": "binary"}, 9000, "1.00"),
        ({"kind": "linear", "half_life_days": 3}, 9000, "9000.00"),
    ],
)
def test_a_rating_is_shown_as_the_dwell_behind_it(rating, dwell, shown):
    manifest = described(**rating)
    rated = float(ratings.rate(np.array([dwell], "f"), np.float32(2000), manifest.settings.rating)[0])
    assert amounts.of_rating(rated, manifest) == shown


def test_the_curve_and_the_share_at_the_cap():
    manifest = described(kind="median", scale=2)  # the cap at 1000 ms
    assert amounts.share_at_cap(AMOUNTS, manifest) == pytest.approx(405 / 805)
    chart = amounts.chart(AMOUNTS, manifest)
    assert 'data-tip="0.5 to 1: 400"' in chart and 'data-tip="1 to 2: 405"' in chart
    line = re.search(r'<polyline class="line c1" points="(.*?)"', chart)[1]
    points = np.array([list(map(float, point.split(","))) for point in line.split()])
    heights = charts.HEIGHT - points[:, 1]
    flat = points[:, 0] >= points[:, 0].mean()  # 1000 ms are in the middle of the logarithmic axis
    assert np.ptp(heights[flat]) < 0.2 and (np.diff(heights[~flat]) > 0).all()
