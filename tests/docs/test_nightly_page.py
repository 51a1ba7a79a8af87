"""The page on nights names the settings that repeat a step, all of them and no others."""

from __future__ import annotations

import re

import pytest

from nightly.steps.commands import STEPS
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (\w+) \| (`.*) \|$", PAGE.partition("| settings that repeat it |")[2], re.MULTILINE))


@pytest.mark.parametrize(
    "step", [step for step in STEPS if not step.name.startswith("refit")], ids=lambda step: step.name
)
def test_a_step_is_repeated_by_the_settings_of_its_row(step):
    without_exceptions = re.sub(r"\(.*?\)", "", ROWS[step.name])
    assert set(re.findall(r"`(.*?)`", without_exceptions)) == step.settings
