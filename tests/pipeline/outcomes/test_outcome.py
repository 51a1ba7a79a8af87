"""wals outcome on simulated days: next days, exposures, clicks and what is due to them, against plain Python."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from artifacts import manifests, tfrecords
from artifacts.paths import Dataset
from pipeline import verify
from pipeline.demo.lists.deeds import Site
from pipeline.demo.lists.habits import Habits
from tests.support.outcomes import (
    NAME,
    RUN_TIME,
    event,
    measured,
    ms,
    settings,
    shown,
    simulated,
    write_export,
    write_world,
)

VISITORS, ITEMS, LENGTH, DAYS = 120, 30, 5, 4
FIRST_MS = round(RUN_TIME.timestamp() * 1000)
HABITS = Habits(attraction={"factors": 0.5, "projection": 0.35, "popularity": 0.2}, buys=0.4, buys_late=0.3)
KS = (1, 3, 5)


class World:
    """A simulated week, with oddities by hand; its outcome; and the same by plain loops."""

    def __init__(self, root: Path):
        self.lists = {one.visitor: one for one in write_world(root, VISITORS, ITEMS, LENGTH)}
        site = Site(NAME, catalogue=[f"c{n}" for n in range(ITEMS)])
        self.events, _ = simulated(list(self.lists.values()), HABITS, DAYS, 1, site)
        first = self.lists["v0"].items[0]
        self.odd = [
            event("v0", "view_item_list", ms(6), shown(first, 1), shown("c-unknown", 2)),
            event("v0", "view_item_list", ms(6), shown(first, 1)),  # sent twice
            event("v0", "select_item", ms(6, 0.01), shown(first)),
            event("v0", "select_item", ms(6, 0.02), shown(first)),  # the same exposure
            event("v0", "select_item", ms(6, 5), shown(first)),  # too late for it
            event("v0", "purchase", ms(7), {"item_id": first, "item_revenue": 7.0}),  # a day after the second click
            event("nobody", "view_item", ms(3), {"item_id": "c1"}),
            event("v1", "view_item", ms(1), {"item_id": "c1"}),  # before the run
            event("v1", "view_item", ms(8, 4), {"item_id": "c2"}),  # the window's end
        ]
        write_export(root, self.events + self.odd)
        self.settings = settings(root, unclicked_half_life_days=2)
        self.manifest, outcome = measured(self.settings)
        self.figures, self.together = outcome.versions["monday"], outcome.together
        self.root, self.had = root, self._had(Dataset(str(root / "dataset")))

    @staticmethod
    def _had(dataset: Dataset) -> dict[str, set[str]]:
        had = defaultdict(set)
        for path in Path(dataset.root).glob("items_for_user-*"):
            for key, indices, _ in tfrecords.read_rows(str(path)):
                had[f"v{key}"] |= {f"c{index}" for index in indices}
        return had

    def truth(self) -> dict[str, set[str]]:
        """Return what each visitor with a list came for in the week and did not have."""
        came = defaultdict(set)
        for row in self.events + self.odd:
            inside = FIRST_MS <= int(row["event_timestamp"]) // 1000 < FIRST_MS + 7 * 86_400_000
            if row["event_name"] in ("view_item", "add_to_cart", "purchase") and inside:
                came[row["user_pseudo_id"]] |= {item["item_id"] for item in row["items"]}
        new = {visitor: items - self.had[visitor] for visitor, items in came.items() if visitor in self.lists}
        return {visitor: items for visitor, items in new.items() if items}

    def popular(self, visitor: str) -> list[str]:
        items = pq.read_table(self.root / "dataset" / "items.parquet").to_pylist()
        ordered = sorted(range(ITEMS), key=lambda number: (-items[number]["popularity"], number))
        return [f"c{number}" for number in ordered if f"c{number}" not in self.had[visitor]][:LENGTH]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("outcome"))


def test_next_days_are_those_of_plain_loops(world):
    truth, days = world.truth(), world.figures.next_days
    assert days.visitors == VISITORS and days.active == len(truth) > 80
    assert days.pairs == sum(map(len, truth.values()))
    for k in KS:
        for name, lists in (("live", lambda visitor: world.lists[visitor].items), ("popularity", world.popular)):
            hits = {visitor: len(items & set(lists(visitor)[:k])) for visitor, items in truth.items()}
            recalls = [number / len(truth[visitor]) for visitor, number in hits.items()]
            found = days.whole.metrics
            assert getattr(found[f"recall@{k}"], name).value == pytest.approx(np.mean(recalls))
            rate = np.mean([number > 0 for number in hits.values()])
            assert getattr(found[f"hit_rate@{k}"], name).value == pytest.approx(rate)
            for rule, group in days.by_rule.items():
                own = [number > 0 for visitor, number in hits.items() if world.lists[visitor].rule == rule]
                assert group.visitors == len(own)
                assert getattr(group.metrics[f"hit_rate@{k}"], name).value == pytest.approx(np.mean(own))
    for figure in days.whole.metrics.values():
        assert figure.difference.value == pytest.approx(figure.live.value - figure.popularity.value)
        assert figure.difference.low < figure.difference.value < figure.difference.high


def test_groups_of_the_next_days_are_those_of_plain_loops(world):
    truth, days = world.truth(), world.figures.next_days
    table = pq.read_table(world.root / "dataset" / "items.parquet").to_pylist()

    def age(item: str) -> str:
        age_days = (FIRST_MS - table[int(item[1:])]["first_time_ms"]) / 86_400_000
        limits = ("1 day", 1), ("2-7 days", 7), ("8-30 days", 30), ("31-180 days", 180)
        return next(name for name, most in limits if age_days <= most)

    groups = {
        "by_rank": lambda rank, item: f"{rank:02d}",
        "by_category": lambda rank, item: table[int(item[1:])]["category"],
        "by_age": lambda rank, item: age(item),
    }
    for name, group_of in groups.items():
        entries, hits = defaultdict(int), defaultdict(int)
        for visitor, came in truth.items():
            for rank, item in enumerate(world.lists[visitor].items, 1):
                entries[group_of(rank, item)] += 1
                hits[group_of(rank, item)] += item in came
        found = getattr(days, name)
        assert {group: (one.entries, one.hits) for group, one in found.items() if one.entries} == {
            group: (number, hits[group]) for group, number in entries.items()
        }
    sizes = {"0": (0, 0), "1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "21+": (21, ITEMS)}
    for group, one in days.by_activity.items():
        low, high = sizes[group]
        assert one.visitors == sum(low <= len(world.had[visitor]) <= high for visitor in truth)
    assert "0" in days.by_activity or "v3" not in truth


def test_exposures_and_clicks_are_those_of_plain_loops(world):
    """A click counts once per exposure, within an hour; by rank and rule."""
    exposures, seen = [], set()
    for row in sorted(world.events + world.odd, key=lambda row: int(row["event_timestamp"])):
        if row["event_name"] == "view_item_list":
            for item in row["items"]:
                key = row["user_pseudo_id"], item["item_id"], int(row["event_timestamp"]) // 1000
                if key not in seen:
                    exposures.append([*key, int(item["item_list_index"]), 0])
                    seen.add(key)
        if row["event_name"] == "select_item":
            now = int(row["event_timestamp"]) // 1000
            mine = [one for one in exposures if one[:2] == [row["user_pseudo_id"], row["items"][0]["item_id"]]]
            if mine and now - mine[-1][2] <= 3_600_000:
                mine[-1][4] = 1
    tracked = world.figures.tracked
    assert (tracked.whole.exposures, tracked.whole.clicks) == (len(exposures), sum(one[4] for one in exposures))
    by_rank, by_rule, by_day = (defaultdict(lambda: [0, 0]) for _ in range(3))
    for visitor, item, at, position, clicked in exposures:
        rule = world.lists[visitor].rule if item in world.lists[visitor].items else "not in the predictions"
        for counts in (by_rank[f"{position:02d}"], by_rule[rule], by_day[str(np.datetime64(at, "ms"))[:10]]):
            counts[0] += 1
            counts[1] += clicked
    assert list(tracked.by_day) == sorted(by_day) and len(by_day) == DAYS + 1
    for found, expected in ((tracked.by_rank, by_rank), (tracked.by_rule, by_rule), (tracked.by_day, by_day)):
        assert {name: [one.exposures, one.clicks] for name, one in found.items()} == dict(expected)
        assert all(one.ctr.value == pytest.approx(one.clicks / one.exposures) for one in found.values())
    assert tracked.by_rank["01"].examination.value == 1
    excluded = world.manifest.excluded
    assert excluded["lists.skipped.duplicate_exposure"] == excluded["lists.skipped.repeated_click"] == 1
    assert excluded["lists.skipped.click_without_exposure"] == 1
    assert world.manifest.counts["lists.exposures_not_in_predictions"] == 1
    assert world.together.tracked.whole == tracked.whole and world.together.next_days == world.figures.next_days


def test_items_and_visitors_as_examples(world):
    """Lifts are over what the ranks expect; a visitor with a hit came for an item of the list."""
    tracked, truth = world.figures.tracked, world.truth()
    clicks = {rank: group.ctr.value for rank, group in tracked.by_rank.items()}
    for one in (tracked.best[0], tracked.worst[0]):
        shown_at = [
            item["item_list_index"]
            for row in world.events
            if row["event_name"] == "view_item_list"
            for item in row["items"]
            if item["item_id"] == one.item
        ]
        expected = sum(clicks[f"{int(position):02d}"] for position in shown_at)
        assert one.exposures - len(shown_at) in (0, 1) and one.lift.value == pytest.approx(one.clicks / expected, 0.05)
    assert tracked.best[0].lift.value > 1 > tracked.worst[0].lift.value
    of_lists = {(one.rule, tuple(one.items)): visitor for visitor, one in world.lists.items()}
    for are_hits, visitors in ((True, world.figures.hits), (False, world.figures.misses)):
        assert len(visitors) == 4
        for one in visitors:
            visitor = of_lists[one.rule, tuple(one.listed)]
            assert set(one.came) <= truth[visitor] and set(one.had) <= world.had[visitor]
            assert bool(set(one.came) & set(one.listed)) == are_hits or len(one.came) == 10


def test_purchases_are_due_to_the_last_click_within_a_day(world):
    clicks, number, value = defaultdict(list), defaultdict(int), defaultdict(float)
    rows = sorted(world.events + world.odd, key=lambda row: int(row["event_timestamp"]))
    for row in rows:
        now, visitor = int(row["event_timestamp"]) // 1000, row["user_pseudo_id"]
        for item in row["items"]:
            pair = visitor, item["item_id"]
            if row["event_name"] == "select_item" and not (visitor == "v0" and now == ms(6, 5)):
                clicks[pair].append(now)
            if row["event_name"] == "purchase" and clicks[pair] and now - clicks[pair][-1] <= 86_400_000:
                number[world.lists[visitor].rule] += 1
                value[world.lists[visitor].rule] += item["item_revenue"]
    due = world.figures.tracked.due["purchases"]
    assert {rule: (one.number, one.value) for rule, one in due.items()} == {
        rule: (number[rule], pytest.approx(value[rule])) for rule in number
    }
    shown_by = world.figures.tracked.by_rule
    assert all(one.per_touch.value == pytest.approx(one.number / shown_by[rule].clicks) for rule, one in due.items())
    assert (
        world.manifest.counts["purchases.read"] > world.manifest.counts["purchases.attributed"] == sum(number.values())
    )


def test_exposures_without_a_click_are_listed(world):
    """A pair that was clicked is not; an exposure counts half with each two days before the window's end."""
    clicked = {
        (row["user_pseudo_id"], item["item_id"])
        for row in world.events + world.odd
        if row["event_name"] == "select_item"
        for item in row["items"]
    }
    expected, seen, end_ms = defaultdict(float), set(), FIRST_MS + 7 * 86_400_000
    for row in world.events + world.odd:
        for item in row["items"] if row["event_name"] == "view_item_list" else ():
            pair, at = (row["user_pseudo_id"], item["item_id"]), int(row["event_timestamp"]) // 1000
            if pair not in clicked and (pair, at) not in seen:
                expected[pair] += 0.5 ** ((end_ms - at) / 86_400_000 / 2)
                seen.add((pair, at))
    tables = [pq.read_table(path) for path in Path(world.settings.outcome_dir).glob("unclicked-*")]
    rows = [row for table in tables for row in table.to_pylist()]
    found = {(row["visitorId"].decode(), row["contentId"].decode()): row["number"] for row in rows}
    assert found == {pair: pytest.approx(number, rel=1e-5) for pair, number in expected.items()}
    assert world.manifest.counts["unclicked.pairs"] == len(found) > 100
    assert all(name in world.manifest.other_files for name in (f"unclicked-00000-of-0000{len(tables)}.parquet",))


def test_all_rows_left_out_are_counted(world):
    excluded = world.manifest.excluded
    assert excluded["pairs.skipped.visitor_not_in_predictions"] == 1
    assert excluded["pairs.skipped.had_before"] > 0
    read = sum(len(row["items"]) for row in world.events + world.odd if row["event_name"] != "view_item")
    assert world.manifest.counts["lists.read"] == read
    assert [run.version for run in world.manifest.runs] == ["monday"]
    assert world.manifest.runs[0].live_until == "2024-01-08T04:00:00+00:00"


def test_the_outcome_is_an_output_like_others(world):
    root = world.settings.outcome_dir
    manifest = manifests.read_any(root)
    assert manifest.model_dump() == world.manifest.model_dump() and not list(verify.problems(root, manifest))
    again, _ = measured(world.settings)
    assert again.files == manifest.files, "the same bytes on every run"
