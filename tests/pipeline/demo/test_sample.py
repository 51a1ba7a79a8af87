"""pipeline.sample: the same flags produce the same bytes, and the data have a shape to recommend from."""

import csv
import dataclasses
import datetime
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import cli
from pipeline import sample
from pipeline.demo.sample.catalogue import make_catalogue, scramble, visitor_ids
from pipeline.demo.sample.generate import Plan, size_from
from pipeline.demo.sample.rows import pseudo_id
from pipeline.demo.sample.visits import activity, make_steps
from tests.support.samples import DAY, items_of, lines, make


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> Path:
    """The files that the command writes without further flags, and the table of the same visits."""
    root = tmp_path_factory.mktemp("default") / "export"
    flags = ["--output_dir", str(root), "--layouts", "ga360", "ga4", "table"]
    assert cli.run(sample.main, flags) == 0
    return root


# The rules in plain Python: (visitor, content) -> [dwell in ms, time of the last view in ms].


def by_ga360_rules(sessions: list[dict]) -> dict[tuple[str, str], list[int]]:
    visits = defaultdict(list)
    for session in sessions:
        for hit in session["hits"]:
            if hit["type"] == "PAGE":
                content = [d["value"] for d in hit["customDimensions"] if d["index"] == "10"]
                start = int(session["visitStartTime"]) * 1000
                view = (int(hit["time"]), int(hit["hitNumber"]), start, content[0] if content else None)
                visits[session["fullVisitorId"], session["visitId"]].append(view)
    pairs = defaultdict(lambda: [0, 0])
    for (visitor, _), views in visits.items():
        views.sort(key=lambda view: view[:2])
        for view, following in zip(views, [*views[1:], None], strict=True):
            if view[3] is not None:
                pair = pairs[visitor, view[3]]
                pair[0] += following[0] - view[0] if following else 0
                pair[1] = max(pair[1], view[2] + view[0])
    return {pair: values for pair, values in pairs.items() if values[0] > 0}


