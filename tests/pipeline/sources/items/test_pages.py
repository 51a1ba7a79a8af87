"""The page rules, next to the same rules by urllib, one URL at a time."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.settings import PageSettings
from pipeline.sources.items.pages import REASONS, PageRules


def pages_of(urls: list, parameters=(), **page) -> list:
    return PageRules(PageSettings(keep_parameters=parameters, **page)).of(pa.array(urls, pa.string())).ids.to_pylist()


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://www.example.com/a?utm_source=x#top", b"example.com/a"),
        ("HTTP://M.Example.COM:80/A/", b"example.com/A"),
        ("https://example.com:443", b"example.com/"),
        ("https://example.com:8443/", b"example.com:8443/"),
        ("http://example.com:443/", b"example.com:443/"),
        ("https://ann:secret@amp.example.com/a", b"example.com/a"),
        ("https://m.co/a", b"m.co/a"),
        ("https://shop.example.com/index.html", b"shop.example.com/"),
        ("https://example.com/a//index.php/?x", b"example.com/a"),
        ("https://example.com/myindex.html", b"example.com/myindex.html"),
        ("https://example.com/%7ea%2fb%c3%a9\u00e9 ", b"example.com/~a%2Fb%C3%A9%C3%A9"),
        ("https://example.com/50%", b"example.com/50%25"),
        ("/google redesign/apparel/?q=1", b"/google%20redesign/apparel"),
        ("//twice/a", b"//twice/a"),
        ("#top", None),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_the_urls_of_a_page_have_one_id(url, page):
    assert pages_of([url]) == [page]


def test_parameters_that_are_kept_are_sorted_and_others_are_left_out():
    urls = ["https://x.org/a?id=7&utm=1&v=%41", "https://x.org/a/?v=A&&id=7#b", "https://x.org/a?utm=2", "/a?ID=7"]
    assert pages_of(urls, ("id", "v")) == [b"x.org/a?id=7&v=A"] * 2 + [b"x.org/a", b"/a"]
    assert pages_of(urls, "all")[:2] == [b"x.org/a?id=7&utm=1&v=A", b"x.org/a?id=7&v=A"]


def test_the_fragment_is_a_page_of_a_single_page_app():
    urls = ["https://app.example/#/tea", "https://app.example/?a=1#!/p%6ft", "https://app.example/#", "/x#/tea"]
    ids = [b"app.example/#/tea", b"app.example/#!/pot", b"app.example/", b"/x#/tea"]
    assert pages_of(urls, keep_fragment=True) == ids
    assert pages_of(urls) == [b"app.example/"] * 3 + [b"/x"]


def test_the_host_and_the_case_of_the_path_can_be_left_out():
    urls = ["https://www.x.org/A%41%c3", "https://y.org/aa%C3"]
    assert pages_of(urls, keep_host=False, lower_case_path=True) == [b"/aa%C3"] * 2
    assert pages_of(urls, same_hosts=()) == [b"www.x.org/AA%C3", b"y.org/aa%C3"]


def test_pages_that_are_not_items_are_left_out_with_a_reason():
    page = PageSettings(include=("/article/", "/story/"), exclude=("/story/old",), pattern="/([0-9]+)|/(x)")
    urls = ["/article/12-a", "/story/7", "/story/old/7", "/home", "/article/x", "/article/y", None, "/article/12-a"]
    found = PageRules(page).of(pa.array(urls))
    assert found.ids.to_pylist() == [b"12", b"7", None, None, None, None, None, b"12"]
    _, not_included, excluded, without_pattern = REASONS
    reasons = [None, None, excluded, not_included, without_pattern, without_pattern, None, None]
    assert found.reasons.tolist() == reasons


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"pattern": "/(?=a)"}, r"source.page.pattern: RE2, .* refuses it: invalid perl operator: \(\?="),
        ({"pattern": "/article"}, "source.page.pattern needs a group"),
        ({"exclude": ["ok", "(a"]}, "source.page.exclude, number 2: RE2, .* missing"),
        ({"include": ["((a{100}){100}){100}"]}, "source.page.include, number 1: RE2, .*"),
    ],
)
def test_expressions_that_re2_refuses_are_one_line(page, message):
    with pytest.raises(UserError, match=message) as error:
        PageRules(PageSettings(**page))
    assert "\n" not in str(error.value)


def test_an_expression_that_backtracks_elsewhere_takes_no_time():
    page = PageSettings(pattern="(a*)*b", exclude=("(x+x+)+y",))
    assert PageRules(page).of(pa.array(["a" * 20_000 + "x" * 20_000])).ids.to_pylist() == [None]


SAFE = "!#$&'()*+,/:;=?@[]-._~"


def by_urllib(url: str | None, parameters, lower: bool, hosts: tuple[str, ...] | None) -> bytes | None:
    """Return a page by urllib; `hosts` None leaves the host out."""
    url = (url or "").strip(" \t")
    if url[:1] in ("", "?", "#"):
        return None
    has_host = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
    parts = urlsplit(url) if has_host else urlsplit("x://h" + url)._replace(netloc="")
    path = spelled(parts.path if has_host or url[0] == "/" else url.partition("#")[0].partition("?")[0])
    path = spelled(path.lower()) if lower else path
    pieces = path.split("/")
    while len(pieces) > 1 and pieces[-1] in ("", "index.html", "index.htm", "index.php"):
        pieces.pop()
    page = "/".join(pieces) or "/"
    if parts.netloc and hosts is not None:
        host = parts.netloc.split("@")[-1].lower()
        host = host.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, "-"))
        labels = host.split(".")
        page = ".".join(labels[1:] if labels[0] in hosts and len(labels) > 2 else labels) + page
    kept = [p for p in spelled(parts.query).split("&") if p and (parameters == "all" or p.split("=")[0] in parameters)]
    return (page + ("?" + "&".join(sorted(kept)) if kept and parameters else "")).encode()


def spelled(text: str) -> str:
    """Return text with one spelling of each character."""

    def of_code(match: re.Match) -> str:
        value = unquote_to_bytes(match[0])
        is_plain = value.isascii() and (value.decode().isalnum() or value in (b"-", b".", b"_", b"~"))
        return value.decode() if is_plain else match[0].upper()

    pieces = re.split(r"(%[0-9A-Fa-f]{2})", text)
    return "".join(re.sub("%..", of_code, p) if n % 2 else quote(p, safe=SAFE) for n, p in enumerate(pieces))


hosts = st.sampled_from(
    ["example.com", "www.Example.com", "m.co", "u@amp.x.org", "x.org:443", "x.org:80", "x.org:8080"]
)
words = st.sampled_from(
    ["a", "A", "index.html", "index.htm", "Index.php", "%41", "%2f", "%c3%A9", "\u00e9", "%", "%g1", " "]
)
paths = st.lists(words | st.text("abAB%/.~\u00e9 +", max_size=3), max_size=4).map("/".join)
queries = st.lists(
    st.tuples(st.sampled_from(["id", "i%64", "v", "utm", ""]), st.text("aB=%4 ", max_size=3)), max_size=3
)


@st.composite
def urls(draw) -> str:
    address = draw(st.sampled_from(["http", "HTTPS", "app"])) + "://" + draw(hosts) if draw(st.booleans()) else ""
    address += "/" + draw(paths) if draw(st.integers(0, 5)) else ""
    query = "&".join("=".join(pair) for pair in draw(queries))
    return address + ("?" + query if query else "") + draw(st.sampled_from(["", "#", "#a?b"]))


@given(
    st.lists(st.none() | urls() | paths, max_size=5),
    st.sampled_from([(), ("id",), ("v", "id"), "all"]),
    st.booleans(),
    st.sampled_from([None, ("www", "m", "amp"), ()]),
)
@example(["https://www.x.org/a/index.html/index.php?v=2&id=1#c"], ("id",), True, ("www",))
@example(["/ #", "/ "], (), False, None)
def test_pages_are_those_of_urllib(addresses, parameters, lower, same_hosts):
    rules = {"lower_case_path": lower, "keep_host": same_hosts is not None, "same_hosts": same_hosts or ()}
    expected = [by_urllib(url, parameters, lower, same_hosts) for url in addresses]
    assert pages_of(addresses, parameters, **rules) == expected


@given(st.lists(st.none() | st.binary(max_size=12), max_size=5))
def test_any_bytes_become_an_id_of_ascii(addresses):
    found = PageRules(PageSettings(keep_parameters="all")).of(pa.array(addresses, pa.binary()))
    assert all(page is None or page.isascii() for page in found.ids.to_pylist())
    assert len(found.ids) == len(found.reasons) == len(addresses)
