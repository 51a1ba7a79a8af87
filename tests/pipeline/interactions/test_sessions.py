"""The rules that make interactions of views, against the same rules in plain Python."""

from collections import defaultdict

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.interactions import sessions

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
