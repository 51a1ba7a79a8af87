"""Rows as no export should hold them, as hypothesis strategies: for the fuzz tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.exports import event, hit, session

BIG = 2**63
NUMBERS = [0, 1, -1, 999, 10**17, 10**18, BIG - 1, BIG, -BIG, 10**30, 0.5, 1e300, float("nan"), float("inf"), True]
TEXTS = [
    "", " ", "\n", "a\nb", "a\rb", "\t", "\\", "0", "007", "-5", "1e3", "9223372036854775807", "9223372036854775808",
    "\u0661\u0662", "NaN", "null", "PAGE", "20240101", "2024", "(not set)",
    "\u05e9\u05dc\u05d5\u05dd", "\u202egnp.exe", "e\u0301\u0301\u0301", "\u00e9", "\U0001f469\u200d\U0001f4bb",
    "\ud800", "a\udfffb", "\0", "\x1f", "\u2028", "=1+1", "'; DROP TABLE x; --", "../../etc/passwd", "x" * 5000,
]  # fmt: skip
texts = st.sampled_from(TEXTS) | st.text(max_size=4) | st.text(alphabet=st.characters(), max_size=3)
scalars = st.none() | st.sampled_from(NUMBERS) | texts
anything = scalars | st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=4
)


def mostly(sound: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw of the first in four of five cases; a union would draw as often of each of its parts."""
    return st.integers(0, 4).flatmap(lambda number: sound if number else other)


@st.composite
def spoiled(draw: Any, value: Any, rate: int = 12) -> Any:
    """Draw the value with parts of it, at any depth, lost or replaced or doubled here and there."""
    if draw(st.integers(0, rate)) == 0:
        return draw(anything)
    if isinstance(value, dict):
        found = {name: draw(spoiled(part, rate)) for name, part in value.items()}
        if draw(st.integers(0, rate)) == 0 and found:
            del found[draw(st.sampled_from(sorted(found)))]
        return found
    if isinstance(value, list):
        parts = [draw(spoiled(part, rate)) for part in value]
        if parts and draw(st.integers(0, rate)) == 0:
            parts.append(draw(st.sampled_from(parts)))  # a hit twice
        return parts
    return value


visitors = mostly(st.sampled_from(["a", "a", "b", "\u05e9\u05dc\u05d5\u05dd", "e\u0301"]), texts)
items = mostly(st.sampled_from(["x", "x", "y", "z"]), st.none() | texts)
clocks = st.sampled_from([0, 10, 10, 40, 39, 86_400_000, 10**15])  # back, and over midnight too


products = st.fixed_dictionaries(
    {"productSKU": items, "isImpression": st.sampled_from([None, False, True])},
    optional={
        "productQuantity": st.sampled_from(["1", "3", "0", None]),
        "customDimensions": st.lists(st.fixed_dictionaries({"index": st.just("10"), "value": items}), max_size=2),
    },
)


@st.composite
def full_hit(draw: Any) -> dict[str, Any]:
    found = hit(draw(st.integers(1, 4)), draw(clocks), draw(items), draw(st.sampled_from(["PAGE", "PAGE", "EVENT"])))
    parts = {
        "page": st.fixed_dictionaries({"pagePath": items}),
        "product": st.lists(products, max_size=2),
        "eCommerceAction": st.fixed_dictionaries({"action_type": st.sampled_from(["0", "2", "3", "6"])}),
        "eventInfo": st.fixed_dictionaries(
            {"eventCategory": st.sampled_from(["Video", "page"]), "eventLabel": items, "eventValue": st.just("4")}
        ),
    }
    return found | draw(st.fixed_dictionaries({}, optional=parts))


@st.composite
def sound_session(draw: Any) -> dict[str, Any]:
    hits = draw(st.lists(full_hit(), max_size=4))
    start = draw(st.sampled_from([1704067200, 1704067201, 0, 10**12]))
    return session(draw(visitors), draw(st.sampled_from([1, 2, 1704067200])), hits) | {"visitStartTime": str(start)}


numbers = st.sampled_from([0.0, -0.0, 9.5, 12.99, 1e22, 5e-324, 0.1, 123456789.25, 2.0**53, 1e300]) | st.floats(
    allow_nan=False, allow_infinity=False
)
_PAGE_PARAMETERS = ("page_location", "page_title", "firebase_screen", "firebase_screen_class")
parameters = st.fixed_dictionaries(
    {"key": st.sampled_from(["content_id", "value", "tax", "engagement_time_msec", *_PAGE_PARAMETERS])},
    optional={
        "value": st.fixed_dictionaries(
            {},
            optional={
                "string_value": st.none() | items,
                "int_value": st.sampled_from(["42", 42, "-1", None, 0, "9780306406157", 10**17]),
                "float_value": st.none() | numbers,
                "double_value": st.none() | numbers | st.integers(-(2**60), 2**60),
            },
        )
    },
)


