"""Predictions and exports that do not go together, odd tags, and several versions: one line each, or counted."""

from __future__ import annotations

import gzip
import json

import pytest

from artifacts.manifests import DatasetManifest
from artifacts.paths import Dataset
from configs import cli
from configs.errors import UserError
from pipeline import outcome as command
from pipeline.demo.lists.deeds import List
from tests.support import manifests
from tests.support.exports import PLAIN_RUNNER
from tests.support.outcomes import (
    NAME,
    event,
    measured,
    ms,
    settings,
    shown,
    write_export,
    write_predictions,
    write_world,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset with recommendations; each test writes its own export."""
    place = tmp_path_factory.mktemp("odd")
    write_world(place, visitors=12, items=10, length=3)
    return place


@pytest.fixture(scope="module")
def lists(root):
    text = (root / "predictions" / "predictions-00000-of-00001.jsonl").read_text()
    return {
        row["visitorId"]: [one["contentId"] for one in row["recommendations"]]
        for row in map(json.loads, text.splitlines())
    }


def of(root, tmp_path, events, **outcome):
    """Return settings for the recommendations of `root` and an export by hand."""
    write_export(tmp_path, events)
    return settings(root, **{"input": str(tmp_path / "export" / "events_*"), **outcome})


def refused(made) -> str:
    with pytest.raises(UserError) as error:
        command.outcome(made, [], True)
    assert "\n" not in str(error.value)
    return str(error.value)


def seen(visitor, item, time_ms=None):
    return event(visitor, "view_item", time_ms or ms(2), {"item_id": item})


def test_an_export_of_other_days(root, tmp_path):
    said = refused(of(root, tmp_path, [seen("v0", "c1", ms(1, 1))]))
    assert "has nothing of 2024-01-01 to 2024-01-08" in said and "it has 20240101 to 20240101" in said
    later = of(root, tmp_path, [seen("v0", "c1", ms(25))], input=str(tmp_path / "export" / "*0125.ndjson"))
    said = refused(later)
    assert said.startswith("no file of ") and "they are of 2024-01-25" in said


def test_an_export_of_other_visitors(root, tmp_path):
    said = refused(of(root, tmp_path, [seen("x1", "c1"), seen("x2", "c2")]))
    assert said.startswith("none of the 2 visitors") and "hashed with another key" in said and "x1" not in said


def test_ids_that_are_hashed_with_another_key(root, tmp_path, monkeypatch):
    monkeypatch.setenv("WALS_TEST_KEY", "0123456789abcdef")
    made = of(root, tmp_path, [seen("v0", "c1")])
    hashed = made.model_copy(update={"privacy": made.privacy.model_copy(update={"hash_key_env": "WALS_TEST_KEY"})})
    assert "hashed with another key, or with none" in refused(hashed)


def test_a_dataset_that_the_predictions_are_not_from(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    manifests.dataset_manifest(7).write(f"{other}/manifest.json")
    made = of(root, tmp_path, [seen("v0", "c1")], datasets=(str(other),))
    assert f"is not from {other}; name its dataset with outcome.datasets" in refused(made)


def test_predictions_of_another_kind_or_without_rules(root, tmp_path):
    fingerprint = DatasetManifest.read(Dataset(str(root / "dataset")).manifest).fingerprint()
    for fields, said in (
        ({"kind": "audiences"}, "has audiences; name a directory of recommendations"),
        ({}, "has neither Parquet nor JSON lines; predict with one in prediction.formats"),
    ):
        other = tmp_path / (fields.get("kind") or "text")
        other.mkdir()
        manifests.predictions_manifest(dataset_fingerprint=fingerprint, **fields).write(f"{other}/manifest.json")
        assert said in refused(of(root, tmp_path, [seen("v0", "c1")], predictions=(str(other),)))


def test_a_line_that_is_not_a_prediction(root, tmp_path):
    dataset = Dataset(str(root / "dataset"))
    write_predictions(tmp_path / "damaged", [], dataset, 3)
    (tmp_path / "damaged" / "predictions-00000-of-00001.jsonl").write_text('{"visitorId": "v0"}\n')
    said = refused(of(root, tmp_path, [seen("v0", "c1")], predictions=(str(tmp_path / "damaged"),)))
    assert "has a line that is not a prediction; predict again" in said


def test_a_list_that_never_occurs(root, tmp_path, lists):
    events = [seen("v0", lists["v0"][0]), event("v0", "view_item_list", ms(2), shown("c1", 1, "Home"))]
    manifest, figures = measured(of(root, tmp_path, events, list_name="Nothing"))
    (warning,) = manifest.warnings
    assert warning.startswith("the list Nothing does not occur in the export, whose lists are Home;")
    assert figures.versions["monday"].tracked is None
    assert figures.versions["monday"].next_days.whole.metrics["hit_rate@1"].live.value == 1
    assert {name: (one.exposures, one.clicks) for name, one in manifest.lists.items()} == {"Home": (1, 0)}


def test_exposures_without_clicks_and_clicks_without_exposures(root, tmp_path, lists):
    item = lists["v0"][0]
    exposure = event("v0", "view_item_list", ms(2), shown(item, 1))
    click = event("v0", "select_item", ms(2, 2), shown(item))
    manifest, _ = measured(of(root, tmp_path, [seen("v0", item), exposure]))
    assert any(line.startswith("no click on 1 exposure in") for line in manifest.warnings)
    manifest, figures = measured(of(root, tmp_path, [seen("v0", item), click]))
    assert any("have no exposures" in line for line in manifest.warnings) and figures.versions["monday"].tracked is None
    assert manifest.excluded["lists.skipped.click_without_exposure"] == 1
    manifest, figures = measured(of(root, tmp_path, [seen("v0", item), exposure, click]))
    assert figures.versions["monday"].tracked.whole.clicks == 0, "two hours later"
    assert "left out 1 click without an exposure of the same item before" in manifest.warnings
    _, figures = measured(of(root, tmp_path, [seen("v0", item), exposure, click], click_hours=2))
    assert figures.versions["monday"].tracked.whole.clicks == 1


def test_exposures_that_are_sent_twice_and_bots(root, tmp_path, lists):
    items = lists["v0"]
    exposure = event("v0", "view_item_list", ms(2), *[shown(item, rank) for rank, item in enumerate(items, 1)])
    bot = [event("v1", "view_item_list", ms(2, hour), shown(lists["v1"][0], 1)) for hour in range(9)]
    events = [exposure, exposure, *bot, seen("v0", items[0]), seen("v1", lists["v1"][0])]
    manifest, figures = measured(of(root, tmp_path, events, max_exposures_a_day=8))
    assert any("left out 3 exposures that the site sent again" in line for line in manifest.warnings)
    assert "left out 1 visitor as bots, with 9 list events" in manifest.warnings
    assert manifest.excluded["lists.skipped.duplicate_exposure"] == 3 and manifest.excluded["lists.skipped.bot"] == 9
    assert manifest.excluded["visitors.skipped.bot"] == manifest.excluded["views.skipped.bot"] == 1
    whole = figures.versions["monday"]
    assert whole.tracked.whole.exposures == 3 and whole.next_days.active == 1


def test_a_later_version_and_one_that_was_rolled_back(root, tmp_path, lists):
    """The time tells which lists were live; a version that the site sends wins."""
    dataset = Dataset(str(root / "dataset"))
    new = [List(visitor, "factors", items[::-1]) for visitor, items in lists.items()]
    write_predictions(
        tmp_path / "tuesday", new, dataset, 3, run_time="2024-01-03T00:00:00+00:00", model_version="tuesday"
    )
    item = lists["v0"][0]
    rows = [
        event("v0", "view_item_list", ms(2), shown(item), version="monday"),
        event("v0", "view_item_list", ms(4), shown(item), version="tuesday"),
        event("v0", "view_item_list", ms(5), shown(item), version="monday"),
        event("v0", "view_item_list", ms(5, 1), shown(item), version="sunday"),
        event("v0", "view_item_list", ms(6), shown(item)),
        seen("v0", item, ms(2)),
        seen("v0", lists["v0"][1], ms(4)),
    ]
    both = (str(root / "predictions"), str(tmp_path / "tuesday"))
    manifest, figures = measured(of(root, tmp_path, rows, predictions=both))
    monday, tuesday = (figures.versions[name] for name in ("monday", "tuesday"))
    assert (monday.tracked.whole.exposures, tuesday.tracked.whole.exposures) == (1, 4)
    assert list(monday.tracked.by_rank) == ["01"] and list(tuesday.tracked.by_rank) == ["03"], "their ranks then"
    assert (monday.next_days.pairs, tuesday.next_days.pairs) == (1, 1)
    assert (figures.together.tracked.whole.exposures, figures.together.next_days.pairs) == (5, 2)
    assert [group.exposures for group in figures.together.tracked.by_day.values()] == [1, 1, 2, 1]
    assert [run.live_until for run in manifest.runs] == ["2024-01-03T00:00:00+00:00", "2024-01-10T00:00:00+00:00"]
    manifest, figures = measured(of(root, tmp_path, rows, predictions=both, version_field="param.version"))
    assert [figures.versions[name].tracked.whole.exposures for name in ("monday", "tuesday")] == [2, 2]
    assert manifest.excluded["lists.skipped.version_not_in_predictions"] == 1
    assert any("left out 1 exposure of versions that are not" in line for line in manifest.warnings)
    assert any(line.startswith("1 exposure of an older version") for line in manifest.warnings)
    assert "have the same run_time" in refused(of(root, tmp_path, rows, predictions=(both[0], both[0])))


def test_positions_that_begin_with_0_and_none(root, tmp_path, lists):
    """Without a position, the rank is that of the predictions."""
    first, second, third = lists["v0"]
    rows = [event("v0", "view_item_list", ms(2), shown(third, 0), shown(second), shown("c-other"))]
    manifest, figures = measured(of(root, tmp_path, [*rows, seen("v0", first)], first_position=0))
    assert list(figures.versions["monday"].tracked.by_rank) == ["01", "02", "unknown"]
    assert manifest.counts["lists.exposures_without_position"] == 2
    assert "1 of 3 exposures: items that were not in the visitor's list" in manifest.warnings


def test_items_of_another_site(root, tmp_path):
    """Its visitors may be known all the same, as they are if one property has two sites."""
    rows = [event("v0", "view_item_list", ms(2), shown("x1", 1), shown("x2", 2)), seen("v0", "x1")]
    manifest, figures = measured(of(root, tmp_path, rows))
    assert any(line.startswith("no item of 2 exposures was in its visitor's list;") for line in manifest.warnings)
    tracked = figures.versions["monday"].tracked
    assert list(tracked.by_rule) == ["not in the predictions"] and tracked.whole.exposures == 2


def test_attribution_to_the_exposure(root, tmp_path, lists):
    item = lists["v0"][0]
    rows = [
        event("v0", "view_item_list", ms(2), shown(item, 1)),
        event("v0", "purchase", ms(2, 20), {"item_id": item, "item_revenue": 4.0}),
        event("v0", "purchase", ms(2, 20), {"item_id": item, "item_revenue": 4.0}),  # sent twice
        event("v0", "purchase", ms(3, 20), {"item_id": item, "item_revenue": 4.0}),
    ]
    for touch, number in (("click", 0), ("exposure", 1)):
        manifest, figures = measured(of(root, tmp_path, rows, attribute_to=touch))
        due = figures.versions["monday"].tracked.due.get("purchases", {})
        assert sum(one.number for one in due.values()) == number
        assert manifest.excluded["lists.skipped.duplicate_purchases"] == 1
    (one,) = due.values()
    assert (one.value, one.per_touch.value) == (4, 1)


def test_dwell_is_due_to_a_click(root, tmp_path, lists):
    """The source is one whose signals are dwell; the item's id is in a parameter."""
    item, other = lists["v0"][:2]

    def read(name, time_ms, ms_engaged):
        row = event("v0", "user_engagement", time_ms, content_id=name)
        value = {"int_value": str(ms_engaged)}
        return row | {"event_params": [*row["event_params"], {"key": "engagement_time_msec", "value": value}]}

    rows = [
        event("v0", "view_item_list", ms(2), shown(item, 1), shown(other, 2)),
        event("v0", "select_item", ms(2, 0.1), shown(item)),
        read(item, ms(2, 0.2), 4000),
        read(item, ms(2, 0.3), 500),
        read(other, ms(2, 0.4), 9000),
    ]
    made = of(root, tmp_path, rows)
    source = made.source.model_copy(update={"preset": "ga4_articles"})
    _, figures = measured(made.model_copy(update={"source": source}))
    (one,) = figures.versions["monday"].tracked.due["dwell"].values()
    assert (one.number, one.value) == (2, 4500)
    assert figures.versions["monday"].next_days.pairs == 2


def test_the_command(root, tmp_path, lists, capsys):
    """Flags, a table of at most 80 columns, and the lists of the export."""
    item = lists["v0"][0]
    rows = [event("v0", "view_item_list", ms(2), shown(item, 1)), event("v0", "select_item", ms(2, 0.1), shown(item))]
    write_export(tmp_path, [*rows, seen("v0", item)])
    path = tmp_path / "export" / "events_20240102.ndjson"
    path.with_suffix(".ndjson.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    config = tmp_path / "c.yaml"
    runner = f"beam: {{runner: {PLAIN_RUNNER}}}"
    config.write_text(f"source: {{preset: ga4_shop}}\noutcome_dir: {tmp_path}/outcome\n{runner}\n")
    flags = ["--config", str(config), "--input", str(tmp_path / "export" / "events_*")]
    assert cli.run(command.main, [*flags, "--lists"]) == 0
    printed = capsys.readouterr().out
    assert NAME in printed and "1.0000" in printed and "exposures are of 1 visitor\n" in printed
    named = ["--list_name", NAME, "--predictions", str(root / "predictions"), "--datasets", str(root / "dataset")]
    assert cli.run(command.main, [*flags, *named]) == 0
    printed = capsys.readouterr().out
    assert "1 exposure, 1 click: CTR 1.0000" in printed and max(map(len, printed.splitlines())) <= 80
    assert cli.run(command.main, [*flags, *named]) == 2, "there is one already"
    assert "is not empty" in capsys.readouterr().err
    assert not list(tmp_path.glob("outcome.*")), "nothing is left next to the outcome"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"version_field": "version"}, "version_field version is not param.NAME of GA4 or dimension.N of GA360"),
        ({"version_field": "param.v", "list_name": None}, "version_field is of the events of a list; set list_name"),
    ],
)
def test_wrong_settings(root, tree, said):
    with pytest.raises(ValueError, match=said):
        settings(root, **tree)