def by_ga4_rules(events: list[dict]) -> dict[tuple[str, str], list[int]]:
    pairs = defaultdict(lambda: [0, 0])
    for event in events:
        params = {p["key"]: next(iter(p["value"].values())) for p in event["event_params"]}
        if event.get("user_pseudo_id") is not None and "content_id" in params:
            pair = pairs[event["user_pseudo_id"], params["content_id"]]
            pair[0] += int(params.get("engagement_time_msec", 0))
            if event["event_name"] == "page_view":
                pair[1] = max(pair[1], int(event["event_timestamp"]) // 1000)
    return {pair: values for pair, values in pairs.items() if values[0] > 0}


@pytest.fixture(scope="module")
def sessions(default) -> list[dict]:
    return lines(default, "ga360/*.ndjson.gz")


@pytest.fixture(scope="module")
def events(default) -> list[dict]:
    return lines(default, "ga4/*.ndjson.gz")


@pytest.fixture(scope="module")
def interactions(sessions) -> dict[tuple[str, str], list[int]]:
    return by_ga360_rules(sessions)


def test_both_layouts_and_the_table_hold_the_same_interactions(default, interactions, events):
    ga4 = by_ga4_rules(events)
    assert ga4 == {(pseudo_id(visitor), content): values for (visitor, content), values in interactions.items()}
    (path,) = (default / "table").glob("interactions-*.parquet")
    table = pq.read_table(path)
    assert table.schema.field("duration_ms").type == pa.int64()
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    times = table["time"].cast(pa.int64()).to_numpy() // 1000
    columns = (table[name].to_pylist() for name in ("visitorId", "contentId", "duration_ms"))
    rows = list(zip(*columns, times.tolist(), strict=True))
    assert len(rows) == len(interactions)
    assert {(visitor, content): [ms, time] for visitor, content, ms, time in rows} == interactions


def test_the_default_size_is_as_described(default, interactions):
    catalogue = list(csv.reader((default / "catalogue.csv").read_text().splitlines()))
    assert catalogue[0] == ["contentId", "title", "category"]
    assert len(catalogue) == 401
    assert len({visitor for visitor, _ in interactions}) == 2000
    assert {content for _, content in interactions} <= {row[0] for row in catalogue}
    assert 30_000 < len(interactions) < 40_000
    assert len(list((default / "ga360").iterdir())) == len(list((default / "ga4").iterdir())) == 7


def test_rows_are_as_bq_extract_writes_them(default):
    for path in sorted((default / "ga360").glob("*.ndjson.gz")):
        day = path.name.removeprefix("ga_sessions_").removesuffix(".ndjson.gz")
        midnight = datetime.datetime.strptime(day + "+0000", "%Y%m%d%z").timestamp()
        for session in lines(path.parent, path.name):
            assert session["date"] == day
            assert len(session["fullVisitorId"]) == 19
            assert session["fullVisitorId"].isdigit()
            assert session["visitId"] == session["visitStartTime"]
            hits = session["hits"]
            assert [hit["hitNumber"] for hit in hits] == [str(n + 1) for n in range(len(hits))]
            times = [int(hit["time"]) for hit in hits]
            assert times == sorted(times)
            assert times[0] == 0
            assert midnight <= int(session["visitStartTime"])
            assert int(session["visitStartTime"]) + times[-1] / 1000 < midnight + 86_400
            assert session["totals"]["hits"] == str(len(hits))
    for event in lines(default, "ga4/events_20240102.ndjson.gz"):
        at = datetime.datetime.fromtimestamp(int(event["event_timestamp"]) / 1e6, datetime.UTC)
        assert event["event_date"] == at.strftime("%Y%m%d") == "20240102"
        kinds = {p["key"]: list(p["value"]) for p in event["event_params"]}
        assert kinds["page_location"] == ["string_value"]
        assert kinds.get("engagement_time_msec", ["int_value"]) == ["int_value"]


def test_real_exports_oddities_are_there(sessions, events, interactions):
    hits = Counter()
    seen_in = defaultdict(set)
    for session in sessions:
        for number, hit in enumerate(session["hits"]):
            dimensions = {d["index"]: d["value"] for d in hit["customDimensions"]}
            hits[hit["type"], "10" in dimensions, number == len(session["hits"]) - 1] += 1
            if hit["type"] == "PAGE" and "10" in dimensions:
                seen_in[session["fullVisitorId"], dimensions["10"]].add((session["date"], session["visitId"]))
    assert hits["PAGE", False, False] > 1000  # home pages between others
    assert hits["EVENT", True, False] > 1000
    assert hits["PAGE", True, True] > 1000  # last pages without dwell ...
    assert len(seen_in.keys() - interactions.keys()) > 100  # ... some of them never seen elsewhere
    assert sum(len({day for day, _ in visits}) > 1 for visits in seen_in.values()) > 1000
    ids = {session["fullVisitorId"] for session in sessions}
    assert any(name.startswith("0") for name in ids)
    visits = [(session["fullVisitorId"], session["visitId"]) for session in sessions]
    assert len(set(visits)) == len(visits)
    numbers = defaultdict(list)
    for session in sessions:  # in order of time
        numbers[session["fullVisitorId"]].append(int(session["visitNumber"]))
    assert all(found == list(range(found[0], found[0] + len(found))) for found in numbers.values())

    names = Counter(event["event_name"] for event in events)
    assert min(names[name] for name in ("page_view", "user_engagement", "scroll", "session_start")) > 1000
    anonymous = [event for event in events if "user_pseudo_id" not in event]
    assert 0.005 < len(anonymous) / len(events) < 0.05
    assert any("content_id" in {p["key"] for p in event["event_params"]} for event in anonymous)
    people = {(event["user_id"], event["user_pseudo_id"]) for event in events if "user_id" in event}
    assert len(people) == len({user for user, _ in people}) == len({pseudo for _, pseudo in people}) > 100


def test_popularity_and_activity_are_long_tailed(interactions):
    for place in (0, 1):
        counts = np.sort([*Counter(pair[place] for pair in interactions).values()])[::-1]
        assert 0.25 < counts[: len(counts) // 10].sum() / counts.sum() < 0.6
    per_visitor = np.array([*Counter(visitor for visitor, _ in interactions).values()])
    assert per_visitor.min() < 3
    assert np.median(per_visitor) < 0.75 * per_visitor.mean()


def test_a_factorisation_finds_the_tastes(default, interactions):
    _, visitor = np.unique([visitor for visitor, _ in interactions], return_inverse=True)
    ids, content = np.unique([content for _, content in interactions], return_inverse=True)
    held_out = np.random.default_rng(0).random(len(visitor)) < 0.2
    train, test = np.zeros((2, visitor.max() + 1, len(ids)), bool)
    train[visitor[~held_out], content[~held_out]] = True
    test[visitor[held_out], content[held_out]] = True

    def top(scores: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return np.argpartition(np.where(seen, np.inf, -scores), 10, axis=1)[:, :10]

    def recall(scores: np.ndarray) -> float:
        hits = np.take_along_axis(test, top(scores, train), axis=1).sum(axis=1)
        some = test.any(axis=1)
        return float((hits[some] / np.minimum(test.sum(axis=1)[some], 10)).mean())

    seen = train.astype(np.float32)
    right = np.linalg.eigh(seen.T @ seen)[1][:, -16:]  # the 16 leading right singular vectors
    factors = seen @ right @ right.T
    popular = np.broadcast_to(train.sum(axis=0), train.shape)
    assert recall(factors) > 2 * recall(popular)
    assert recall(factors) > 0.3

    rows = csv.DictReader((default / "catalogue.csv").read_text().splitlines())
    category_of = {row["contentId"]: row["category"] for row in rows}
    category = np.unique([category_of[name] for name in ids], return_inverse=True)[1]
    counts = seen @ np.eye(category.max() + 1)[category]
    own = category[top(factors, train)] == counts.argmax(axis=1)[:, None]
    assert own.mean() > 0.4
    assert np.mean(category == counts.argmax(axis=1)[:, None]) < 0.12


def test_the_same_flags_give_the_same_bytes_and_another_seed_others(tmp_path, monkeypatch):
    plan = Plan(("ga360", "ga4", "table"), ("ndjson", "avro", "parquet"), 2)
    make(tmp_path / "a", plan=plan)
    # The clock and the number of files that may be open do not matter.
    monkeypatch.setattr("time.time", lambda: 1.0e9)
    make(tmp_path / "b", plan=dataclasses.replace(plan, open_files=12))
    first, second = items_of(tmp_path / "a"), items_of(tmp_path / "b")
    assert len(first) == 3 * 2 * 3 * 2 + 3
    assert [name for name in first if first[name] != second.get(name)] == []
    make(tmp_path / "c", plan=plan, seed=2)
    third = items_of(tmp_path / "c")
    assert [name for name in first if first[name] == third[name]] == []


def test_the_seed_decides_what_is_read():
    catalogue = make_catalogue(60, 1)
    sizes = [size_from(50, 60, 3, None, DAY, seed) for seed in (1, 1, 2)]
    first, again, other = (make_steps(size, catalogue, 0, (1.5, 1.0)).dwell_ms.tolist() for size in sizes)
    assert first == again != other


@pytest.mark.parametrize(
    ("visitors", "items", "days", "wanted"),
    [(1, 1, 1, None), (3, 2, 1, 3), (40, 13, 2, None), (300, 500, 1, 9000), (900, 2000, 30, 2500)],
)
def test_sizes_are_those_of_the_flags(tmp_path, visitors, items, days, wanted):
    report = make(tmp_path, visitors, items, days, interactions=wanted, plan=Plan(("ga360", "table"), ("ndjson",), 1))
    pairs = by_ga360_rules(lines(tmp_path, "ga360/*.ndjson.gz"))
    assert len({visitor for visitor, _ in pairs}) == visitors
    assert len(list((tmp_path / "ga360").iterdir())) == days
    assert len((tmp_path / "catalogue.csv").read_text().splitlines()) == items + 1
    assert report.total["interactions"] == len(pairs)
    assert len(pairs) == pytest.approx(wanted or visitors * max(1.0, items / 8), rel=0.12, abs=visitors / 2)
    described = json.loads((tmp_path / "sample.json").read_text())
    assert described["interactions"] == len(pairs)
    assert described["visitors"] == visitors


def test_blocks_are_of_bounded_size_and_cover_all_visitors():
    size = size_from(200_000, 5000, 7, 3_000_000, DAY, 3)
    assert size.blocks > 10
    edges = [size.block(number) for number in range(size.blocks)]
    assert edges[0][0] == 0
    assert edges[-1][1] == 200_000
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
    steps = make_steps(size, make_catalogue(5000, 3), 7, activity(size))
    assert len(steps.pairs) == pytest.approx(200_000, rel=0.05)
    assert len(np.unique(steps.pairs[:, 0] * 5000 + steps.pairs[:, 1])) == len(steps.pairs)


@pytest.mark.parametrize(("visitors", "items", "days"), [(3, 20_000, 1), (400, 400, 7)])
def test_visits_lie_within_a_day_and_do_not_overlap(visitors, items, days):
    most = None if days > 1 else visitors * 3000  # hours of reading, if it were not made to fit
    size = size_from(visitors, items, days, most, DAY, 4)
    steps = make_steps(size, make_catalogue(items, 4), 0, activity(size))
    assert (steps.dwell_ms[steps.pair >= 0] > 0).all()
    assert (steps.dwell_ms[steps.pair < 0] == 0).all()
    begin_ms = steps.start_s * 1000
    end_ms = begin_ms + np.bincount(steps.session, steps.dwell_ms + steps.home_ms)
    midnight_ms = (size.start_s + steps.day * 86_400) * 1000
    assert ((midnight_ms <= begin_ms) & (end_ms < midnight_ms + 86_400_000)).all()
    same_visitor = steps.visitor[1:] == steps.visitor[:-1]
    assert (end_ms[:-1] < begin_ms[1:])[same_visitor].all()


def test_ids_and_titles_are_all_different():
    for items in (1, 7, 400, 70_000):
        catalogue = make_catalogue(items, 42)
        assert len(set(catalogue.titles)) == len(set(catalogue.content_ids)) == items
        assert all(len(name) == 9 and name.isdigit() for name in catalogue.content_ids)
        assert max(map(len, catalogue.titles)) < 100
    assert len(set(make_catalogue(400, 42).categories)) == 16
    for bits in (4, 9):
        assert len(set(scramble(np.arange(1 << bits), bits, 5).tolist())) == 1 << bits
    assert len(set(visitor_ids(0, 50_000, 42))) == 50_000
    assert visitor_ids(100, 103, 42) == visitor_ids(0, 200, 42)[100:103]
