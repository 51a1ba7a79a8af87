"""Verdicts: what is said of two systems whose intervals are known."""

import pytest

from trainer.evaluation import verdicts
from trainer.evaluation.intervals import Cell
from trainer.evaluation.verdicts import Comparison

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
    found = verdicts.of("item kNN", comparison(recall, ndcg), {}, BOTH, 0.95)
    assert (found.verdict, found.weak_spots) == (verdict, [])
    assert found.summary.startswith(opening)


def test_a_summary_has_both_values_and_the_paired_interval():
    found = verdicts.of("item kNN", comparison(BETTER, EITHER), {}, BOTH[:1], 0.9)
    assert found.summary == "better than item kNN: recall@5 0.200 vs 0.160 (+0.040, 90 % CI +0.020 to +0.060)"


def test_a_group_for_whom_the_other_is_better_is_a_weak_spot():
    groups = {
        "1": (400, comparison(BETTER, WORSE)),
        "2-5": (400, comparison(EITHER, EITHER)),
        "6-20": (verdicts.LEAST - 1, comparison(WORSE, WORSE)),
        "21+": (verdicts.LEAST, comparison(WORSE, BETTER)),
    }
    found = verdicts.of("item kNN", comparison(BETTER, BETTER), groups, BOTH, 0.95)
    assert found.verdict == "ahead"
    assert [spot.partition(":")[0] for spot in found.weak_spots] == [
        "visitors with 1 item (400)",
        "visitors with 21+ items (100)",
    ]
    assert "item kNN is better, recall@5 0.200 vs 0.160 (+0.040" in found.weak_spots[0]
