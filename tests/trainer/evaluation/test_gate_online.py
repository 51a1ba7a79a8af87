"""Rules of the gate on what was live: the value or a limit of its interval, and what was not measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from artifacts.manifests.outcome import (
    Compared,
    Estimate,
    NextDays,
    Outcome,
    ShownGroup,
    Tracked,
    VersionOutcome,
    VisitorGroup,
)
from configs.errors import UserError
from trainer import evaluate
from trainer.evaluation import gate


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The figures of a written outcome, as the command reads them."""
    root = tmp_path_factory.mktemp("outcome")
    ctr, gain = Estimate(value=0.02, low=0.018, high=0.03), Estimate(value=0.1, low=-0.01, high=0.2)
    shown = ShownGroup(exposures=100, clicks=2, ctr=ctr)
    tracked = Tracked(whole=shown, by_rank={}, by_rule={}, by_category={}, by_age={}, due={})
    group = VisitorGroup(visitors=9, metrics={"hit_rate@10": Compared(live=ctr, popularity=ctr, difference=gain)})
    days = NextDays(visitors=9, active=9, pairs=9, whole=group)
    outcome = Outcome(confidence=0.95, together=VersionOutcome(next_days=days, tracked=tracked))
    (root / "outcome.json").write_text(outcome.model_dump_json())
    assert evaluate._online(None) == evaluate._online(str(root / "missing")) == {}
    return evaluate._online(str(root))


def rule_of(text, cells):
    (rule,) = gate.check(SimpleNamespace(cells={}), [gate.Requirement.parse(text)], [], {"online": cells})
    return rule


@pytest.mark.parametrize(
    ("text", "passed", "short"),
    [
        ("ctr[online]>=0.02", True, 0),
        ("ctr[online.low]>=0.02", False, 0.002),
        ("ctr[online.high]>=0.025", True, 0),
        ("hit_rate@10[online]<0.02", False, 0),
        ("hit_rate_gain@10[online]>0", True, 0),
        ("hit_rate_gain@10[online.low]>0", False, 0.01),
    ],
)
def test_a_rule_on_what_was_live(cells, text, passed, short):
    rule = rule_of(text, cells)
    assert rule.passed is passed and rule.short_by == pytest.approx(short)
    assert "[0.0180, 0.0300]" in rule.summary or "[-0.0100, 0.2000]" in rule.summary


def test_what_was_not_measured_is_not_required(cells):
    for text, there in (("ctr[online]>=0.5", {}), ("recall@50[online]>=0.5", cells)):
        rule = rule_of(text, there)
        assert rule.passed and rule.value is None and "was not measured" in rule.summary


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ctr@5[online]>=0.1", "write it as ctr[online]>=0.1"),
        ("hit_rate[online]>=0.1", "write it as hit_rate@20[online]>=0.1"),
        ("ndcg@5[online]>=0.1", "no metric ndcg (known: hit_rate, recall, hit_rate_gain, recall_gain, ctr)"),
        ("ctr>=0.1", "no metric ctr (known: precision"),
    ],
)
def test_wrong_rules(text, said):
    with pytest.raises(UserError) as error:
        gate.Requirement.parse(text)
    assert said in str(error.value)
