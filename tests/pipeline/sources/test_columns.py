"""Checks of ids and numbers, against the same checks in plain Python."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources import columns


@given(st.lists(st.one_of(st.binary(max_size=12), st.none(), st.text(max_size=5).map(str.encode)), max_size=20))
def test_faults_of_ids(ids):
    def plain(value):
        if value is None:
            return None
        if not value:
            return "empty"
        try:
            value.decode()
        except UnicodeDecodeError:
            return "not_utf8"
        return "newline" if b"\n" in value or b"\r" in value else None

    found = columns.faults_of_ids(pa.array(ids, pa.binary())).tolist()
    assert found == [plain(value) for value in ids]


def test_numbers_as_files_write_them():
    texts = pa.array([b"12", b"-3", b"1.5", b"", b"9" * 20, None, b"x"], pa.binary())
    values, sound = columns.integers(texts)
    assert values.tolist() == [12, -3, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True, True, False, False, False, False, False]
    values, sound = columns.integers(pa.array([2.0, 2.5, None, float("nan"), float("inf"), 1e300]))
    assert values.tolist() == [2, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True] + [False] * 5
    values, sound = columns.floats(
        pa.array([b"1e3", b" 2.5 ", b"+1", b"nan", b"inf", b"\xff", b"1e999", None], pa.binary())
    )
    assert values.tolist() == [1000, 2.5, 1, 0, 0, 0, 0, 0]
    assert sound.tolist() == [True] * 3 + [False] * 5
