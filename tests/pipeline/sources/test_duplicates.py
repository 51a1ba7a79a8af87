"""Exact duplicates of an event count once, wherever they are; what differs counts."""

import pytest

from pipeline.interactions import sessions
from tests.support.exports import event, interactions, settings, write_ndjson

ONE = event("a", "x", 30, event_name="page_view", event_bundle_sequence_id="7", batch_event_index="1")
OTHERS = [
    ONE | {"event_name": "scroll"},
    ONE | {"event_name": None},
    ONE | {"event_bundle_sequence_id": "8"},
    ONE | {"batch_event_index": "2"},
    ONE | {"event_timestamp": "1704067200000001"},
    ONE | {"user_id": "login"},
    ONE | {"user_pseudo_id": "b"},
    event("a", "y", 30, event_name="page_view", event_bundle_sequence_id="7", batch_event_index="1"),
    event("a", "x", 31, event_name="page_view", event_bundle_sequence_id="7", batch_event_index="1"),
]
# What else an event has does not tell it from another.
SAME = ONE | {"event_params": [*ONE["event_params"], {"key": "value", "value": {"double_value": 9.5}}]}


def amounts(tmp_path, **source):
    found, counts = interactions(settings(tmp_path / "out", tmp_path / "*.json", "ga4", source=source))
    return {pair: amount for pair, (amount, _) in found.items()}, counts["views.skipped.duplicate_event"]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("files", [1, 3])
def test_exact_duplicates_count_once(tmp_path, kept, files):
    rows = [ONE, *OTHERS, SAME, OTHERS[0], ONE]
    for number in range(files):
        write_ndjson(tmp_path / f"{number}.json", rows[number::files])
    dwell, duplicates = amounts(tmp_path, drop_duplicate_events=not kept)
    assert dwell == {
        (b"a", b"x"): 30.0 * (10 if kept else 7) + 31,
        (b"b", b"x"): 30.0,
        (b"a", b"y"): 30.0,
    }
    assert duplicates == (0 if kept else 3)


def test_users_that_are_signed_in_are_told_apart_by_both_ids(tmp_path):
    rows = [ONE | {"user_id": "u"}, ONE | {"user_id": "u", "user_pseudo_id": "other"}, ONE | {"user_id": "u"}]
    write_ndjson(tmp_path / "0.json", rows)
    assert amounts(tmp_path, prefer_user_id=True) == ({(b"u", b"x"): 60.0}, 1)


def test_a_duplicate_is_found_next_to_events_with_more_fields(tmp_path):
    """A field that is null in a whole file has no type there, and still counts as null."""
    bare = {name: value for name, value in ONE.items() if name not in ("batch_event_index", "event_bundle_sequence_id")}
    write_ndjson(tmp_path / "0.json", [bare])
    write_ndjson(tmp_path / "1.json", [bare, ONE | {"user_id": "b", "user_pseudo_id": "b"}])
    dwell, duplicates = amounts(tmp_path)
    assert (dwell[b"a", b"x"], duplicates) == (30.0, 1)


def test_lines_of_one_event_with_the_same_item_are_no_duplicates(tmp_path):
    items = [{"item_id": "x", "quantity": "2"}, {"item_id": "y"}, {"item_id": "x", "quantity": "2"}]
    row = ONE | {"event_name": "purchase", "items": items}
    write_ndjson(tmp_path / "0.json", [row, row])
    signals = [{"event": "purchase", "item": "items.item_id", "amount": "quantity"}]
    assert amounts(tmp_path, signals=signals) == ({(b"a", b"x"): 4.0, (b"a", b"y"): 1.0}, 2)


def test_nothing_is_no_duplicate():
    assert sessions.distinct(sessions.EVENTS.empty_table()).num_rows == 0
