"""Each YAML that a page prints is a config that the commands take."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pyarrow as pa
import pytest
import yaml

from configs import cli
from configs.settings import load_settings, resolve
from pipeline import preprocess
from pipeline.interactions.ratings import rate
from pipeline.sources.items.pages import PageRules
from tests.support import documents

CONFIGS = [
    pytest.param(text, id=f"{page.relative_to(documents.ROOT)}-{number}")
    for page in documents.pages()
    for number, text in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


def test_pages_have_configs():
    assert len(CONFIGS) >= 11


@pytest.mark.parametrize("text", CONFIGS)
def test_a_printed_config_is_one_that_the_commands_take(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a config names, such as the SQL of a query, is relative to it or made here
    (tmp_path / "views.sql").write_text("SELECT 1")
    (tmp_path / "wals.yaml").write_text(text)
    resolve(load_settings("wals.yaml"))


@pytest.mark.parametrize("text", [param for param in CONFIGS if param.id.startswith("docs/ga4")])
def test_a_printed_config_trains_the_model_of_a_source_alone(text):
    assert yaml.safe_load(text).keys().isdisjoint({"rating", "training", "neighbourhood"})


def test_the_weights_of_moving_are_those_of_the_other_library(tmp_path):
    """An entry weighs alpha there; here an observed one weighs w0 + R C, with C = 1 for the exponent 0."""
    (text,) = (param.values[0] for param in CONFIGS if param.id.startswith("docs/moving"))
    (tmp_path / "wals.yaml").write_text(text)
    training = load_settings(str(tmp_path / "wals.yaml")).training
    assert training.unobserved_weight + training.row_weights == 40 and training.col_weights_exponent == 0
    assert (training.regularization_coeff, training.frequency_exponent) == (0.05, 0)


def _printed(page, word, folder):
    """Return the settings of the YAML on a page that contains a word."""
    (text,) = (param.values[0] for param in CONFIGS if param.id.startswith(page) and word in param.values[0])
    (folder / "wals.yaml").write_text(text)
    return load_settings(str(folder / "wals.yaml"))


def test_the_config_that_ga4_keeps_makes_the_dataset_and_the_model_of_its_flags(tmp_path, monkeypatch):
    """The same settings train the same model, bit for bit; only the flags hold something out."""
    kept = resolve(_printed("docs/ga4", "min_dwell_ms", tmp_path))
    monkeypatch.chdir(documents.ROOT)
    commands = [words for block in documents.blocks(documents.ROOT / "docs/ga4.md") for words in block.commands()]
    (flags,) = (words[-1] for words in commands if "source.min_dwell_ms=3000" in words[-1])
    parser = cli.parser("wals preprocess", "")
    cli.add_flags(parser, preprocess._FLAGS, "a dataset that is")
    given = parser.parse_args(shlex.split(flags.removeprefix("ARGS=")))
    tried = resolve(cli.settings_with(given, preprocess._FLAGS))
    assert tried.split.kind == "last_n" and kept.dataset_dir == tried.dataset_dir
    for section in ("dataset", "rating", "item_features", "user_features", "training", "neighbourhood", "cold_start"):
        assert getattr(kept, section) == getattr(tried, section), section
    differ = {key for key, value in kept.source if value != getattr(tried.source, key)}
    assert differ <= {"preset", "item_dimension_index"}  # which names GA360's, and GA4 has none


def test_the_page_rules_of_ga4_do_what_the_comments_next_to_them_state(tmp_path):
    page = _printed("docs/ga4", "same_hosts", tmp_path).source.page
    rules = PageRules(page.model_copy(update={"pattern": None}))
    urls = ["https://www.example.com/a?id=7&utm_source=x", "https://amp.example.com/a?id=7", "https://example.com/",
            "https://example.com/search?q=1", "https://example.com/article/12?id=3"]  # fmt: skip
    assert rules.of(pa.array(urls)).ids.to_pylist() == [
        b"example.com/a?id=7", b"example.com/a?id=7", None, None, b"example.com/article/12?id=3"
    ]  # fmt: skip
    assert PageRules(page).of(pa.array(urls)).ids.to_pylist() == [None, None, None, None, b"12"]


def test_ten_views_are_a_rating_of_1_by_the_config_of_bigquery(tmp_path):
    settings = _printed("docs/bigquery", "ten views", tmp_path).rating
    assert rate(np.float32([10, 5]), None, settings) == pytest.approx([1, 0.5])
