"""The choice of the attributes that become features, by settings, names, types and values."""

import datetime

import pyarrow as pa
import pytest

from artifacts.features.fields import Field
from configs.errors import UserError
from configs.settings import Settings
from pipeline.dataset.features import choice


def settings(attributes: bool = False, **features) -> Settings:
    source = {"kind": "ga4", "preset": "ga4_shop"} if attributes else {"kind": "table"}
    return Settings.model_validate({"source": source, "item_features": {"fields": "auto"} | features})


def kinds_of(**columns) -> dict[str, str]:
    """Return the kind of each column of a catalogue, or why it has none."""
    table = pa.table({"contentId": [f"i{n}" for n in range(4)]} | columns)
    made = choice.choose(settings(), table.append_column("title", pa.array(["a", "b", "c", "d"])))
    return {field.name: field.kind for field in made.fields if field.name != "title"} | made.left_out


def test_fields_of_the_shop_by_the_fields_of_the_export():
    made = choice.choose(settings(True), None)
    assert made.fields == (
        Field("title", "text"),
        Field("brand", "category"),
        Field("category", "category", separator="/"),
        Field("variant", "category"),
        Field("price", "price", within="category"),
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3, None], "number"),
        ([1.5, 2, 3, None], "number"),
        ([True, False, True, None], "category"),
        (["1", "2.5", "3", None], "number"),
        (["2024-01-31", "2024-02-01", None, None], "time"),
        ([datetime.datetime(2024, 1, 1 + day) for day in range(4)], "time"),
        ([["a", "b"], ["b"], None, []], "tags"),
        ([[0.5, 1.0], [1.0, 2.0], None, []], "embedding"),
        (["red|blue", "red", "green", None], "tags"),
        (["red; blue", "red", "green", None], "tags"),
        (["some words of a text", "and others that are here", None, None], "text"),
        (["red", "red", "blue", None], "category"),
        (["k1", "k2", "k3", "k4"], "each value is in one item"),
        ([None, None, None, None], "it has no values"),
        (["red", "red", "red", "red"], "all have the same value"),
        ([5, 5, 5, 5], "all have the same value"),
        ([5, 5, None, 5], "number"),
        ([{"a": 1}, {"a": 2}, None, None], "a column of struct<a: int64> is not an attribute"),
    ],
)
def test_kinds_by_types_and_values(values, kind):
    assert kinds_of(odd=values) == {"odd": kind}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("headline", "text"),
        ("itemName", "text"),
        ("brand_name", "category"),
        ("category_id", "category"),
        ("keywords", "tags"),
        ("imageUrl", "it is an id or an address"),
        ("publishedAt", "time"),
        ("content_rating", "category"),
        ("ratings", "it changes after publication, so what is measured would not be true of new items"),
        ("pageViews", "it changes after publication, so what is measured would not be true of new items"),
        ("review_count_of_reviews", "it changes after publication, so what is measured would not be true of new items"),
    ],
)
def test_kinds_by_names(name, kind):
    assert kinds_of(**{name: ["x", "x", "y", "y"]}) == {name: kind}


def test_prices_and_weights():
    table = pa.table({"contentId": ["i"], "price": [1.0], "brand": ["b"], "item_category": ["c"]})
    made = choice.choose(settings(weights={"price": 2, "brand": 0}), table)
    assert made.fields == (Field("price", "price", 2.0, within="item_category"), Field("item_category", "category"))
    assert made.left_out == {"brand": "its weight is 0"}
    explicit = [{"name": "price", "within": "brand"}, {"name": "brand", "kind": "tags", "separator": ";", "weight": 3}]
    made = choice.choose(settings(fields=explicit), table)
    assert made.fields == (Field("price", "price", within="brand"), Field("brand", "tags", 3.0, ";"))


def test_a_dry_run_lists_the_fields_and_what_is_left_out():
    table = pa.table({"contentId": ["i"], "price": [1.0], "views": [1], "brand": ["b"]})
    assert choice.describe(settings(), table).splitlines() == [
        "features of price (price), brand (category)",
        "no features of views: it changes after publication, so what is measured would not be true of new items",
    ]


def test_no_features_by_default():
    assert choice.choose(Settings(), pa.table({"contentId": ["i"], "title": ["t"]})) == ((), {})


@pytest.mark.parametrize(
    ("features", "columns", "said"),
    [
        ({"fields": [{"name": "brnd"}]}, {"brand": ["b"]}, "brnd is not an attribute of the items .known: brand"),
        ({"weights": {"brnd": 1}}, {"brand": ["b"]}, "brnd is not an attribute"),
        ({"fields": [{"name": "views"}]}, {"views": [1]}, "changes after publication.*rename the column"),
        ({"fields": [{"name": "url"}]}, {"url": ["b"]}, "an id or an address; leave it out, or set its kind"),
        ({}, {"url": ["b"]}, "no attributes to make features of.*url: it is an id"),
        ({}, {}, "no attributes to make features of"),
        ({}, {"colour": ["red"] * 30}, "no attributes to make features of.*colour: all have the same value"),
        ({"fields": [{"name": "e", "kind": "embedding"}]}, {"e": ["b"]}, "an embedding is a list of numbers"),
        ({}, {"e": [[1.0, 2.0], [1.0], [1.0]]}, "column e has embeddings of 1, 2 numbers; make all with one model"),
        ({}, {"e": pa.array([[], None], pa.list_(pa.float32()))}, "column e has no embedding"),
        (
            {"fields": [{"name": "price", "within": "brand"}]},
            {"brand": ["b"], "price": [1.0]},
            "within brand is not a field of kind category",
        ),
    ],
)
def test_wrong_settings_and_columns_are_one_line(features, columns, said):
    rows = len(next(iter(columns.values()))) if columns else 1
    table = pa.table({"contentId": [f"i{n}" for n in range(rows)]} | columns)
    with pytest.raises(UserError, match=said) as error:
        choice.choose(settings(**features), table)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "features",
    [
        {"fields": [{"name": "a"}, {"name": "a"}]},
        {"fields": [{"name": "a"}], "weights": {"a": 1}},
        {"weights": {"a": -1}},
    ],
)
def test_settings_that_contradict_each_other(features):
    with pytest.raises(ValueError, match="item_features"):
        Settings.model_validate({"item_features": features})
