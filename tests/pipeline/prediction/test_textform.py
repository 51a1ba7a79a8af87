"""The text form of predictions is reversible for every id, and every id stays on its line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.prediction.writers import textform

LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # all that str.splitlines ends a line at
odd = st.text("\\t\t,anrx85" + LINE_ENDS, min_size=1)
ids = (st.text(min_size=1) | odd).map(lambda text: text.encode(errors="ignore")).filter(bool)


def line_of(visitor: bytes, items: list[bytes]) -> bytes:
    return textform.escape(visitor) + b"\t" + b",".join(map(textform.escape, items))


@given(ids, st.lists(ids))
@example(b"\\", [b"\\t", b"\t", b"\\\\t", b"\\,", b"\\x0b", b"\x0b"])
@example(b"x" * 10_000, [b",\t\\" * 3_000, b" 007 "])
def test_a_line_is_read_back(visitor, items):
    line = line_of(visitor, items)
    assert textform.parse_line(line) == textform.parse_line(line + b"\n") == (visitor, items)
    assert line.count(b"\t") == 1


@given(ids, st.lists(ids))
@example(LINE_ENDS.encode(), [end.encode() for end in LINE_ENDS])
def test_a_line_is_one_line_to_every_reader(visitor, items):
    assert len(line_of(visitor, items).decode().splitlines()) == 1


@given(st.binary(min_size=1))
def test_even_bytes_that_are_no_text_are_read_back(name):
    assert textform.unescape(textform.escape(name)) == name
    assert textform.parse_line(line_of(name, [name])) == (name, [name])


@given(ids.filter(lambda name: not set(name.decode()) & set("\\\t," + LINE_ENDS)))
@example(b" lead and trail ")
@example("ß漢\u00a0🙂\x00\x1f".encode())
def test_other_ids_stand_as_they_are(name):
    assert textform.escape(name) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a,b", rb"a\,b"),
        (b"t\tn", rb"t\tn"),
        (b"back\\slash", rb"back\\slash"),
        (b"\n\r", rb"\n\r"),
        (b"\x0b\x0c\x1c\x1d\x1e", rb"\x0b\x0c\x1c\x1d\x1e"),
        ("\x85\u2028\u2029".encode(), rb"\xc2\x85\xe2\x80\xa8\xe2\x80\xa9"),
        (b"\\x0b", rb"\\x0b"),
    ],
)
def test_each_escape(name, text):
    assert textform.escape(name) == text
    assert textform.unescape(text) == name


def test_the_form_of_the_spec():
    assert line_of(b"v 1 ", [b"007", "ß".encode(), b"a,b", b"t\tn"]) == b"v 1 \t007,\xc3\x9f,a\\,b,t\\tn"
    assert line_of(b"nothing", []) == b"nothing\t"
    assert textform.parse_line(b"nothing\t\n") == (b"nothing", [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"no tab", "no tab after"),
        (b"\ta", "no tab after"),
        (b"v,w\ta", "no tab after"),
        (b"v\ta\tb", "a stray tab"),
        (b"v\ta\\xb", "a stray tab, comma, backslash"),
        (b"v\ta\\", "a stray tab, comma, backslash"),
        (b"v\ta,,b", "a stray tab, comma"),
        (b"v\ta,", "a stray tab, comma"),
        (b"v\ta\r\n", "or line end"),
        (b"v\ta\nw\tb\n", "or line end"),
        (b"v\t" + b"a" * 100_000 + b"\\", "a stray tab"),  # and at once
    ],
)
def test_what_is_no_line_is_refused(line, said):
    with pytest.raises(ValueError, match=said):
        textform.parse_line(line)
