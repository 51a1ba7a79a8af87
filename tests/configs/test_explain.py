"""A preset spelled out means the same; --preset wins over the file's settings of items."""

import pytest
import yaml

from configs import cli
from configs.errors import UserError
from configs.explain import explain
from configs.settings import Settings, SourceSettings, load_settings
from configs.settings.signals import PRESETS
from pipeline import preprocess
from tests.support.documents import ROOT


def meaning(source: SourceSettings) -> tuple:
    return source.kind, source.all_signals, source.page_rules, source.item_attributes


@pytest.mark.parametrize(
    "given",
    [
        *({"preset": name} for name in PRESETS),
        {"kind": "ga4", "item_parameter": "page_location", "page": {"keep_parameters": ["id"], "pattern": "/(.*)"}},
        {"preset": "ga360_pages", "page": {"exclude": ["/cart", "ü"], "same_hosts": []}},
        {"preset": "ga4_pages", "page": {"exclude": []}},
        {"kind": "ga360", "item_dimension_index": 7},
        {"preset": "ga4_shop", "attributes": {"title": "items.item_name"}, "end_date": "2024-01-31",
         "signals": [{"event": ["a", "b"], "item": "param.x", "weight": -2, "half_life_days": 9},
                     {"event": "*", "item": "items.item_id", "amount": "quantity", "max_items": 3}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_printed_means_the_same_without_the_preset(given):
    source = SourceSettings(**given)
    printed = yaml.safe_load(explain(source))["source"]
    assert "preset" not in printed
    more = {"end_date": given["end_date"]} if "end_date" in given else {}
    assert meaning(SourceSettings(**printed, **more)) == meaning(source)


def test_a_table_has_no_signals():
    with pytest.raises(UserError, match="kind table has columns in place of signals"):
        explain(SourceSettings(kind="table"))


def test_the_command_prints_it_and_stops(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("source: {kind: ga360, input: none, item_dimension_index: 7}\n")
    preprocess.main(["--config", str(config), "--preset", "ga4_shop", "--explain_source"])
    printed = yaml.safe_load(capsys.readouterr().out)["source"]
    assert printed["kind"] == "ga4"
    assert printed["signals"][0] == {"event": "purchase", "item": "items.item_id", "weight": 10.0}
    assert printed["attributes"]["title"] == "items.item_name"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_the_command_line_wins_over_what_the_file_says_of_items(tmp_path, name):
    config = tmp_path / "config.yaml"
    config.write_text(
        "source:\n  kind: ga360\n  input: x\n  item_dimension_index: 7\n  item_parameter: y\n  preset: ga360_pages\n"
        "  signals: [{event: page, item: page}]\n  attributes: {title: page_title}\n  page: {exclude: [cart]}\n"
    )
    source = load_settings(str(config), {"source.preset": name}).source
    alone = SourceSettings(preset=name, page={"exclude": ["cart"]} if name.endswith("pages") else {})
    assert (meaning(source), source.input) == (meaning(alone), "x")
    assert load_settings(str(config)).source.preset == "ga360_pages"
    assert Settings().source.preset is None


def test_an_expression_that_re2_refuses_is_not_explained(tmp_path, capsys):
    flags = [
        "--config",
        str(ROOT / "configs/local.yaml"),
        "--preset",
        "ga4_pages",
        "--set",
        "source.page.pattern=/a/(?=x)(.*)",
        "--explain_source",
    ]
    assert cli.run(preprocess.main, flags) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: source.page.pattern") and err.count("\n") == 1
