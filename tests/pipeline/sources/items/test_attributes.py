"""Attributes of items against plain Python, which counts every value."""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from artifacts import names
from configs.settings import signals
from pipeline.interactions import columns
from pipeline.sources.items import attributes

ITEMS = [b"tea", b"cup", b"pot"]
FIELDS = {"title": "items.item_name", "price": "items.price"}
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*ITEMS, b"unknown", None]),
        st.integers(0, 3),
        st.sampled_from(["Tea", "T\u00e9", "", "(not set)", "(other)", None]),
        st.sampled_from(["1.5", "2", "free", "", None]),
    ),
    max_size=12,
)


def collected(rows):
    items, times, titles, prices = zip(*rows, strict=True) if rows else ((), (), (), ())
    fields = {"title": pa.array(titles, pa.string()).dictionary_encode(), "price": pa.array(prices, pa.string())}
    fields = {name: shuffled(values) for name, values in fields.items()}
    return attributes.collect(pa.array(items, pa.binary()), np.array(times, np.int64), fields, ["(not set)", "(other)"])


def shuffled(values):
    """Return values backwards behind one that is in no row, and without the nulls."""
    places = np.where(values.is_null().to_numpy(zero_copy_only=False), -1, len(values) - np.arange(len(values)))
    return attributes.Located(pa.concat_arrays([values[:1], values[::-1]]), places)


def by_hand(rows, name, rule):
    """Return the value of each item, and how many items have several."""
    seen: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for item, time, title, price in rows:
        value = title if name == "title" else price
        if item in ITEMS and value not in (None, "", "(not set)", "(other)"):
            seen[item].append((value, time))
    values = []
    for item in ITEMS:
        counts = Counter(value for value, _ in seen[item])
        last = {value: max(time for each, time in seen[item] if each == value) for value in counts}
        first, second = (last, counts) if rule == "last" else (counts, last)
        values.append(min(counts, key=lambda value: (-first[value], -second[value], value.encode()), default=None))
    return values, sum(len({value for value, _ in seen[item]}) > 1 for item in ITEMS)


@given(st.lists(ROWS, max_size=4), st.sampled_from(["last", "most_frequent"]))
def test_as_by_hand(parts, rule):
    serialised = [columns.to_bytes(collected(rows)) for rows in parts]
    chosen = attributes.choose(serialised, pa.array(ITEMS, pa.binary()), FIELDS, rule)
    rows = [row for part in parts for row in part]
    titles, several_titles = by_hand(rows, "title", rule)
    prices, several_prices = by_hand(rows, "price", rule)
    assert chosen.table["title"].to_pylist() == titles
    assert chosen.table["price"].to_pylist() == [None if text in (None, "free") else float(text) for text in prices]
    expected = {
        "attributes.items.title": sum(title is not None for title in titles),
        "attributes.items.price": sum(price not in (None, "free") for price in prices),
        "attributes.several_values.title": several_titles,
        "attributes.several_values.price": several_prices,
        "attributes.not_a_number.price": prices.count("free"),
    }
    assert chosen.counts == {name: count for name, count in expected.items() if count}


def test_numbers_have_no_needless_fraction():
    sizes = attributes.Located.of_rows(pa.array([2.0, 0.5, None]))
    values = attributes.collect(pa.array([b"tea"] * 3), np.arange(3), {"size": sizes})
    assert {row["value"] for row in values.to_pylist()} == {b"2", b"0.5"}


def test_a_field_that_a_file_lacks_is_an_attribute_without_values():
    fields = {"title": pa.array(["Tea"]), "brand": pa.nulls(1), "kind": pa.nulls(1)}
    located = {name: attributes.Located.of_rows(values) for name, values in fields.items()}
    values = attributes.collect(pa.array([b"tea"]), np.zeros(1, np.int64), located)
    assert [(row["name"], row["value"]) for row in values.to_pylist()] == [(b"title", b"Tea")]


def test_values_are_added_up_before_the_shuffle():
    values = collected([(b"tea", time, "Tea", None) for time in range(1000)])
    assert values.to_pylist() == [{"owner": b"tea", "name": b"title", "value": b"Tea", "rows": 1000, "time_ms": 999}]


def test_no_attribute_has_the_name_of_another_column():
    own = {names.VISITORS, names.POPULARITY, names.RECENT_POPULARITY, names.MEAN_RATING}
    assert {*signals.RESERVED} == own | {names.FIRST_TIME_MS, names.LAST_TIME_MS}
    assert list(signals.problems_of_attributes({"visitors": "page_title"}, "ga4"))
