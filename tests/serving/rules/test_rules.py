"""Rules at request time: lists under them are those of plain Python over all scores, for each visitor."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from serving.models.engine.engine import Engine
from serving.rules.limits import LEFT_OUT, Limited, Limits, Rules
from tests.ranking.test_diversity import mmr_plainly
from tests.support.served import known_as

K = 6


def category_of(item: bytes) -> str:
    return known_as(item.decode("utf-8", "replace"))[1] or ""


class Plain:
    """The tables of the model as dense arrays, and its answers by plain Python."""

    def __init__(self, engine: Engine):
        content = self.content = engine._content
        self.visitors = content.visitor_ids.ids(np.arange(len(content.visitor_ids)))
        self.items = content.item_ids.ids(np.arange(len(content.item_ids))).tolist()
        self.categories = [category_of(name) for name in self.items]
        exact = content.users.rows.astype("d") @ content.items.rows.astype("d").T
        self.scores = exact.astype(np.float32)
        self.has = np.zeros(exact.shape, bool)
        histories = content.histories
        self.has[np.repeat(np.arange(len(histories)), histories.lengths), histories.indices] = True
        self.by_popularity = histories.lengths == 0
        self.scores[self.by_popularity] = content.popularity

    def answer(self, row: int, limits: Limits) -> list[bytes]:
        rules, left = limits.rules, []
        for item, name in enumerate(self.items):
            category = self.categories[item]
            if (
                (rules.include_seen or not self.has[row, item])
                and (limits.allow is None or name in limits.allow)
                and name not in limits.block
                and name not in rules.exclude
                and (not rules.categories or category in rules.categories)
                and category not in rules.without_categories
            ):
                left.append(item)
        scores = self.scores[row] if not rules.by_popularity else self.content.popularity
        order, taken = [], Counter()
        for item in sorted(left, key=lambda item: (-scores[item], item)):
            category = self.categories[item]
            if category and rules.max_per_category and taken[category] == rules.max_per_category:
                continue
            if rules.min_score is not None and not self._is_popular(row, rules) and scores[item] < rules.min_score:
                continue
            taken[category] += 1
            order.append(item)
        if rules.mmr_lambda is None:
            return [self.items[item] for item in order[:K]]
        order = np.array(order[: max(K, rules.candidates)], int)
        if not len(order):
            return []
        chosen = mmr_plainly(order, scores[order], self.content.items.rows, rules.mmr_lambda, K)
        return [self.items[item] for item in chosen]

    def _is_popular(self, row: int, rules: Rules) -> bool:
        return rules.by_popularity or bool(self.by_popularity[row])


@pytest.fixture(scope="module")
def engine(served_model):
    return Engine(str(served_model / "model" / "saved_model"))


@pytest.fixture(scope="module")
def plain(engine):
    return Plain(engine)


def of(engine, visitors, limits: Limits) -> tuple[list[list[bytes]], list[dict]]:
    inputs = {"visitorId": visitors, "k": np.array(K, np.int32)}
    outputs = engine.run("recommend", inputs, None, Limited(limits, category_of))
    lists = zip(outputs["contentIds"].tolist(), outputs["count"], strict=True)
    return [row[:count] for row, count in lists], outputs[LEFT_OUT].tolist()


SHELVES = ("Shelf 1", "Shelf 2")
EACH = {
    "seen": Rules(include_seen=True),
    "exclude": Rules(exclude=(b"c0", b"c7919", b"unknown")),
    "category": Rules(categories=SHELVES[:1]),
    "no category": Rules(without_categories=SHELVES),
    "cap": Rules(max_per_category=1),
    "least": Rules(min_score=2.0),
    "MMR": Rules(mmr_lambda=0.4, candidates=20),
    "popularity": Rules(by_popularity=True, mmr_lambda=0.4, candidates=15, max_per_category=2, exclude=(b"c0",)),
    "all": Rules(True, (b"c0",), SHELVES, SHELVES[1:], 4, -0.5, None, 0.7, 9),
    "more": Rules(False, (b"c7919",), (), SHELVES[1:], 2, 0.1, None, 0.2, 3),
}


@pytest.mark.parametrize("name", EACH)
def test_lists_are_exact_under_every_rule(engine, plain, name):
    rng = np.random.default_rng(3)
    listed = {
        part: frozenset(item for item in plain.items if rng.random() < share)
        for part, share in (("allow", 0.7), ("block", 0.2))
    }
    limits = Limits(EACH[name], **(listed if name in ("all", "more", "seen") else {}))
    lists, _ = of(engine, plain.visitors, limits)
    step = 1 if limits.rules.mmr_lambda is None else 5  # plain MMR takes long
    rows = range(0, len(plain.visitors), step)
    assert lists[::step] == [plain.answer(row, limits) for row in rows]


def test_what_is_left_out_is_counted_by_the_first_rule(engine, plain):
    """Together with what may be in an answer, the counts are all items."""
    allow, block = frozenset(plain.items[:100]), frozenset(plain.items[90:])
    limits = Limits(Rules(exclude=(plain.items[3], plain.items[95]), categories=SHELVES), allow, block)
    _, left_out = of(engine, plain.visitors, limits)
    for row in (1, 5, 77):
        kept = [item for item in range(90) if plain.categories[item] in SHELVES and item != 3]
        free = [item for item in kept if not plain.has[row, item]]
        assert left_out[row] == {
            "allow": len(plain.items) - 100,
            "block": 10,
            "category": 90 - len(kept) - (plain.categories[3] in SHELVES),
            "exclude": int(plain.categories[3] in SHELVES),
            "seen": len(kept) - len(free),
        }


def test_similar_items_follow_the_rules(engine, plain):
    rules = Rules(exclude=(plain.items[5],), categories=SHELVES, max_per_category=2, min_score=-0.2, candidates=12)
    inputs = {"contentId": np.array(plain.items, object), "k": np.array(4, np.int32)}
    outputs = engine.run("similar_items_dot", inputs, None, Limited(Limits(rules), category_of))
    table = plain.content.items.rows
    scores = (table.astype("d") @ table.astype("d").T).astype("f")
    for row in range(len(plain.items)):
        order, taken = [], Counter()
        for item in sorted(range(len(plain.items)), key=lambda item: (-scores[row, item], item)):
            category = plain.categories[item]
            if item in (row, 5) or category not in SHELVES or taken[category] == 2 or scores[row, item] < -0.2:
                continue
            taken[category] += 1
            order.append(plain.items[item])
        assert outputs["contentIds"][row, : outputs["count"][row]].tolist() == order[:4]


def test_answers_state_the_rules_and_what_they_left_out(world):
    query = "visitorId=v7919&k=5&exclude=c0&exclude=c7919&category=Shelf%201&maxPerCategory=3&lambda=0.5&candidates=30"
    answer = world.client.get(f"/recommendations?{query}").json()
    assert answer["rules"] == {
        "exclude": 2, "category": ["Shelf 1"], "maxPerCategory": 3, "lambda": 0.5, "candidates": 30
    }  # fmt: skip
    assert {entry["category"] for entry in answer["recommendations"]} == {"Shelf 1"}
    assert len(answer["recommendations"]) == 3 and set(answer["leftOut"]) == {"category", "exclude", "seen"}
    nothing = world.client.get("/recommendations?visitorId=v7919&category=Nowhere&minScore=3").json()
    assert nothing["recommendations"] == [] and nothing["leftOut"]["category"] == 160
    plainly = world.client.get("/recommendations?visitorId=v7919").json()
    assert not {"rules", "leftOut"} & set(plainly)
    same = world.client.get("/recommendations?visitorId=v7919&lambda=1").json()
    assert same["recommendations"] == plainly["recommendations"]
    alike = world.client.get("/similar_items?contentId=c7919&excludeCategory=Shelf%201&lambda=0.3").json()
    assert alike["rules"]["excludeCategory"] == ["Shelf 1"] and alike["leftOut"]["excludeCategory"] > 40
    assert "Shelf 1" not in {entry.get("category") for entry in alike["similar_items"]}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("lambda=1.01", "lambda must be less than or equal to 1"),
        ("lambda=-0.1", "lambda must be greater than or equal to 0"),
        ("lambda=nan", "lambda must be a finite number"),
        ("lambda=0.1&lambda=0.2", "give lambda once"),
        ("lambda=x", "lambda must be a valid number"),
        ("candidates=1001", "candidates must be less"),
        ("minScore=inf", "minScore must be a finite"),
        ("maxAgeDays=0", "maxAgeDays must be greater than 0"),
        ("maxAgeDays=3", "maxAgeDays: this version has no times"),
        ("maxPerCategory=0", "maxPerCategory must be greater"),
        ("includeSeen=maybe", "includeSeen must be a valid boolean"),
        ("exclude=", "exclude: String should have at least 1 character"),
        ("&".join(["exclude=a"] * 101), "exclude: List should have at most 100 items"),
        ("category=%ff", "category and variant must be UTF-8"),
        ("variant=b", "variant: the server has no experiment"),
    ],
)
def test_a_rule_beyond_its_bounds_is_refused(world, query, reason):
    answer = world.client.get(f"/recommendations?visitorId=v7919&{query}")
    assert answer.status_code == 422 and reason in answer.json()["error"], answer.text
