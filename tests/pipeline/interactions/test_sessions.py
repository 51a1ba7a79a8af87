"""The rules that make interactions of views, against the same rules in plain Python."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.interactions import sessions
from pipeline.readers import columns

views = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b", b"c "]),
        st.integers(1, 3),
        st.integers(0, 50),
        st.integers(1, 9),
        st.sampled_from([b"x", b"y", "zß".encode(), None]),
    ),
    max_size=60,
    unique_by=lambda view: view[:4],
)


def table(rows) -> pa.Table:
    visitors, visits, times, numbers, items = zip(*rows, strict=True) if rows else ([],) * 5
    starts = [visit * 1000 for visit in visits]
    arrays = [visitors, visits, times, numbers, starts, items]
    return pa.table([pa.array(a, f.type) for a, f in zip(arrays, sessions.VIEWS, strict=True)], schema=sessions.VIEWS)


def plainly(rows) -> dict[tuple[bytes, bytes], tuple[int, int]]:
    """Spec section 1, GA360: LEAD within (visitor, visit), the sum a pair, the time of the last view."""
    by_session = defaultdict(list)
    for visitor, visit, time, number, content in rows:
        by_session[visitor, visit].append((time, number, content))
    sums, last = defaultdict(int), defaultdict(int)
    for (visitor, visit), hits in by_session.items():
        hits.sort(key=lambda hit: hit[:2])
        for place, (time, _, content) in enumerate(hits):
            if content is None:
                continue
            if place + 1 < len(hits):
                sums[visitor, content] += hits[place + 1][0] - time
            last[visitor, content] = max(last[visitor, content], visit * 1000 + time)
    return {pair: (sums[pair], time) for pair, time in last.items()}


@given(views, st.randoms())
def test_dwell_and_sums_equal_the_plain_rule_in_any_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    pairs = sessions.sum_pairs(sessions.dwell(table(shuffled)))
    found = {(row["visitorId"], row["contentId"]): (row["amount"], row["time_ms"]) for row in pairs.to_pylist()}
    assert found == plainly(rows)
    ids = [(row["visitorId"], row["contentId"]) for row in pairs.to_pylist()]
    assert ids == sorted(ids)


def test_a_session_split_over_two_days_is_one_session():
    """GA360 cuts a session at midnight in two rows of one visitId; the page before midnight ends after it."""
    rows = [(b"a", 1, 0, 1, b"x"), (b"a", 1, 700, 2, b"y")]
    assert sessions.sum_pairs(sessions.dwell(table(rows)))["amount"].to_pylist() == [700, 0]


def test_bounds_drop_and_cap_and_count():
    amounts = [0.0, 0.0, 0.0, 1.0, 4.0, 5.0, 9.0, 10.0, 12.0]
    names = [b"%d" % n for n in range(9)]
    pairs = pa.table([[b"a"] * 9, names, amounts, [0] * 9], schema=sessions.INTERACTIONS)
    kept, counts = sessions.bound_dwell(pairs, 5, 10)
    assert kept["contentId"].to_pylist() == names[5:]
    assert kept["amount"].to_pylist() == [5.0, 9.0, 10.0, 10.0]
    assert counts == {
        "pairs.skipped.no_dwell": 3,
        "pairs.skipped.below_min_dwell": 2,
        "pairs.capped_at_max_dwell": 1,
    }


ratings = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"x", b"y", b"z"]), *[st.integers(0, 4)] * 2),
    max_size=30,
)


@given(ratings)
def test_the_last_rating_counts(rows):
    schema = sessions.INTERACTIONS
    columns_ = zip(*rows, strict=True) if rows else ([],) * 4
    pairs = sessions.last_of_pairs(
        pa.table([pa.array(c, f.type) for c, f in zip(columns_, schema, strict=True)], schema=schema)
    )
    latest = {}
    for visitor, content, amount, time in rows:
        latest[visitor, content] = max(latest.get((visitor, content), (-1, -1)), (time, amount))
    found = [(r["visitorId"], r["contentId"], r["time_ms"], r["amount"]) for r in pairs.to_pylist()]
    assert sorted(found) == sorted((*pair, *last) for pair, last in latest.items())


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


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.integers(0, 2)), max_size=30))
def test_a_shards_rows_carry_their_own_ids_alone(rows):
    ids, shards = [row[0] for row in rows], np.array([row[1] for row in rows], np.int64)
    coded = columns.coded_ids(pa.array(ids, pa.binary()))
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
