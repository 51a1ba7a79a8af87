"""The figures of a run, and the expressions of the dashboard and of the alert rules that read them."""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scipy.spatial.distance import jensenshannon

from nightly.runs import figures

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"


def test_figures_of_a_run_as_a_line_and_as_prometheus_reads_them(site, tmp_path):
    site.configure(textfile=str(tmp_path / "wals.prom"), outcome_nights=2)
    for number in (2, 3):
        assert site.run(site.day(number)) == 0
    lines = [json.loads(line) for line in Path(site.nights.figures).read_text().splitlines()]
    assert [(line["name"], line["status"]) for line in lines] == [
        ("2024-01-03.1", "promoted"),
        ("2024-01-04.1", "promoted"),
    ]
    last = lines[-1]
    assert (last["interactions"], last["rows_rejected"], last["loss"], last["warm_start"]) == (9, 1, 12.5, True)
    assert "online" not in lines[0] and last["online"]["ctr"] == {"value": 0.1, "low": 0.05, "high": 0.2}
    assert (last["exposures"], last["clicks"], last["outcome_warnings"]) == (10, 1, 1)
    assert last["split_mismatch"] == 0.0004
    assert last["quality"] == {"recall@20": 0.25, "coverage@20": 0.5}
    assert 0 < last["rating_drift"] < 0.1 and 0 < last["item_drift"] < 0.1
    text = (tmp_path / "wals.prom").read_text()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["wals_nightly_quality", "recall@20"] == 0.25
    assert samples["wals_nightly_online", "ctr"] == 0.1 and samples["wals_nightly_online_low", "ctr"] == 0.05
    assert samples["wals_nightly_online", "hit_rate_gain@10"] == 0.1 and samples["wals_nightly_exposures",] == 10
    assert samples["wals_nightly_rejected", "records.malformed"] == 1
    assert samples["wals_nightly_status", "promoted"] == 1 and samples["wals_nightly_status", "failed"] == 0
    end = datetime.datetime(2024, 1, 5, tzinfo=datetime.UTC).timestamp()
    assert samples["wals_nightly_live_data_timestamp_seconds",] == end


def test_a_night_without_the_package_of_prometheus_goes_live_and_says_what_is_missing(
    site, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    site.configure(textfile=str(tmp_path / "wals.prom"))
    assert site.run(site.day(2)) == 0 and site.live == "2024-01-03.1"
    assert "prometheus_client is not installed" in capsys.readouterr().out
    assert json.loads(Path(site.nights.figures).read_text())["status"] == "promoted"


def test_drift_is_the_divergence_that_scipy_computes():
    rng = np.random.default_rng(3)
    one, other = ({str(place): float(count) for place, count in enumerate(rng.integers(0, 9, 20))} for _ in "ab")
    expected = jensenshannon(list(one.values()), list(other.values()), base=2) ** 2
    assert figures.divergence(one, other) == pytest.approx(expected)
    assert figures.divergence({"a": 1, "b": 3}, {"a": 10, "b": 30}) == pytest.approx(0, abs=1e-12)
    assert figures.divergence({"a": 5}, {"b": 1}) == 1 and figures.divergence({}, {"a": 1}) is None


def expressions() -> dict[str, str]:
    """Return the expressions of the dashboard's panels and of the rules, by their names."""
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    found = {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel["targets"]}
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return found | {rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_the_dashboard_and_the_rules_ask_for_what_there_is(site, tmp_path):
    site.configure(textfile=str(tmp_path / "wals.prom"), outcome_nights=2)
    for number in (2, 3):
        assert site.run(site.day(number)) == 0
    families = text_string_to_metric_families((tmp_path / "wals.prom").read_text())
    there = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    asked = set()
    for name, expression in expressions().items():
        selectors = re.findall(r"(wals_nightly_\w+)(?:\{(\w+)[=!~]+\"[^\"]*\"\})?", expression)
        assert selectors, name
        for metric, label in selectors:
            assert metric in there and (not label or label in there[metric]), f"{name}: {metric} {label}"
            asked.add(metric)
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    assert there.keys() - asked <= {"wals_nightly_sweeps", "wals_nightly_recommendations"}, "nothing goes unseen"
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})


def test_statuses_that_the_rules_know_are_those_of_a_run():
    source = figures.to_text({"time": "2024-01-01", "status": "failed", "live": None, "seconds": {}, "quality": {}})
    known = re.findall(r'status="([^"]+)"', source.decode())
    asked = re.findall(r'status="([^"]+)"', " ".join(expressions().values()))
    assert asked and set(asked) <= set(known)
