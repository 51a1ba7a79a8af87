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
        st.integers(0, 1),
        st.sampled_from([None, None, None, -4.0, 2.5]),
    ),
    max_size=60,
)


def table(rows) -> pa.Table:
    visitors, visits, times, numbers, items, series, amounts = zip(*rows, strict=True) if rows else ([],) * 7
    starts = [visit * 1000 for visit in visits]
    arrays = [visitors, visits, times, numbers, starts, items, series, amounts]
    return pa.table([pa.array(a, f.type) for a, f in zip(arrays, sessions.VIEWS, strict=True)], schema=sessions.VIEWS)


def plainly(rows) -> dict[tuple[bytes, bytes], tuple[int, int]]:
    """Spec section 1, GA360: LEAD within (visitor, visit), the sum a pair, the time of the last view.

    Rows with one time and hit number are items of one page; what has an amount keeps it.
    """
    by_session = defaultdict(list)
    for visitor, visit, time, number, content, series, amount in rows:
        by_session[visitor, visit, series].append((time, number, content, amount))
    sums, last = defaultdict(float), defaultdict(int)
    for (visitor, visit, _), hits in by_session.items():
        pages = sorted({hit[:2] for hit in hits})
        for time, number, content, amount in hits:
            if content is None:
                continue
            later = pages[pages.index((time, number)) + 1 :]
            dwell = later[0][0] - time if later else 0
            sums[visitor, content] += dwell if amount is None else amount
            last[visitor, content] = max(last[visitor, content], visit * 1000 + time)
    return {pair: (sums[pair], time) for pair, time in last.items()}


@given(views, st.randoms())
def test_dwell_and_sums_equal_the_plain_rule_in_any_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    pairs = sessions.sum_pairs(sessions.dwell(table(shuffled)).select(sessions.INTERACTIONS.names))
    found = {(row["visitorId"], row["contentId"]): (row["amount"], row["time_ms"]) for row in pairs.to_pylist()}
    assert found == plainly(rows)
    ids = [(row["visitorId"], row["contentId"]) for row in pairs.to_pylist()]
    assert ids == sorted(ids)


def test_a_session_split_over_two_days_is_one_session():
    """GA360 cuts a session at midnight in two rows of one visitId; the page before midnight ends after it."""
    rows = [(b"a", 1, 0, 1, b"x", 0, None), (b"a", 1, 700, 2, b"y", 0, None)]
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
    views, counts = sessions.bound_dwell(pairs, 0, None, keeps_views=True)
    assert views["contentId"].to_pylist() == names and not any(counts.values())


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
