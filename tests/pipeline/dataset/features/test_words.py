"""Words and tags in TensorFlow's graph, against regular expressions of Python."""

import re
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.features import words

UNSPACED = re.compile("[\u3040-\u30ff\u4e00-\u9fff\u0e00-\u0e3a\u0e40-\u0e4e]+")


def split(texts: list[str]) -> list[list[str]]:
    """Return the words of each text."""
    found: list[list[str]] = [[] for _ in texts]
    rows, values = words.words(tf.constant([text.encode() for text in texts], tf.string))
    for row, word in zip(rows.numpy().tolist(), values.numpy().tolist(), strict=True):
        found[row].append(word.decode())
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The WHEEL, the wheels' 12 km/h!", ["the", "wheel", "the", "wheels", "12", "km", "h"]),
        ("ÜBER Größe Éclair ПРИВЕТ", ["über", "größe", "éclair", "привет"]),
        ("हिन्दी में समाचार", ["हिन्दी", "में", "समाचार"]),
        ("データベース入門 in 東京", ["in", "デー", "ータ", "タベ", "ベー", "ース", "ス入", "入門", "東京"]),
        ("中 x", ["x", "中"]),
        ("ไทย", ["ไท", "ทย"]),
        ("한국어 뉴스", ["한국어", "뉴스"]),
        (" \t\n ?!", []),
        ("", []),
    ],
)
def test_words_of_several_languages(text, expected):
    assert split([text]) == [expected]


@given(st.lists(st.text(st.sampled_from("aBéß9 -_.,\nд中文本の"), max_size=12), max_size=5))
def test_words_are_runs_of_letters_and_digits(texts):
    for text, found in zip(texts, split(texts), strict=True):
        spaced, pairs = [], []
        for run in re.findall(r"[^\W_]+", text.lower()):
            for part in UNSPACED.sub(lambda match: f" {match[0]} ", run).split():
                whole = len(part) == 1 or not UNSPACED.fullmatch(part)
                (pairs if UNSPACED.fullmatch(part) else spaced).extend(
                    [part] if whole else [part[n : n + 2] for n in range(len(part) - 1)]
                )
        assert found == spaced + pairs


def test_bytes_that_are_not_utf8_stop_nothing():
    assert [word.decode() for word in words.words(tf.constant([b"\xff abc"]))[1].numpy()] == ["abc"]


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a | b||c |", "|", ["a", "b", "c"]),
        ("Home/Men's / Unisex/", "/", ["Home", "Men's", "Unisex"]),
        ("two words\r\nand a line", None, ["two words and a line"]),
        ("  ", None, []),
        ("", "|", []),
    ],
)
def test_parts_are_trimmed_and_on_one_line(text, separator, expected):
    rows, parts = words.parts(tf.constant(["x", text]), separator)
    assert [part.decode() for row, part in zip(rows.numpy(), parts.numpy(), strict=True) if row == 1] == expected
    assert unicodedata.is_normalized("NFC", text)
