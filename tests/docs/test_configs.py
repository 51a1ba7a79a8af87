"""Each YAML that a page prints is a config that the commands take."""

from __future__ import annotations

import re

import pytest
import yaml

from configs.settings import load_settings, resolve
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
