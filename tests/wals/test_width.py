"""Tables at 80 columns: no line is longer, and no interval or figure is cut or continued on another line."""

from __future__ import annotations

import re
from types import SimpleNamespace

import optuna
import pytest
from rich.console import Console

from configs import tables
from configs.settings.search import load_search
from pipeline.dataset import display as dataset_display
from tests.support.documents import ROOT
from trainer.evaluation import baselines, display
from trainer.evaluation.evaluation import ByGroup, Evaluation
from trainer.evaluation.gate import Rule
from trainer.evaluation.intervals import Cell
from trainer.evaluation.metrics import USER_METRICS
from trainer.evaluation.segments import AGED, HAVE, HELD_OUT
from trainer.hidden_items import display as items_display
from trainer.hidden_visitors import display as visitors_display
from trainer.tuning import display as tuning_display
from trainer.tuning.worker import BASELINE, PASSES, SECONDS
from wals import runs

AGAINST = "WALS of gs://a-bucket-with-a-long-name/recommendations/nights/2024-01-06/model"
INTERVAL = re.compile(r"[-+]?0\.\d{3} to [-+]?0\.\d{3}")


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def lines_of(capsys) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    assert lines and max(map(len, lines)) <= 80, max(lines, key=len)
    assert "…" not in "".join(lines)
    return lines


def cells(*names: str, sign: float = 1) -> dict[str, Cell]:
    return {name: Cell(sign * 0.2345, *sorted((sign * 0.1234, sign * 0.3456))) for name in names}


def evaluation() -> Evaluation:
    """Return one of four systems and another model, with groups of long names."""
    names = [f"{metric}@{k}" for metric in (*USER_METRICS, "novelty", "ils", "coverage", "gini") for k in (5, 10, 100)]
    others = [baselines.POPULAR, baselines.RECENT, baselines.KNN, AGAINST]
    groups = [
        kind + group for kind in (HAVE, HELD_OUT) for group in ("the most popular third", "category " + "Wu" * 20)
    ]
    groups += [AGED + "7 to 28 days old"]

    def of(groups: list[str]) -> ByGroup:
        inside = {name: {group: cells(*names) for group in groups} for name in (baselines.WALS, *others)}
        paired = {name: {group: cells(*names, sign=-1) for group in groups} for name in others}
        return ByGroup(dict.fromkeys(groups, 1_234_567), inside, paired)

    return Evaluation(
        users=12_345_678,
        pairs=123_456_789,
        cells={name: cells(*names) for name in (baselines.WALS, *others)},
        differences={name: cells(*names, sign=-1) for name in others},
        by_activity=of(["1", "21+"]),
        by_segment=of(groups),
        overlap={"overlap@100": Cell(0.5, 0.4, 0.6)},
        against=AGAINST,
        about={
            "model": {"root": "gs://a-bucket-with-a-long-name/recommendations/model", "gamma": 0.0},
            "dataset": {"split": {"kind": "last_n"}},
            "settings": {"confidence": 0.95, "k": [5, 10, 100], "headline": ["recall", "ndcg"]},
            "left_out": {"visitors without anything held out": 5, "held-out pairs already in train": 4},
        },
    )


def test_an_evaluation(capsys):
    result = evaluation()
    display.show(
        result, [Rule("recall@100>=0.9", passed=False, value=0.2, short_by=0.7, summary="recall@100 is 0.2 [0.1, 0.3]")]
    )
    lines = lines_of(capsys)
    text = " ".join(" ".join(lines).split())
    assert all(verdict.summary in text for verdict in result.verdicts)
    groups = [line for line in lines if "1,234,567" in line and " vs " not in line]
    rows = len(result.by_activity.users) + len(result.by_segment.users)
    assert len([line for line in groups if INTERVAL.search(line) and "0.234" in line]) == rows
    assert [line for line in lines if line.startswith("precision@100 ")]


def test_hidden_items_and_visitors(capsys):
    systems = {name: cells("recall@100", "ndcg@100") for name in ("attributes", "without attributes", "popularity")}
    minus = {name: cells("recall@100", "ndcg@100", sign=-1) for name in systems}
    lists = dict.fromkeys(("hidden", "11 and more"), systems)
    found = SimpleNamespace(items=12, among_new=systems, one_list=lists, known_alone=minus, reach=1234.0)
    items_display.show(found, 100)
    assert len(INTERVAL.findall("\n".join(lines_of(capsys)))) == 2 * (3 + 2 * 3 + 3)
    after = SimpleNamespace(visitors=12, pairs=34, systems=systems, over_popularity=minus, after_one_view=systems)
    after.gain_after_one_view = minus["popularity"]
    visitors_display.show(after, 100)
    assert len(INTERVAL.findall("\n".join(lines_of(capsys)))) == 2 * (3 + 3 + 3 + 1)


def test_a_search(capsys):
    search = load_search(str(ROOT / "configs" / "search.yaml"))
    trials = []
    for number in range(3):
        params = dict.fromkeys(search.space, 0.123456) | {
            "training.embedding_dimension": 256,
            "rating.kind": "median",
        }
        attributes = {PASSES: 20, SECONDS: 1234.56, BASELINE: number == 1}
        trials.append(optuna.trial.create_trial(value=0.1, user_attrs=attributes, params=params, distributions={
            key: optuna.distributions.CategoricalDistribution([value]) for key, value in params.items()
        }))  # fmt: skip
    tuning_display.summary("data/model-tuning [best]", trials, search, {"trials": 3})
    lines = lines_of(capsys)
    assert len([line for line in lines if "1234.6 s" in line and "median" in line]) == 3


def test_runs(capsys):
    run = runs.Run(
        path="gs://a-bucket-with-a-long-name/recommendations/nights/runs/2024-01-06/1/model",
        kind="model",
        date="2024-01-06T01:02",
        bytes=10**9,
        counts="1,234,567 x 123,456, 128 dimensions",
        metric="recall@20 0.2500, ndcg@20 0.1250",
        settings=" ".join(f"training.setting_{number}={number / 7}" for number in range(9)),
    )
    runs.show([run, run])
    lines = lines_of(capsys)
    assert "".join("".join(lines).split()).count("recall@200.2500,ndcg@200.1250") == 2


def test_a_comparison_of_datasets(capsys):
    counts = dict.fromkeys(("users", "items", "interactions", "median"), (123456789, 234567890))
    dataset_display.show_comparison(SimpleNamespace(baseline="data/nights/" + "long/" * 11, **counts))
    assert len([line for line in lines_of(capsys) if line.endswith("+90.0%")]) == 4


def test_a_log_has_a_sentence_in_one_line(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    tables.say(Console(width=80), "word " * 40)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_path_longer_than_the_screen_stays_whole(capsys):
    path = "/data/" + "long/" * 20
    tables.say(Console(width=80), f"{path}: dataset")
    assert capsys.readouterr().out.splitlines() == [f"{path}:", "  dataset"]
