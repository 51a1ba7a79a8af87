"""A catalogue that joins the items' attributes, against plain Python; and catalogues that cannot."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import catalogue as catalogues
from configs import cli
from configs.errors import UserError
from configs.settings import Settings
from pipeline import preprocess
from pipeline.sources import inputs
from pipeline.sources.items import catalogue
from pipeline.sources.items.attributes import Chosen
from tests.support.documents import ROOT

ITEMS = ["tea", "cup", " pot"]
DATA = {"title": ["Tea", None, "Pot"], "price": [1.0, 2.0, None]}
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*ITEMS, " tea ", "pot", "other", "", None]),
        st.sampled_from(["New", "", None]),
        st.sampled_from(["3.5", "7", "free", "", None]),
        st.sampled_from(["L", "M", "", None]),
    ),
    max_size=8,
)
SHOP = {"kind": "ga4", "preset": "ga4_shop", "input": "x"}


def chosen():
    return Chosen(pa.table({"title": DATA["title"], "price": DATA["price"]}), Counter({"attributes.items.title": 2}))


@given(ROWS, st.booleans())
def test_the_last_row_of_an_item_wins_where_it_has_a_value(rows, typed):
    if typed:
        rows = [(item, title, None if price in ("free", "") else price, size) for item, title, price, size in rows]
    prices = [None if row[2] is None else float(row[2]) for row in rows] if typed else [row[2] for row in rows]
    columns = {"contentId": [row[0] for row in rows], "title": [row[1] for row in rows], "size": [r[3] for r in rows]}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    table = table.append_column("price", pa.array(prices, pa.float64() if typed else pa.string()))
    joined = catalogue.join([item.encode() for item in ITEMS], chosen(), catalogues.checked(table, "c"))

    last = {}
    for row in rows:
        for name in {row[0], (row[0] or "").strip()} - {None, ""}:
            last[name] = row
    found = [last.get(item, (None,) * 4) for item in ITEMS]
    numbers = [float(row[2]) if row[2] not in ("free", "", None) else None for row in found]
    assert joined.table.to_pydict() == {
        "title": [row[1] or title for row, title in zip(found, DATA["title"], strict=True)],
        "price": [price if price is not None else old for price, old in zip(numbers, DATA["price"], strict=True)],
        "size": [row[3] or None for row in found],
    }
    ids = [row[0] for row in rows if row[0]]
    expected = {
        "catalogue.rows": len(rows),
        "catalogue.rows_found": sum(bool({name, name.strip()} & {*ITEMS}) for name in ids),
        "catalogue.rows_without_id": len(rows) - len(ids),
        "catalogue.rows_repeated": len(ids) - len(set(ids)),
        "catalogue.items": sum(item in last for item in ITEMS),
        "catalogue.not_a_number.price": sum(row[2] == "free" for row in found),
        "attributes.items.title": 2,
    }
    assert +joined.counts == +Counter(expected)


def test_columns_of_any_type_join(tmp_path):
    lines = '{"contentId": "tea", "tags": ["hot", "green"], "stock": 3}\n{"contentId": "cup", "stock": null}\n'
    (tmp_path / "c.jsonl").write_text(lines)
    table = inputs.read_catalogue(Settings.model_validate({"source": SHOP, "catalogue": str(tmp_path / "c.jsonl")}))
    path = catalogue.stage(table, str(tmp_path / "tmp"))
    joined = catalogue.join([item.encode() for item in ITEMS], chosen(), catalogue.read_staged(path)).table
    assert joined["tags"].to_pylist() == [["hot", "green"], None, None] and joined["stock"].to_pylist() == [
        3,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"popularity": [1]}, "popularity is a column of items.parquet; choose another name"),
        ({"title": [["Tea"]]}, "column title is list<.*; write it as text in UTF-8 or as numbers"),
        ({"brand": [{"name": "B"}]}, "column brand is struct<.*and an attribute of the data; choose another name"),
        ({"price": np.array(["2024-01-01"], "datetime64[s]")}, "column price is timestamp.*choose another name"),
        ({"brand": [b"\xff"]}, "column brand is binary; write it as text in UTF-8"),
    ],
)
def test_columns_that_cannot_join_are_refused_in_a_line(tmp_path, columns, said):
    pq.write_table(pa.table({"contentId": ["tea"], **columns}), tmp_path / "c.parquet")
    settings = Settings.model_validate({"source": SHOP, "catalogue": str(tmp_path / "c.parquet")})
    with pytest.raises(UserError, match=said) as error:
        inputs.read_catalogue(settings)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_does_not_exist_is_a_line_unless_it_is_required(tmp_path, capsys):
    settings = Settings.model_validate({"source": SHOP, "catalogue": str(tmp_path / "c.csv")})
    assert inputs.read_catalogue(settings) is None
    said = capsys.readouterr().out
    assert said.endswith("c.csv does not exist; the items keep the attributes of the data\n") and said.count("\n") == 1
    with pytest.raises(UserError, match=r"c\.csv does not exist; check the path"):
        inputs.read_catalogue(settings, required=True)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (None, 2, "error: catalogue {path} does not exist"),
        ("id,title\n1,a\n", 2, "error: catalogue {path} has no column contentId"),
        ("contentId,title\n1,a\n1,b\n2,c\n1,d\n", 0, "{path}: 4 rows, 2 columns; 2 rows with the contentId of another"),
        ("contentId,title\n1,a\n2,c\n", 0, "{path}: 2 rows, 2 columns\n"),
    ],
)
def test_a_dry_run_checks_the_catalogue(tmp_path, capsys, content, status, said):
    path = tmp_path / "c.csv"
    if content:
        path.write_text(content)
    (tmp_path / "in.csv").write_text("visitorId,contentId\na,b\n")
    flags = [
        "--config",
        str(ROOT / "configs/local.yaml"),
        "--source",
        "table",
        "--input",
        str(tmp_path / "in.csv"),
        "--catalogue",
        str(path),
        "--dry_run",
    ]
    assert cli.run(preprocess.main, flags) == status
    assert said.format(path=path) in "".join(capsys.readouterr())
