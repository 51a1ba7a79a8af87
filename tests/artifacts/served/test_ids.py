"""Ids in files that are looked up by bytes, against a dict."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from artifacts.served.ids import IdTable

IDS = st.binary(min_size=1, max_size=4).filter(lambda name: not {10, 13} & set(name))


@given(st.lists(IDS, unique=True, max_size=30), st.lists(st.binary(max_size=4), max_size=10))
def test_each_id_has_its_row_and_no_other_has_one(ids, others):
    table = IdTable.of(np.frombuffer(b"".join(name + b"\n" for name in ids), np.uint8))
    rows = {name: row for row, name in enumerate(ids)}
    asked = np.array([*ids, *others, b""], object)
    expected = [rows.get(name, -1) for name in asked.tolist()]
    assert table.indices(asked).tolist() == expected and len(table) == len(ids)
    found = table.ids(np.array(expected)[None])
    assert found.tolist() == [[name if name in rows else b"" for name in asked.tolist()]]
