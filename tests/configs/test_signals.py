"""Signals and attributes that cannot be, each with its line."""

import pytest

from configs.errors import UserError
from configs.settings import load_settings

GA4 = "source: {kind: ga4, signals: [{%s}]}"
GA360 = "source: {kind: ga360, signals: [{%s}]}"
ATTRIBUTES = "source: {kind: ga4, preset: ga4_shop, attributes: {%s}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GA4 % "event: a, item: items.id", "item items.id is not a field of ga4 (known: "),
        (GA4 % "event: a, item: page, amount: many", "amount many is not an amount of ga4 (known: "),
        (GA4 % "event: a, item: page, amount: quantity", "amount quantity needs an item in items, not page"),
        (GA360 % "event: page, item: page, amount: quantity", "amount quantity needs an item in product, not page"),
        (GA360 % "event: purchase, item: page, dwell: true", "dwell is of the events page and screen, not of purchase"),
        (GA4 % "event: a, item: page, max_items: 3", "max_items needs an item in items, not page"),
        (GA4 % "event: a, item: page, weight: 0", "a weight of 0 counts nothing; remove the signal"),
        (GA4 % "event: a, item: page, weight: 1e-30", "is too small or too large; weights are relative"),
        (GA4 % "event: a, item: page, weight: -1, dwell: true", "the weight of a dwell must be above 0"),
        (GA4 % "event: a, item: page, dwell: true, amount: param.n", "give dwell or amount, not both"),
        (ATTRIBUTES % "Brand: items.item_brand", "attributes: Brand is not a name of lower-case letters"),
        (ATTRIBUTES % "visitors: items.item_brand", "attributes: visitors is a column of items.parquet"),
        (ATTRIBUTES % "brand: items.label", "attributes.brand: items.label is not a field of ga4 (known: "),
    ],
)
def test_a_signal_or_an_attribute_that_cannot_be_is_one_line(tmp_path, text, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_settings(str(path))
    assert said in str(error.value) and "\n" not in str(error.value)
