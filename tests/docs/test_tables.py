"""The tables of the documentation and the JSON files they are written from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
sys.path.append(str(ROOT / "docs"))

import tables  # noqa: E402 - docs is not a package


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_marked_table_is_the_one_of_its_json(page):
    text = page.read_text(encoding="utf-8")
    assert tables.rewritten(text) == text, "run: python docs/generate.py"


def test_a_changed_figure_changes_the_table():
    shown = "<!-- table: wals_spark -->\n| old |\n<!-- end of table -->"
    assert "MLlib" in tables.rewritten(shown) and "old" not in tables.rewritten(shown)


def test_each_results_file_names_its_command_and_machine_and_is_shown():
    shown = {name for page in PAGES for name in tables.MARKED.findall(page.read_text(encoding="utf-8"))}
    assert {name for _, name, _ in shown} == set(tables.TABLES)
    for path in tables.RESULTS.glob("*.json"):
        assert {"command", "machine", "finished"} <= tables.results(path.stem).keys(), path.name


@pytest.mark.parametrize("name", ["defaults", "segments", "minimal", "comparators", "gowalla_hold_outs", "ideas",
                                  "validation", "wals_quality", "neighbourhood", "few_items", "signal_strength",
                                  "scales"])  # fmt: skip
def test_a_table_of_quality_has_its_seed_and_the_number_of_looks_at_test(name):
    assert {"seed", "looks_at_test"} <= tables.results(name).keys()


def test_each_row_of_gowalla_has_the_number_of_looks_at_test():
    assert all(row["looks_at_test"] for row in tables.results("gowalla")["rows"])


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_no_line_of_prose_is_over_120_columns(page):
    fenced, long = False, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if len(line) > 120 and not fenced and not line.startswith(("|", "<!--")):
            long.append(number)
    assert not long
