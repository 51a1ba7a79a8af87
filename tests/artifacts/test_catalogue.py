"""Titles and categories of items: those of the dataset, and of a catalogue, which wins."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

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


ROWS = [("tea", "Green tea", "Drinks", 2.5), ("water", "", "Drinks", None), ("film", "A film", "", 9.0)]
NAMES = ("contentId", "title", "category", "price")
WRITERS = {
    "csv": lambda path, table: csv.write_csv(table, path),
    "jsonl": lambda path, table: path.write_text("\n".join(map(json.dumps, table.to_pylist())) + "\n"),
    "parquet": lambda path, table: pq.write_table(table, path),
}


@pytest.mark.parametrize("form", WRITERS)
def test_each_format_has_the_same_names_and_no_column_but_the_ids_is_needed(tmp_path, form):
    path = tmp_path / f"c.{form}"
    table = pa.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True)))
    WRITERS[form](path, table)
    assert catalogue.read(str(path)) == {item: (title or item, category) for item, title, category, _ in ROWS}
    prices = catalogue.read_table(str(path))["price"].to_pylist()
    assert prices == ["2.5", None, "9"] if form == "csv" else [2.5, None, 9.0]
    WRITERS[form](path, table.select(["price", "contentId", "category"]))
    assert catalogue.read(str(path)) == {item: (item, category) for item, _, category, _ in ROWS}


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.decimal128(38, 9)])
def test_ids_that_are_numbers_are_written_as_those_of_the_data(tmp_path, kind):
    ids = [0, 7, 9780306406157]
    pq.write_table(pa.table({"contentId": pa.array(ids).cast(kind), "title": [1, 2, 3]}), tmp_path / "c.parquet")
    expected = {"0": ("1", ""), "7": ("2", ""), "9780306406157": ("3", "")}
    assert catalogue.read(str(tmp_path / "c.parquet")) == expected
    (tmp_path / "c.jsonl").write_text("".join(f'{{"contentId": {n}.0, "title": {i}}}\n' for i, n in enumerate(ids, 1)))
    assert catalogue.read(str(tmp_path / "c.jsonl")) == expected


def test_ids_of_json_of_several_types(tmp_path):
    lines = ['"tea"', "7", "8.0", "9.5", "true", "null", "12345678901234567890123"]
    (tmp_path / "c.jsonl").write_text("".join(f'{{"contentId": {line}}}\r' for line in lines))
    read = catalogue.read(str(tmp_path / "c.jsonl"))
    assert list(read) == ["tea", "7", "8", "9.5", "true", "1.2345678901234568e+22"]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (pa.array([2.0**53 + 2]), "column contentId has floats that may have lost digits; write it as text"),
        (pa.array([float("inf")]), "floats that may have lost digits"),
        (pa.array([1], pa.timestamp("ms")), r"column contentId is timestamp\[ms\] and no id; write it as text"),
        (pa.array([["tea"]]), "column contentId is list"),
    ],
)
def test_ids_that_are_not_certain_are_refused(tmp_path, ids, said):
    pq.write_table(pa.table({"contentId": ids}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=said):
        catalogue.read(str(tmp_path / "c.parquet"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("c.jsonl", b'{"contentId": "tea"}\n\n["tea"]\n', "line 3 is not a JSON object; write one object per line"),
        ("c.jsonl", b'{"contentId": "tea"', "line 1 is not a JSON object"),
        ("c.jsonl", b"", "has no column contentId"),
        ("c.parquet", b"contentId,tea", "c.parquet cannot be read"),
        ("c.csv", b"contentId,size,size\ntea,1,2\n", "has a column twice"),
        ("c.csv", b"contentId,,size\ntea,1,2\n", "or one without a name"),
    ],
)
def test_files_that_are_not_catalogues_are_refused_in_a_line(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said) as error:
        catalogue.read(str(tmp_path / name))
    assert "tea" not in str(error.value).replace("test", "") and len(str(error.value).splitlines()) == 1


def test_a_table_of_bigquery_is_in_the_dataset_already(dataset):
    assert catalogue.of_dataset(dataset, "bq://p.d.t") == catalogue.of_dataset(dataset, None)
    with pytest.raises(UserError, match=r"only pipeline\.preprocess reads tables of BigQuery"):
        catalogue.of_dataset(dataset, "bq://p.d.t", required=True)


@pytest.mark.parametrize(("name", "picture"), [("link", "image_link"), ("url", "image"), ("url", "image_url")])
def test_links_and_pictures_are_complete_addresses_of_the_web(name, picture):
    good = ["https://a.example/1?b=c&d#e", "http://127.0.0.1:80", "HTTPS://A.EXAMPLE/x"]
    bad = ["javascript:alert(1)", "data:text/html,x", "//a.example/1", "/1", "https://", "https:a", " https://a.example/",
           "https://a.example;script-src *", "https://a.example;script-src'none'/", "https://u:p@a.example/", "https://ä.example/",
           "https://a.example/1\n2", "https://a.example/" + "x" * 3000, None, ""]  # fmt: skip
    addresses = [*good, *bad]
    ids = [f"i{n}" for n in range(len(addresses))]
    table = pa.table({"contentId": ids, name: addresses, picture: addresses[::-1]})
    web = dict(zip(ids, addresses, strict=True)), dict(zip(ids, addresses[::-1], strict=True))
    expected = {
        item: tuple(column[item] if column[item] in good[:2] else "" for column in web)
        for item in ids
        if web[0][item] in good[:2] or web[1][item] in good[:2]
    }
    assert catalogue.links_in(table) == expected and len(expected) == 4
    assert catalogue.links_in(table.select(["contentId"])) == {}
    assert catalogue.links_in(pa.table({"contentId": ["a"], "link": [1]})) == {}
