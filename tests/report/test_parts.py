"""The report's charts, map, choice of visitors, and reasons of excluded rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.paths import Dataset
from ranking import examples
from report import charts, excluded, item_map, rows, visitors
from tests.support.datasets import write_dataset


def test_the_map_keeps_neighbours_together():
    """The nearest of items with three directions has the same direction on the plane."""
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    factors = (np.eye(3)[kind] + 0.05 * rng.random((60, 3))).astype("f") * rng.uniform(0.1, 3, (60, 1)).astype("f")
    drawn = item_map.draw(factors, np.arange(60)[::-1].copy(), 45)
    assert drawn.items.tolist() == list(range(45)) and drawn.positions.min() >= 0 and drawn.positions.max() <= 1
    away = np.linalg.norm(drawn.positions[:, None] - drawn.positions[None], axis=2) + 9 * np.eye(45)
    assert (kind[away.argmin(axis=1)] == kind[:45]).all()
    assert item_map.draw(factors[:2], np.ones(2, int), 9).positions.shape == (2, 2)
    assert len(item_map.draw(np.zeros((4, 3), "f"), np.ones(4, int), 9).items) == 0


def test_ticks_are_round_and_within():
    assert charts.Axis(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.Axis(3, 47).ticks() == pytest.approx([10, 20, 30, 40])
    assert charts.Axis(1, 30, log=True).ticks() == pytest.approx([1, 2, 5, 10, 20])
    assert charts.Axis(1, 2500, log=True).ticks() == pytest.approx([1, 10, 100, 1000])
    assert charts.Axis(1, 100, log=True).at(10) == pytest.approx(0.5)
    assert [charts.number(value) for value in (0, 0.05, 1234, 2_500_000)] == ["0", "0.05", "1.23k", "2.5M"]


def test_visitors_of_different_tastes_are_chosen():
    categories = ["A", "B"] * 3
    rows = [examples.Row(n, np.array([n % 2, 2 + n % 2]), np.ones(2)) for n in (0, 2, 4, 6, 1)]
    chosen = visitors.choose(rows, categories, 2)
    assert [examples.favourite(one, categories) for one in chosen] == ["A", "B"]
    assert len(visitors.choose(rows, categories, 99)) == 5 and visitors.choose([], categories, 3) == []


def test_names_at_the_ends_of_lines_that_coincide_do_not_overlap():
    series = [
        charts.Series(name, [1, 2], [0, value], tips=["", ""]) for name, value in zip("abcd", (1, 1, 1, 0), strict=True)
    ]
    chart = charts.lines(series, "t", charts.Axis(1, 2), charts.Axis(0, 1))
    tops = sorted(float(top) for top in re.findall(r'class="end" x="\d+" y="([\d.]+)"', chart))
    assert len(tops) == 4 and min(np.diff(tops)) >= 14 and tops[-1] <= charts.HEIGHT
    assert len(set(re.findall(r'class="line c\d (d\d)" points', chart))) == 4


def test_rows_of_a_dataset_without_a_split(tmp_path):
    dataset = write_dataset(tmp_path / "d", sp.eye_array(6, format="csr"))
    found = rows.read_rows(Dataset(str(dataset)))
    assert found.held_out == {} and found.items_per_user.tolist() == [1] * 6 and len(found.candidates) == 6


@pytest.mark.parametrize(
    "name",
    ["records.outside_window", "hits.no_signal", "pairs.no_dwell", "views.duplicate_event", "items.not_an_id.(not set)"]
    + ["records.visitor_id_missing", "hits.content_id_newline", "hits.hit_time_invalid", "records.visit_id_invalid"]
    + ["records.event_timestamp_invalid", "items.list_of_items", "pairs.below_min_items_per_user", "records.malformed"],
)
def test_each_reason_for_which_a_row_is_left_out_is_explained(name):
    assert excluded.meaning(name).endswith((".", ")."))
