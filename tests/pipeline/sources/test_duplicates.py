"""Exact duplicates of an event count once, wherever they are; what differs counts."""

import pytest

from pipeline.interactions import sessions
from tests.support.exports import event, interactions, settings, write_ndjson

ONE = event("a", "x", 30, event_name="page_view", event_bundle_sequence_id="7")
OTHERS = [
    ONE | {"event_name": "scroll"},
    ONE | {"event_name": None},
    ONE | {"event_bundle_sequence_id": "8"},
    ONE | {"event_timestamp": "1704067200000001"},
    ONE | {"event_params": [*ONE["event_params"], {"key": "value", "value": {"double_value": 9.5}}]},
    ONE | {"event_params": [*ONE["event_params"], {"key": "value", "value": {"double_value": "NaN"}}]},
    ONE | {"event_params": [*ONE["event_params"], {"key": "value", "value": {"int_value": "9"}}]},
    ONE | {"event_params": [*ONE["event_params"], {"key": "value", "value": {"string_value": "9"}}]},
    ONE | {"user_pseudo_id": "b"},
    event("a", "y", 30, event_name="page_view", event_bundle_sequence_id="7"),
    event("a", "x", 31, event_name="page_view", event_bundle_sequence_id="7"),
]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("files", [1, 3])
def test_exact_duplicates_count_once(tmp_path, kept, files):
    rows = [ONE, *OTHERS, ONE, OTHERS[0], ONE]
    for number in range(files):
        write_ndjson(tmp_path / f"{number}.json", rows[number::files])
    source = {"drop_duplicate_events": not kept}
    found, counts = interactions(settings(tmp_path / "out", tmp_path / "*.json", "ga4", source=source))
    dwell = {pair: amount for pair, (amount, _) in found.items()}
    assert dwell == {
        (b"a", b"x"): 30.0 * (12 if kept else 9) + 31,
        (b"b", b"x"): 30.0,
        (b"a", b"y"): 30.0,
    }
    assert counts["views.skipped.duplicate_event"] == (0 if kept else 3)


def test_a_duplicate_is_found_next_to_events_with_more_fields(tmp_path):
    """A field that is null in a whole file has no type there, and still counts as null."""
    priced = ONE | {"user_pseudo_id": "b", "event_params": OTHERS[4]["event_params"]}
    write_ndjson(tmp_path / "0.json", [ONE])
    write_ndjson(tmp_path / "1.json", [ONE, priced])
    found, counts = interactions(settings(tmp_path / "out", tmp_path / "*.json", "ga4"))
    assert counts["views.skipped.duplicate_event"] == 1
    assert found[b"a", b"x"][0] == 30.0


def test_nothing_is_no_duplicate():
    assert sessions.distinct(sessions.EVENTS.empty_table()).num_rows == 0