prices = st.sampled_from(["9.99", "9,99 EUR", "", "NaN"])
_item_texts = ("item_id", "item_name", "item_brand", "item_variant", "item_category", "coupon", "item_list_id")
item_lines = st.fixed_dictionaries(
    {"item_id": items, "item_name": items},
    optional=dict.fromkeys(_item_texts[2:], items)
    | {"quantity": st.sampled_from(["2", 2, None, "0", 1.5, "-1"])}
    | {name: st.none() | numbers | st.integers(0, 99) | prices for name in ("price", "price_in_usd")},
)


_sometimes = {
    "event_bundle_sequence_id": st.sampled_from(["1", "2", 3, None]),
    "event_timestamp": st.sampled_from(["1704067200000001", "1706745600000000", "2024-01-05 10:00:00 UTC"]),
    "event_date": st.sampled_from(["20240105", "20240201", "2024-01-05", None]),
    "user_id": st.sampled_from(["u", "0", "", "undefined", None]),
}


@st.composite
def sound_event(draw: Any) -> dict[str, Any]:
    row = event(draw(mostly(visitors, st.none())), draw(items), draw(st.none() | clocks))
    row["event_params"] += draw(st.lists(parameters, max_size=3))
    names = ["purchase", "purchase", "view_item", "view_item", "remove_from_cart", "scroll", None]
    row |= {"event_name": draw(st.sampled_from(names)), "batch_event_index": "1"}
    row |= draw(st.fixed_dictionaries({}, optional=_sometimes))
    if draw(st.integers(0, 2)):
        row["items"] = draw(st.lists(item_lines, min_size=draw(st.sampled_from([0, 2])), max_size=3))
    return row


@st.composite
def line(draw: Any, sound: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """Draw a line of an export: JSON mostly, integers as text or as numbers; else bytes that are none."""
    if draw(st.integers(0, 15)) == 0:
        return draw(st.binary(max_size=20)).replace(b"\n", b"")
    row = draw(sound)
    if draw(st.booleans()):
        row = _numbers(row)
    row = draw(spoiled(row, draw(st.sampled_from([12, 60, 500]))))
    text = json.dumps(row, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", draw(st.sampled_from(["surrogatepass", "replace"])))


ODD_LINES = [
    b"", b"   ", b"\r", b"null", b"[]", b"[1]", b"7", b'"text"', b"true", b"oops", b"{oops", b"{", b"}", b"{}{}",
    b"{} ", b'{"hits": [', b'{"event_params": [{"key": "val', b"\x00\xff\xfe", b"\xff", b"NaN", b"Infinity",
    b"\xef\xbb\xbf{}", b"\xef\xbb\xbf", b"{\0}\0", b"\0{\0}",
    b'{"event_date": "20240101",}', b'{"event_date": 20240101}', b'{"date": "20240101", "date": "20240102"}',
    b'{"event_params": [{"key": "value", "value": {"double_value": "NaN"}}]}',
    b'{"event_params": [{"key": "value", "value": {"double_value": "-Infinity"}}]}',
    b'{"event_params": [{"key": "value", "value": {"double_value": NaN}}]}',
    b'{"event_params": [{"key": "value", "value": {"float_value": "1.5"}}]}',
    b'{"event_params": [{"key": "value", "value": {"float_value": "dear"}}]}',
    b'{"event_params": [{"key": "value", "value": {"float_value": true}}]}',
    b'{"event_params": [{"key": "value", "value": {"double_value": 1e999}}]}',
    b'{"event_params": [{"key": "content_id", "value": {"int_value": 42.0}}]}',
    b'{"event_params": [{"key": "content_id", "value": {"int_value": 42.5}}]}',
    b'{"event_params": [null, {"key": null, "value": null}]}', b'{"event_params": {"key": "value"}}',
    b'{"event_params": ["value"]}', b'{"hits": [null, {"time": "1"}]}', b'{"hits": [{"customDimensions": [[]]}]}',
    b'{"user_pseudo_id": "10\xff", "fullVisitorId": "10\xff"}', b'{"other": "10\xff", "user_pseudo_id": "a"}',
    b'{"user_pseudo_id": "\\ud83d", "fullVisitorId": "\\ud83d"}', b'{"other": "\\ud83d", "user_pseudo_id": "a"}',
    b'{"user_pseudo_id": 7, "fullVisitorId": 7}', b'{"user_pseudo_id": 7.0}', b'{"user_pseudo_id": "tab\there"}',
    b'{"other": 01}', b'{"other": ' + b"1" * 5000 + b"}", b'{"visitId": 9223372036854775808}', b'{"visitId": "01"}',
    b'{"other": ' + b"[" * 1200 + b"]" * 1200 + b', "date": "20240101"}',
    b'{"date": ' + b"[" * 1200 + b"]" * 1200 + b"}",
]  # fmt: skip


def _numbers(value: Any) -> Any:
    """Draw integers as numbers, as other tools than bq write them."""
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else value
