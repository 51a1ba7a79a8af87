"""wals sample --after: days after predictions, whose truth their habits are; read by the preset that docs name."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from configs import cli
from pipeline import sample
from pipeline.demo.lists.habits import Habits, draw
from tests.support import samples
from tests.support.outcomes import measured, settings, write_world


def test_draws_are_as_the_habits_say():
    habits, rules = Habits(), ["factors", "popularity"] * 20_000
    draws = draw(habits, rules, 10, 2, np.random.default_rng(0))
    for number, rule in enumerate(("factors", "popularity")):
        shown = draws.comes[number::2].sum()
        ctr = draws.clicks[number::2].sum((0, 1)) / shown
        expected = [habits.ctr(rule, rank) for rank in range(1, 11)]
        assert ctr == pytest.approx(expected, abs=4 * np.sqrt(max(expected) / shown))
    assert draws.buys.sum() / draws.clicks.sum() == pytest.approx(habits.buys, abs=0.02)
    assert not (draws.buys & draws.buys_late).any() and not (draws.clicks & ~draws.comes[:, :, None]).any()


def test_days_after_predictions(tmp_path, capsys):
    lists = {one.visitor: one for one in write_world(tmp_path, visitors=40, items=20, length=3)}
    flags = ["--after", str(tmp_path / "predictions"), "--days", "2", "--list_name", "Ours", "--seed", "3"]
    for name in ("after", "again"):
        assert cli.run(sample.main, ["--output_dir", str(tmp_path / name), *flags]) == 0
    files = samples.items_of(tmp_path / "after")
    assert files == samples.items_of(tmp_path / "again"), "the same flags produce the same bytes"
    events = samples.lines(tmp_path / "after", "ga4_lists/events_*")
    counts = Counter(row["event_name"] for row in events)
    assert counts["view_item_list"] > 20 and counts["select_item"] > 3
    inventory = json.loads(files["sample.json"])
    numbers = [inventory.get(name, 0) for name in ("shown", "clicked", "viewed", "carted", "bought")]
    names = ("view_item_list", "select_item", "view_item", "add_to_cart", "purchase")
    assert numbers == [counts[name] for name in names] and inventory["habits"]["buys"] == Habits().buys
    found = [(row["event_date"], item["item_id"]) for row in events for item in row["items"]]
    new = [(day, item) for day, item in found if item.startswith("new-")]
    assert new and all(item.startswith(f"new-{day}-") for day, item in new)
    for row in events:
        if row["event_name"] == "view_item_list":
            assert [item["item_id"] for item in row["items"]] == lists[row["user_pseudo_id"]].items
    made = settings(
        tmp_path,
        input=str(tmp_path / "after" / "ga4_lists" / "events_*"),
        list_name="Ours",
        version_field="param.model_version",
    )
    _, outcome = measured(made)
    whole = outcome.versions["monday"].tracked.whole
    assert (whole.exposures, whole.clicks) == (3 * counts["view_item_list"], counts["select_item"])
    source = made.source.model_copy(update={"kind": "ga360", "preset": "ga360_shop"})
    options = {"input": str(tmp_path / "after" / "ga360_lists" / "ga_sessions_*"), "version_field": "dimension.20"}
    options = made.outcome.model_copy(update=options)
    manifest, of_sessions = measured(made.model_copy(update={"source": source, "outcome": options}))
    assert of_sessions == outcome, "both exports are of the same days"
    assert manifest.counts["purchases.read"] == counts["purchase"] > 0


def test_layouts_that_have_no_days_after(tmp_path, capsys):
    flags = ["--output_dir", str(tmp_path / "x"), "--after", str(tmp_path), "--layouts", "table"]
    assert cli.run(sample.main, flags) == 2
    assert "--layouts table: days after predictions have ga360 and ga4" in capsys.readouterr().err


def test_predictions_without_json_lines(tmp_path, capsys):
    assert cli.run(sample.main, ["--output_dir", str(tmp_path / "x"), "--after", str(tmp_path)]) == 2
    assert "is not a finished predictions" in capsys.readouterr().err
