"""Words of texts in any language, by TensorFlow's own operations, so that a server splits as the pipeline does.

A word is a run of letters, marks and digits, in lower case. Scripts that are written without spaces are split into
pairs of neighbouring characters, of which a run of one is itself.
"""

from __future__ import annotations

import tensorflow as tf

# With the sign of a long vowel, which belongs to no script.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\x{30FC}]"


def words(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the words of texts in UTF-8: their rows int64 [w], and the words string [w].

    Words of spaced scripts are first, then pairs of characters, each in the order of the texts.
    """
    lower = tf.strings.lower(texts, encoding="utf-8")
    lower = tf.strings.regex_replace(lower, r"[^\pL\pM\pN]+", " ")
    runs = tf.strings.split(tf.strings.regex_replace(lower, f"({_UNSPACED}+)", r" \1 "))
    rows, is_unspaced = runs.value_rowids(), tf.strings.regex_full_match(runs.values, f"{_UNSPACED}+")
    rows_of_runs, unspaced = chosen(is_unspaced, rows, runs.values)
    pairs = tf.strings.ngrams(
        tf.strings.unicode_split(unspaced, "UTF-8"), 2, separator="", preserve_short_sequences=True
    )
    rows_of_words, spaced = chosen(~is_unspaced, rows, runs.values)
    return (
        tf.concat([rows_of_words, tf.gather(rows_of_runs, pairs.value_rowids())], 0),
        tf.concat([spaced, pairs.values], 0),
    )


def chosen(is_chosen: tf.Tensor, *columns: tf.Tensor) -> list[tf.Tensor]:
    """Return columns [n] of anything where bool [n] is true: tf.boolean_mask, in fewer operations."""
    places = tf.squeeze(tf.where(is_chosen), 1)
    return [tf.gather(column, places) for column in columns]


def parts(texts: tf.Tensor, separator: str | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what a separator splits texts into: rows int64 [p] and parts string [p].

    Without a separator, a text is one part. Blanks and line ends around a part are left out, those within it are one
    blank; empty parts are left out.
    """
    if separator:
        split = tf.strings.split(texts, separator)
        rows, stripped = split.value_rowids(), trimmed(split.values)
    else:
        rows, stripped = tf.range(tf.size(texts, tf.int64)), trimmed(texts)
    rows, values = chosen(tf.not_equal(stripped, ""), rows, stripped)
    return rows, values


def trimmed(texts: tf.Tensor) -> tf.Tensor:
    """Return texts on one line, as a vocabulary's file needs them, without blanks around them."""
    return tf.strings.strip(tf.strings.regex_replace(texts, r"\s+", " "))
