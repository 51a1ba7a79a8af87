"""Verdicts: what is said of two systems whose intervals are known."""

import pytest

from trainer.evaluation import verdicts
from trainer.evaluation.intervals import Cell
from trainer.evaluation.verdicts import Comparison, Group

BOTH = ("recall@5", "ndcg@5")


def comparison(recall, ndcg):
    """Return a comparison with these paired intervals (low, high) of both metrics."""
    differences = {
        name: Cell((low + high) / 2, low, high) for name, (low, high) in zip(BOTH, (recall, ndcg), strict=True)
    }
    ours = {name: Cell(0.2, 0.17, 0.23) for name in BOTH}
    theirs = {name: Cell(0.2 - differences[name].value, 0.0, 1.0) for name in BOTH}
    return Comparison(ours, theirs, differences)


BETTER, WORSE, EITHER = (0.02, 0.06), (-0.08, -0.02), (-0.03, 0.01)


@pytest.mark.parametrize(
    ("recall", "ndcg", "verdict", "opening"),
    [
        (BETTER, BETTER, "ahead", "better than item kNN: "),
        (BETTER, EITHER, "ahead", "better than item kNN: "),
        (EITHER, EITHER, "no significant difference", "no significant difference from item kNN: "),
        (EITHER, WORSE, "behind", "worse than item kNN: "),
        (BETTER, WORSE, "behind", "worse than item kNN: "),  # whatever recall is
    ],
)
def test_a_significantly_worse_headline_metric_decides(recall, ndcg, verdict, opening):
    found = verdicts.of("item kNN", comparison(recall, ndcg), [], [], BOTH, 0.95)
    assert (found.verdict, found.weak_spots, found.trade_offs) == (verdict, [], [])
    assert found.summary.startswith(opening)


def test_a_summary_has_both_values_and_the_paired_interval():
    found = verdicts.of("item kNN", comparison(BETTER, EITHER), [], [], BOTH[:1], 0.9)
    assert found.summary == "better than item kNN: recall@5 0.200 vs 0.160 (+0.040, 90 % CI +0.020 to +0.060)"


def test_a_group_for_whom_the_other_is_better_is_a_weak_spot_and_has_advice():
    groups = [
        Group("visitors with 1 item", 400, comparison(BETTER, WORSE), "; try this"),
        Group("visitors with 2-5 items", 400, comparison(EITHER, EITHER)),
        Group("visitors with 6-20 items", verdicts.LEAST - 1, comparison(WORSE, WORSE)),
        Group("visitors with 21+ items", verdicts.LEAST, comparison(WORSE, BETTER)),
    ]
    held_out = [Group("held-out items of the middle third", 150, comparison(WORSE, EITHER))]
    found = verdicts.of("item kNN", comparison(BETTER, BETTER), groups, held_out, BOTH, 0.95)
    assert found.verdict == "ahead"
    assert [spot.partition(":")[0] for spot in found.weak_spots] == [
        "visitors with 1 item (400)",
        "visitors with 21+ items (100)",
    ]
    assert "item kNN is better, recall@5 0.200 vs 0.160 (+0.040" in found.weak_spots[0]
    assert found.weak_spots[0].endswith("; try this")
    assert [spot.partition(":")[0] for spot in found.trade_offs] == ["held-out items of the middle third (150)"]
    assert found.comparisons == 2 * 4
    chance = verdicts.by_chance([found] * 10, 0.95)
    assert chance and chance.startswith("each of 80 comparisons of groups") and "about 2.0 of them" in chance


def test_nothing_is_said_of_chance_where_nothing_is_behind():
    groups = [Group("visitors with 1 item", 400, comparison(BETTER, EITHER))]
    found = verdicts.of("item kNN", comparison(BETTER, BETTER), groups, [], BOTH, 0.95)
    assert found.comparisons == 2 and verdicts.by_chance([found], 0.95) is None


def test_advice_fits_the_system_and_the_model():
    assert "neighbourhood.gamma=auto" in verdicts.for_visitors("item kNN", 0.0)
    assert "wals tune" in verdicts.for_visitors("item kNN", 0.2)
    assert "wals tune" in verdicts.for_visitors("popularity", 0.0)
    assert verdicts.for_visitors("WALS of data/before", 0.0) == ""
    assert "lower training.col_weights_exponent" in verdicts.for_held_out("the most popular third")
    assert "raise training.col_weights_exponent" in verdicts.for_held_out("the least popular third")
    assert verdicts.for_held_out("category news") == ""
