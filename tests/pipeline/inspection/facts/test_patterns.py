"""Examples of ids: URLs as patterns, and nothing that could be personal data."""

import pytest

from pipeline.inspection.facts.patterns import examples, generalised, is_personal


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://www.example.com/article/1234567?utm_source=x#top", "/article/{digits}"),
        ("https://example.com", "/"),
        ("//example.com/a/b", "/a/b"),
        ("example.com/news/the-long-way-home-2024", "/news/{slug}"),
        ("/shop/Google+Redesign/Google+Unisex+Eco+Tee+Black", "/shop/Google+Redesign/{slug}"),
        ("/news/how-to-cook-rice-well.html", "/news/{slug}.html"),
        ("/doc/3f2504e0-4f89-41d3-9a0c-0305e82c3301", "/doc/{hex}"),
        ("/store.html", "/store.html"),
        ("GGOEGXXX1344", "GGOEGXXX1344"),
        ("123456789", "123456789"),  # an item's id is shown as it is
        ("a\x1b[31mred\nline", "a?[31mred?line"),
    ],
)
def test_the_varying_parts_of_urls_become_patterns(value, shown):
    assert generalised(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        "jane.doe@example.com",
        "https://example.com/unsubscribe/jane%40example.com",
        "+49 (30) 123 45 678",
        "192.168.7.21",
        "DE89 3704 0044 0532 0130 00",
    ],
)
def test_what_could_be_personal_is_not_shown(value):
    assert is_personal(value) and examples([value]) == ()


@pytest.mark.parametrize("value", ["GGOEGXXX1344", "1.0", "2.10.4", "/a/b", "Google Zip Hoodie F/C", "@home"])
def test_ids_are_not_personal(value):
    assert not is_personal(value)


def test_examples_differ_and_keep_their_order():
    values = ["https://a.com/n/111111", "https://a.com/n/222222", "x@example.com", "https://a.com/", "b", "c"]
    assert examples(values) == ("/n/{digits}", "/", "b")
    assert examples(["x" * 50]) == ("x" * 33 + "...",)
