"""Titles and categories of items: those of the dataset, and of a catalogue, which wins."""

from __future__ import annotations

import numpy as np
import pytest

from artifacts import catalogue
from artifacts.paths import Dataset
from configs.errors import UserError
from tests.support.datasets import write_items


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset(str(tmp_path))
    titles = {"title": ["Green tea", None, "Film", None], "category": ["Drinks", "Drinks", None, None]}
    write_items(dataset, ["tea", "water", "film", "bare"], np.ones(4), **titles)
    return dataset


def test_the_dataset_names_its_items_and_an_item_without_a_title_has_its_id(dataset):
    expected = {"tea": ("Green tea", "Drinks"), "water": ("water", "Drinks"), "film": ("Film", "")}
    assert catalogue.of_dataset(dataset, None) == expected
    write_items(dataset, ["tea"], np.ones(1))
    assert catalogue.of_dataset(dataset, None) == {}


def test_a_catalogue_wins_where_it_has_a_value(dataset, tmp_path):
    (tmp_path / "c.csv").write_text("contentId,title,category\ntea,,Hot\nwater,Water,\nfilm,A film,Art\nnew,New,\n")
    assert catalogue.of_dataset(dataset, str(tmp_path / "c.csv")) == {
        "tea": ("Green tea", "Hot"),
        "water": ("Water", "Drinks"),
        "film": ("A film", "Art"),
        "new": ("New", ""),
    }


def test_only_a_catalogue_that_is_required_must_exist(dataset, tmp_path):
    absent = str(tmp_path / "absent.csv")
    assert catalogue.of_dataset(dataset, absent) == catalogue.of_dataset(dataset, None)
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        catalogue.of_dataset(dataset, absent, required=True)
