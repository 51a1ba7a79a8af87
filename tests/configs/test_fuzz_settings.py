"""Any config loads, or is refused in one line: no mistake in a config ends in a traceback."""

import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.settings import Settings, load_settings
from configs.settings.search import SearchSettings, load_search
from configs.settings.section import keys_of

EXAMPLES = int(os.environ.get("WALS_FUZZ_EXAMPLES", "100"))
NUMBERS = st.integers(-(10**30), 10**30) | st.integers(0, 5000) | st.floats()
DATES = st.dates() | st.datetimes() | st.sampled_from(["2024-02-30", "20240101", "0001-01-01", "9999-12-31", 99991231])
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["table", "ga4", "time", "last_n", "ordinal", "median", "1", "-1", "", "~"]
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | DATES
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3))


def trees(model):
    """Return a strategy for dotted keys of a model, and a few others, with any values."""
    keys = st.sampled_from([*keys_of(model), *model.model_fields, "targets_dir", "source.content_column", "other"])
    return st.dictionaries(keys, VALUES, max_size=6)


def nested(flat):
    tree = {}
    for dotted, value in flat.items():
        section, _, key = dotted.rpartition(".")
        branch = tree.setdefault(section, {}) if section else tree
        if isinstance(branch, dict):
            branch[key] = value
    return tree


def loads_or_is_refused_in_one_line(load, path, *overrides):
    try:
        load(str(path), *overrides)
    except UserError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "config.yaml"


@settings(max_examples=EXAMPLES, deadline=None)
@given(flat=trees(Settings), overrides=trees(Settings))
def test_any_values(path, flat, overrides):
    path.write_text(yaml.safe_dump(nested(flat), allow_unicode=True), encoding="utf-8")
    loads_or_is_refused_in_one_line(load_settings, path, overrides)


@settings(max_examples=EXAMPLES, deadline=None)
@given(flat=trees(SearchSettings))
def test_any_values_of_a_search(path, flat):
    path.write_text(yaml.safe_dump(nested(flat), allow_unicode=True), encoding="utf-8")
    loads_or_is_refused_in_one_line(load_search, path)


WORDS = [
    "source",
    "training",
    "seed",
    ":",
    " ",
    "\n",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a",
    "*a",
    "<<",
    "!!int",
    "2024-02-30",
    "'",
    "?",
]


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    data=st.binary(max_size=60)
    | st.lists(st.sampled_from(WORDS), max_size=30).map(lambda words: "".join(words).encode())
)
def test_any_bytes(path, data):
    path.write_bytes(data)
    loads_or_is_refused_in_one_line(load_settings, path)
    loads_or_is_refused_in_one_line(load_search, path)
