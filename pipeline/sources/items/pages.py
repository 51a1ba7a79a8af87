"""Page rules: URLs or paths of pages -> one id per page. The same for files, BigQuery, GA360 and GA4.

    rules = PageRules(source.page_rules)
    pages = rules.of(urls)  # any array of text, one URL per row, null where there is none
    pages.ids, pages.reasons

The id of HTTPS://www.Example.com:443/a%2Db/index.html?utm_source=x&id=7#top is example.com/a-b, or example.com/a-b?id=7
if the parameter `id` is kept. An id is ASCII: what RFC 3986 does not allow in a URL is percent-encoded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import UserError
from configs.settings import PageSettings
from pipeline.sources import columns

# Why a page is left out; the first is that of a page that is not.
NOT_INCLUDED, WITHOUT_PATTERN = "page_not_included", "page_without_pattern"
REASONS = (None, NOT_INCLUDED, "page_excluded", WITHOUT_PATTERN)
_NOT_INCLUDED, _EXCLUDED, _WITHOUT_PATTERN = range(1, len(REASONS))

_CACHED = 1 << 16  # distinct pages per process
_URL = re.compile(rb"(?s)(?:([a-z][a-z0-9+.-]*)://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.IGNORECASE)
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_END_OF_PATH = re.compile(rb"(?:/+(?:index\.(?:html?|php))?)+\Z")
_TO_NORMALISE = re.compile(rb"%([0-9A-Fa-f]{2})|[^!#$&-;=?-Z\[\]_a-z~\r\n]")  # a line end is a fault of the id
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Pages(NamedTuple):
    """The pages of some rows.

    ids: pipeline.interactions.columns.ID, null where the URL is missing or the page is left out. left_out: why it is,
    int8[n], a place in REASONS.
    """

    ids: pa.DictionaryArray
    left_out: np.ndarray

    @property
    def reasons(self) -> np.ndarray:
        """Return why pages are left out, object[n]; None for the others."""
        return np.array(REASONS, object)[self.left_out]


class _Url(NamedTuple):
    """The rules that rewrite a URL."""

    same_hosts: frozenset[bytes]
    keep_host: bool
    parameters: frozenset[bytes] | Literal["all"]
    keep_fragment: bool
    lower_case_path: bool


class PageRules:
    """The rules of `source.page`."""

    def __init__(self, page: PageSettings):
        """Check `SourceSettings.page_rules`; raise UserError if RE2 refuses one, or the pattern has no group."""
        parameters = page.keep_parameters or ()
        self._url = _Url(
            frozenset(label.lower().encode() for label in page.same_hosts),
            page.keep_host,
            parameters if parameters == "all" else frozenset(_normal(name.encode()) for name in parameters),
            page.keep_fragment,
            page.lower_case_path,
        )
        self._include, self._exclude, self._pattern = page.include, page.exclude or (), page.pattern
        for name, expressions in (("include", self._include), ("exclude", self._exclude)):
            for number, expression in enumerate(expressions, 1):
                _check(f"source.page.{name}, number {number}", expression)
        if page.pattern is not None:
            _check("source.page.pattern", page.pattern, groups=True)

    def of(self, urls: pa.Array) -> Pages:
        """Return the ids of pages."""
        coded = urls.dictionary_encode() if not pa.types.is_dictionary(urls.type) else urls
        addresses = columns.ids(coded.dictionary)
        if not (self._url.parameters or self._url.keep_fragment):
            # Then few addresses are left, and only those are looked at one by one. The mark keeps a space before it,
            # which is part of the path; at the end of an address it is not.
            addresses = pc.replace_substring_regex(addresses, r"(?s)[?#].*", b"?")
        distinct = addresses.dictionary_encode()
        pages = pa.array([_page(url, self._url) for url in distinct.dictionary.to_pylist()], pa.binary())
        pages, left_out = self._chosen(pages.cast(pa.string()))  # of all bytes at once, not of each page
        coded_pages = pages.cast(pa.binary()).dictionary_encode()
        # From the row to its address, from there to the address without its query, from there to the page.
        of_row = pc.take(distinct.indices, coded.indices)
        return Pages(
            pa.DictionaryArray.from_arrays(coded_pages.indices.take(of_row), coded_pages.dictionary),
            np.append(left_out, np.int8(0))[of_row.fill_null(len(left_out)).to_numpy()],
        )

    def _chosen(self, pages: pa.StringArray) -> tuple[pa.StringArray, np.ndarray]:
        """Return the ids of distinct pages, null where a page is left out, and why, int8[n], a place in REASONS."""
        urls, left_out = pages, np.zeros(len(pages), np.int8)
        if self._pattern is not None:
            # The expression matches the whole page if the pattern matches within it, and the groups are the same.
            firsts = pc.replace_substring_regex(pages, f"(?s:^.*?)(?:{self._pattern})(?s:.*)$", r"\1")
            has_id = _matches(pages, (self._pattern,)) & _true(pc.not_equal(firsts, ""))
            left_out[~has_id] = _WITHOUT_PATTERN
            pages = firsts
        if self._exclude:
            left_out[_matches(urls, self._exclude)] = _EXCLUDED
        if self._include:
            left_out[~_matches(urls, self._include)] = _NOT_INCLUDED
        left_out[~_true(urls.is_valid())] = 0
        return pc.if_else(pa.array(left_out == 0), pages, pa.scalar(None, pa.string())), left_out


def _matches(pages: pa.StringArray, expressions: tuple[str, ...]) -> np.ndarray:
    matched = np.zeros(len(pages), bool)
    for expression in expressions:
        matched |= _true(pc.match_substring_regex(pages, expression))
    return matched


def _true(mask: pa.BooleanArray) -> np.ndarray:
    return mask.fill_null(False).to_numpy(zero_copy_only=False)


def _check(setting: str, expression: str, groups: bool = False) -> None:
    probe = pa.array([""])
    try:
        pc.match_substring_regex(probe, expression)
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split()).removeprefix("Invalid regular expression: ")
        raise UserError(
            f"{setting}: RE2, which knows no look-ahead and no back-references, refuses it: {reason}"
        ) from None
    if groups:
        try:
            pc.replace_substring_regex(probe, f"(?:{expression})?", r"\1")
        except pa.ArrowInvalid:
            raise UserError(
                f"{setting} needs a group in parentheses around the item's id, such as /article/([0-9]+)"
            ) from None


@lru_cache(maxsize=_CACHED)
def _page(url: bytes | None, rules: _Url) -> bytes | None:
    """Return the id of the page of a URL or of a path; None if it has neither host nor path."""
    scheme, host, path, query, fragment = _URL.match((url or b"").strip(b" \t")).groups()  # type: ignore[union-attr]
    if not (host or path):
        return None
    path = _lower(path) if rules.lower_case_path else _normal(path)
    page = _END_OF_PATH.sub(b"", path) or b"/"
    if rules.keep_host and host:
        page = _host(scheme.lower(), host, rules.same_hosts) + page
    if query and rules.parameters:
        parts = filter(None, _normal(query).split(b"&"))
        kept = [p for p in parts if rules.parameters == "all" or p.partition(b"=")[0] in rules.parameters]
        page += b"?" + b"&".join(sorted(kept)) if kept else b""
    if fragment and rules.keep_fragment:
        page += b"#" + _normal(fragment)
    return page


def _host(scheme: bytes, host: bytes, same_hosts: frozenset[bytes]) -> bytes:
    """Return a host in lower case, without user, default port, and a first label that is not part of its name."""
    host = _lower(host.rpartition(b"@")[2])
    if port := _DEFAULT_PORTS.get(scheme):
        host = host.removesuffix(port)
    first, _, rest = host.partition(b".")
    return rest if first in same_hosts and b"." in rest else host


def _lower(text: bytes) -> bytes:
    return _normal(_normal(text).lower())  # digits of percent-encodings are in upper case


def _normal(text: bytes) -> bytes:
    """Return part of a URL with one spelling of each character: RFC 3986, section 6.2.2."""
    return _TO_NORMALISE.sub(_normal_character, text)


def _normal_character(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    code = int(digits, 16) if digits else match[0][0]
    return bytes([code]) if digits and code in _UNRESERVED else b"%%%02X" % code
