"""The text form of predictions is reversible for every id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import textform

ids = st.text(min_size=1).map(lambda text: text.replace("\n", "").replace("\r", "").encode(errors="ignore")) | st.text(
    "\\t\t,a", min_size=1
).map(str.encode)
ids = ids.filter(bool)


@given(ids, st.lists(ids))
def test_a_line_is_read_back(visitor, contents):
    line = textform.format_line(visitor, [textform.escape(content) for content in contents])
    assert textform.parse_line(line) == textform.parse_line(line + b"\n") == (visitor, contents)
    assert line.count(b"\t") == 1


def test_the_form_of_the_spec():
    line = textform.format_line(b"v 1 ", [textform.escape(name) for name in (b"007", "ß".encode(), b"a,b", b"t\tn")])
    assert line == b"v 1 \t007,\xc3\x9f,a\\,b,t\\tn"


@pytest.mark.parametrize("line", [b"no tab", b"v\ta\tb", b"v\ta\\xb", b"v\ta\\"])
def test_what_is_no_line_is_refused(line):
    with pytest.raises(ValueError, match=r"no tab behind|a stray tab"):
        textform.parse_line(line)
