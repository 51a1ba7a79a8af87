"""Refusals by the counts of a run alone."""

from collections import Counter

import pytest

from configs.errors import UserError
from configs.settings import Settings
from pipeline.dataset.checks import check_counts, unread_events


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"preset": "ga4_shop", "input": "bq://p.d.events_*"},
            r" tables .* events \(add_to_cart, purchase, view_item\)$",
        ),
        ({"kind": "ga4", "input": "bq://p.d.events_*"}, "the tables contain no rows$"),
        ({"preset": "ga4_shop", "input": "events_*"}, "the files contain no rows$"),
    ],
)
def test_no_rows_are_no_rows_of_the_events_that_tables_are_asked_for(source, said):
    with pytest.raises(UserError, match=said):
        check_counts(Counter(), Settings.model_validate({"source": source}), "rejected")


SEEN = {"records.read": 9, "seen.event.page_view": 6, "seen.event.scroll": 3}
BUY = {"event": "purchse", "item": "items.item_id"}


def refusal(counts: dict, **source) -> str:
    settings = Settings.model_validate({"source": {"kind": "ga4", "input": "x"} | source})
    with pytest.raises(UserError) as error:
        check_counts(Counter(counts), settings, "rejected")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_signal_that_matches_no_event_is_an_error_even_beside_others():
    signals = [{"event": "page_view", "item": "page"}, BUY]
    said = refusal(SEEN | {"pairs.read": 5, "pairs.used": 5}, signals=signals)
    assert said == "source.signals, number 2: no event is purchse; the events read are page_view (6), scroll (3)"


def test_an_event_that_is_nowhere_is_said_beside_those_that_are():
    def said(**source) -> list[str]:
        settings = Settings.model_validate({"source": {"kind": "ga4"} | source})
        return list(unread_events(Counter(SEEN), settings.source))

    page = {"event": ["scroll_2", "page_view", "click_2"], "item": "page"}
    assert said(signals=[{"event": "scroll", "item": "page"}, page]) == [
        "source.signals, number 2: no event is scroll_2 or click_2; the events read are page_view (6), scroll (3)"
    ]
    assert said(signals=[{"event": ["*", "scroll_2"], "item": "page"}]) == []
    assert said(preset="ga4_shop") == []  # a short window may have no purchase


@pytest.mark.parametrize(("unit", "name"), [("records", "rows"), ("hits", "hits"), ("items", "items of events")])
def test_no_unit_may_lose_more_than_the_fraction(unit, name):
    counts = SEEN | {"records.read": 100, "pairs.read": 5, "pairs.used": 5, f"{unit}.read": 100}
    said = refusal(counts | {f"{unit}.rejected.odd": 2})
    assert said.startswith(f"2 of 100 {name} were rejected, more than source.max_reject_fraction 0.01: {unit}.odd 2; ")
    source = Settings.model_validate({"source": {"kind": "ga4", "input": "x"}})
    check_counts(Counter(counts | {f"{unit}.rejected.odd": 1}), source, "rejected")


def test_a_signal_that_finds_no_id_is_an_error_next_to_others():
    signals = [{"event": "page_view", "item": "page"}, {"event": "scroll", "item": "param.nope"}]
    found = SEEN | {"pairs.read": 5, "pairs.used": 5, "seen.signal.1": 6, "seen.signal.2": 0}
    assert refusal(found, signals=signals) == (
        "source.signals, number 2: no scroll of a visitor has an item's id in param.nope; wals inspect "
        "shows which fields have one"
    )
    signals[1] |= {"weight": -1}
    source = {"kind": "ga4", "signals": signals}
    check_counts(Counter(found), Settings.model_validate({"source": source}), "rejected")


@pytest.mark.parametrize("changes", [{"weight": -1}, {"event": ["purchse", "scroll"]}, {"event": "*"}])
def test_what_takes_away_or_has_another_event_may_match_none(changes):
    settings = Settings.model_validate(
        {"source": {"kind": "ga4", "signals": [{"event": "scroll", "item": "page"}, BUY | changes]}}
    )
    check_counts(Counter(SEEN | {"pairs.read": 5, "pairs.used": 5}), settings, "rejected")


def test_a_preset_none_of_whose_events_is_there():
    said = refusal(SEEN | {"records.skipped.no_signal": 9}, preset="ga4_shop")
    assert said.startswith(
        "no interactions in 9 rows: no event is of a signal; the events read are page_view (6), scroll (3)"
    )


def test_a_pattern_that_no_page_matches():
    page = {"pattern": "/article/([0-9]+)"}
    said = refusal(SEEN | {"records.skipped.page_without_pattern": 9}, preset="ga4_pages", page=page)
    assert said == "no interactions in 9 rows: source.page.pattern /article/([0-9]+) matches none of 9 pages"


def test_an_include_that_no_page_matches_and_one_that_some_do():
    lost = {"records.skipped.page_not_included": 5, "pairs.skipped.no_dwell": 4}
    said = refusal(SEEN | lost | {"seen.signal.1": 0}, preset="ga4_pages", page={"include": ["/a"]})
    assert said == "no interactions in 9 rows: source.page.include matches none of 5 pages"
    said = refusal(SEEN | lost | {"seen.signal.1": 4}, preset="ga4_pages", page={"include": ["/a"]})
    assert said == "no interactions in 9 rows: records.page_not_included 5, pairs.no_dwell 4"


def test_events_without_names_are_of_another_kind_unless_any_event_counts():
    counts = {"records.read": 9, "seen.event.": 9, "records.skipped.no_signal": 9}
    assert "no row has an event_name: are these ga4 exports?" in refusal(counts, preset="ga4_shop")
    any_event = Settings.model_validate({"source": {"kind": "ga4", "input": "x"}})
    check_counts(
        Counter({"records.read": 9, "seen.event.": 9, "pairs.read": 5, "pairs.used": 5}), any_event, "rejected"
    )


def test_a_parameter_that_is_not_there():
    said = refusal(SEEN | {"records.skipped.no_item": 9, "seen.parameter.sku": 4}, item_parameter="id")
    assert said == "no interactions in 9 rows: none has the parameter id; seen were sku (4); set source.item_parameter"


def test_a_parameter_of_a_signal_is_set_there():
    signals = [{"event": "*", "item": "param.id"}]
    said = refusal(SEEN | {"records.skipped.no_item": 9, "seen.parameter.sku": 4}, signals=signals)
    assert said == "no interactions in 9 rows: none has the parameter id; seen were sku (4); set source.signals"


def test_a_field_without_an_id_is_named():
    counts = SEEN | {"records.skipped.no_signal": 6, "records.skipped.not_an_id.(not set)": 3}
    assert refusal(counts, signals=[{"event": "scroll", "item": "items.item_brand"}]) == (
        "no interactions in 9 rows: records.no_signal 6, records.not_an_id.(not set) 3; items.item_brand contains no "
        "item's id: wals inspect shows which fields do"
    )


def test_rejected_items_are_a_reason_too():
    counts = SEEN | {"records.skipped.no_valid_item": 9, "items.rejected.amount_invalid": 12}
    signals = [{"event": "scroll", "item": "items.item_id", "amount": "quantity"}]
    said = refusal(counts | {"items.read": 12}, signals=signals, max_reject_fraction=1)
    assert said == "no interactions in 9 rows: items.amount_invalid 12, records.no_valid_item 9"
