"""Sources with signals and attributes of any kind, as hypothesis strategies: for the fuzz tests."""

from __future__ import annotations

from hypothesis import strategies as st

from configs.settings import SourceSettings

MIXED = [
    {"event": "page", "item": "dimension.10", "dwell": True, "recommend_again": True},
    {"event": ["add_to_cart", "Video"], "item": "product.productSKU", "amount": "quantity", "max_items": 1},
    {"event": "*", "item": "event.eventLabel", "weight": -2, "amount": "event.eventValue"},
]
DESCRIBED = {"title": "page_title", "label": "event.eventLabel", "sku": "product.productSKU", "topic": "dimension.4"}
SIGNALS = [{}, {"preset": "ga360_pages"}, {"preset": "ga360_shop"}, {"signals": MIXED, "attributes": DESCRIBED}]

GA4_SIGNALS = [
    {"event": "purchase", "item": "items.item_id", "weight": 10, "amount": "quantity", "recommend_again": True},
    {"event": ["purchase", "view_item"], "item": "items.item_id", "max_items": 1, "half_life_days": 2},
    {"event": "remove_from_cart", "item": "items.item_id", "weight": -4, "recommend_again": True},
    {"event": "*", "item": "items.item_name", "amount": "param.value"},
    {"event": "*", "item": "items.price", "weight": 0.5, "dwell": True},
    {"event": "*", "item": "page", "dwell": True, "recommend_again": True},
    {"event": "view_item", "item": "param.content_id", "amount": "param.value"},
    {"event": ["view_item", "purchase"], "item": "param.tax", "weight": 3},
    {"event": "*", "item": "screen"},
    {"event": "view_item", "item": "page_title", "half_life_days": 7},
]
GA4_ATTRIBUTES = {
    "title": "items.item_name",
    "price": "items.price",
    "name": "page_title",
    "worth": "param.value",
    "address": "page",
    "view": "screen",
}


@st.composite
def ga4_settings(draw) -> SourceSettings:
    """Draw a source of GA4 with signals and attributes of any kind."""
    signals = draw(st.lists(st.sampled_from(GA4_SIGNALS), min_size=1, max_size=3))
    twin = draw(st.sampled_from(signals))  # of one event and item, and one of both may be recommended again
    signals.append(twin | {"weight": 2, "recommend_again": not twin.get("recommend_again", False)})
    signals = [*([{"signals": signals}] * 6), {}, {"preset": "ga4_shop"}, {"preset": "ga4_articles"}]
    more = draw(st.sampled_from(signals))
    if {-4} == {signal.get("weight") for signal in more.get("signals", [])}:
        more = {"signals": [*more["signals"], GA4_SIGNALS[0]]}
    others = {name: st.just(field) for name, field in GA4_ATTRIBUTES.items() if name != "title"}
    more["attributes"] = draw(st.fixed_dictionaries({"title": st.just("items.item_name")}, optional=others))
    if "page" in [*(signal["item"] for signal in more.get("signals", [])), *more["attributes"].values()]:
        more["page"] = {"exclude": ["/x$"], "include": ["e"]}
    more |= {"prefer_user_id": draw(st.booleans()), "drop_duplicate_events": draw(st.booleans())}
    return SourceSettings(kind="ga4", input="x", end_date="2024-01-31", **more)


exports = st.sampled_from(SIGNALS).map(lambda more: SourceSettings(kind="ga360", input="x", **more)) | ga4_settings()
