"""Frames of user, item, value and weight: every kind has the same matrix, and mistakes are named by column and row."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trainer.inputs import frames

USERS = ["ann", "bob", "ann", "cat", "bob", "ann"]
ITEMS = [7, 7, 3, 7, 9, 9]
PAIRS = [*zip(USERS, ITEMS, strict=True)]
VALUES = [1.0, 2.0, 3.0, 0.0, 5.0, 6.0]
WEIGHTS = [1, 2, 3, 4, 5, 6]


def table(users=USERS, items=ITEMS, values=VALUES, weights=WEIGHTS):
    return pa.table({"who": users, "what": items, "stars": values, "sure": weights})


def kinds():
    plain = table()
    frame = plain.to_pandas()
    yield plain
    yield pa.concat_tables([plain.slice(0, 2), plain.slice(2)])  # two chunks
    yield plain.combine_chunks().to_batches()[0]
    yield frame
    yield frame.astype({"who": "category", "what": "int32"}).set_index(pd.Index(list("uvwxyz"), name="row"))
    yield duckdb.from_arrow(plain)
    types = {"who": pa.large_string(), "what": pa.uint64(), "stars": pa.float32(), "sure": pa.decimal128(20, 1)}
    yield plain.cast(pa.schema(types.items()))


@pytest.mark.parametrize("frame", [*kinds()], ids=lambda frame: type(frame).__name__)
def test_every_kind_of_frame_has_its_rows(frame):
    assert frames.is_frame(frame)
    found = frames.read(frame, "matrix")
    assert found.user_ids.tolist() == ["ann", "bob", "cat"], "most rows first"
    assert found.item_ids.tolist() == [7, 9, 3]
    matrix, weights = found.matrix.tocoo(), found.weights.tocoo()
    names = [(found.user_ids[row], int(found.item_ids[col])) for row, col in zip(matrix.row, matrix.col, strict=True)]
    assert dict(zip(names, matrix.data.tolist(), strict=True)) == dict(zip(PAIRS, VALUES, strict=True))
    assert weights.data.tolist() == [dict(zip(PAIRS, WEIGHTS, strict=True))[name] for name in names]
    assert found.matrix.has_sorted_indices and found.matrix.nnz == 6, "the value 0 is an entry"


def test_the_order_of_rows_decides_nothing():
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, 9, (60, 2)), axis=0)
    users, items = [f"u{n}" for n in pairs[:, 0]], pairs[:, 1]
    order = rng.permutation(len(pairs))
    one = frames.read(table(users, items, items, items), "matrix")
    other = frames.read(table(users, items, items, items).take(order), "matrix")
    assert one.user_ids.tolist() == other.user_ids.tolist() and one.item_ids.tolist() == other.item_ids.tolist()
    assert (one.matrix != other.matrix).nnz == 0 and one.matrix.indices.tolist() == other.matrix.indices.tolist()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (table().select(["who", "what"]), "matrix is a Table with the columns who, what; pass user, item, value and"),
        (table(users=[*USERS[:4], None, None]), "has 2 empty cells in column who, the first in row 4"),
        (table(values=[*VALUES[:5], None]), "has 1 empty cells in column stars, the first in row 5"),
        (table(values=[*VALUES[:5], np.nan]), "has nan in column stars, row 5; a value must be finite"),
        (table(values=[*VALUES[:5], 1e300]), "has inf in column stars, row 5"),
        (
            table(weights=[1, -2, 3, 4, 5, 6]),
            "has -2.0 in column sure, row 1; a weight must be",
        ),
        (table(values=list("abcdef")), "has values of type string in column stars; pass numbers"),
        (table(items=VALUES), "has ids of type double in column what; pass text or integers"),
        (table(users=[*USERS[:5], "cat"], items=[*ITEMS[:5], 7]), "rows 3 and 5 of matrix have one user and item"),
    ],
    ids=range(9),
)
def test_mistakes_are_named(frame, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        frames.read(frame, "matrix")


def test_a_frame_without_rows_is_read_as_no_rows():
    found = frames.read(table().slice(0, 0), "matrix")
    assert found.matrix.shape == (0, 0)


def test_what_is_no_frame():
    assert not any(map(frames.is_frame, (np.ones((2, 2)), pa.array([1]), pd.Series([1]), "data/dataset", [1])))
