"""Shards lose no row and keep ids together; sorted keys know their places."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.interactions import columns
from pipeline.sources.columns import coded_ids


@given(st.lists(st.binary(max_size=6), max_size=40), st.integers(1, 5))
def test_shards_keep_an_id_together_and_lose_nothing(ids, shards):
    column = pa.array(ids, pa.binary())
    batch = pa.record_batch([column, pa.array(range(len(ids)), pa.int64())], ["id", "n"])
    split = list(columns.split(batch, columns.shard_of(column, shards)))
    homes = defaultdict(set)
    for shard, rows in split:
        assert 0 <= shard < shards
        for value in rows.column(0).to_pylist():
            homes[value].add(shard)
    assert all(len(found) == 1 for found in homes.values())
    assert sorted(n for _, rows in split for n in rows.column(1).to_pylist()) == list(range(len(ids)))


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.integers(0, 2)), max_size=30))
def test_a_shards_rows_carry_their_own_ids_alone(rows):
    ids, shards = [row[0] for row in rows], np.array([row[1] for row in rows], np.int64)
    coded = coded_ids(pa.array(ids, pa.binary()))
    batch = pa.RecordBatch.from_arrays([coded, pa.array(range(len(rows)))], ["id", "row"])
    found = {shard: part.to_pydict() for shard, part in columns.split(batch, shards)}
    assert found == {
        shard: {"id": [ids[row] for row in of_shard], "row": of_shard}
        for shard in set(shards.tolist())
        if (of_shard := [row for row, own in enumerate(shards) if own == shard])
    }
    for _, part in columns.split(batch, shards):
        if len(set(shards.tolist())) > 1:
            assert set(part["id"].dictionary.to_pylist()) == set(part["id"].to_pylist()) - {None}
    parts = [columns.to_bytes(part) for _, part in columns.split(batch, shards)]
    if parts:
        joined = columns.from_bytes(iter(parts)).sort_by("row")
        assert joined["id"].to_pylist() == ids


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**63 - 1)), max_size=40))
def test_keys_are_sorted_with_their_places_whatever_their_size(keys):
    keys = np.array(keys, np.int64)
    found, order = columns.sorted_with_order(keys)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(found, np.sort(keys))
