"""items.parquet against a plain sum over the interactions."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.settings import Settings
from pipeline.dataset import item_statistics
from pipeline.interactions import columns
from tests.support.exports import event, make_dataset, write_ndjson

DAY_MS, START_MS = 86_400_000, 1_704_067_200_000


def export(root, rows, cut=1):
    """GA4 events: (visitor, content, day), each with a dwell of its own; in `cut` files."""
    events = [
        event(visitor, content, 100 + n, event_timestamp=str((START_MS + int(day * DAY_MS)) * 1000))
        for n, (visitor, content, day) in enumerate(rows)
    ]
    for part in range(cut):
        write_ndjson(root / f"events_2024010{part + 1}", events[part::cut])
    return root / "events_*"


def made_rows(seed=3, pairs=300):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(40 * 25, pairs, replace=False)
    return [
        (f"v{n // 25}", f"c{n % 25}", float(day)) for n, day in zip(chosen, rng.integers(0, 60, pairs), strict=True)
    ]


@pytest.mark.parametrize("half_life", [None, 7.5])
def test_items_are_what_a_plain_sum_says(tmp_path, half_life):
    rows = made_rows()
    layout = {"min_items_per_user": 3, "min_users_per_item": 2, "popularity_half_life_days": half_life}
    (tmp_path / "c.csv").write_text("contentId,shelf\nc3,A\nc1,B\nunknown,C\nc3,D\n")
    sections = {"dataset": layout, "rating": {"kind": "linear"}, "catalogue": str(tmp_path / "c.csv")}
    made = make_dataset(tmp_path / "d", export(tmp_path / "in", rows), "ga4", **sections)
    dataset = Dataset(str(tmp_path / "d"))
    users, items = (set(Vocabulary.read(path).ids) for path in (dataset.vocab_users, dataset.vocab_items))
    kept = [(n, *row) for n, row in enumerate(rows) if row[0].encode() in users and row[1].encode() in items]
    now = max(day for *_, day in kept)
    table = pq.read_table(dataset.items)
    assert table["contentId"].to_pylist() == [name.decode() for name in Vocabulary.read(dataset.vocab_items).ids]
    shelves = dict(zip(table["contentId"].to_pylist(), table["shelf"].to_pylist(), strict=True))
    assert shelves == dict.fromkeys(shelves) | {"c3": "D", "c1": "B"}
    counted = {"rows": 4, "rows_found": 3, "rows_without_id": 0, "rows_repeated": 1, "items": 2}
    assert made["catalogue"] == counted and not list((tmp_path / "d").glob("**/catalogue*"))
    assert made["files"]["items.parquet"]["records"] == made["counts"]["items"] == table.num_rows
    for row in table.to_pylist():
        own = [(100 + n, day) for n, _, content, day in kept if content == row["contentId"]]
        assert row["visitors"] == len(own)
        popularity = sum(0.5 ** ((now - day) / half_life) for _, day in own) if half_life else len(own)
        assert row["popularity"] == pytest.approx(popularity, rel=1e-6)
        recent = sum(0.5 ** ((now - day) / (half_life or 7)) for _, day in own)
        assert row["recent_popularity"] == pytest.approx(recent, rel=1e-6)
        assert row["mean_rating"] == pytest.approx(np.mean([rating for rating, _ in own]), rel=1e-6)
        times = [START_MS + int(day * DAY_MS) for _, day in own]
        assert (row["first_time_ms"], row["last_time_ms"]) == (min(times), max(times))


def test_the_file_does_not_depend_on_how_the_input_was_cut(tmp_path):
    rows, found = made_rows(), set()
    for cut in (1, 3):
        root = tmp_path / str(cut)
        layout = {"popularity_half_life_days": 3, "shards": 2}
        make_dataset(root / "d", export(root / "in", rows, cut), "ga4", dataset=layout)
        found.add((root / "d" / "items.parquet").read_bytes())
    assert len(found) == 1


def test_any_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    n, half_life = 5000, 10 * DAY_MS
    users, items = rng.integers(-1, 90, n), rng.integers(-1, 70, n)
    ratings, times = rng.random(n).astype("f"), START_MS + rng.integers(0, 400 * DAY_MS, n)
    whole = columns.to_bytes(item_statistics.count(users, items, ratings, times, half_life))
    parts = [slice(s, s + 700) for s in range(0, n, 700)]
    some = [columns.to_bytes(item_statistics.count(users[p], items[p], ratings[p], times[p], half_life)) for p in parts]
    joined = item_statistics.add_up([item_statistics.add_up(some[:3], half_life), b"", *some[3:]], half_life)
    for left, right in zip(*(columns.from_bytes(iter([b])).columns for b in (whole, joined)), strict=True):
        np.testing.assert_allclose(left.to_numpy(), right.to_numpy(), rtol=1e-12)


def test_an_item_without_interactions_and_a_source_without_times_have_nulls():
    sums = columns.to_bytes(
        item_statistics.count(np.array([0]), np.array([1]), np.ones(1, "f"), np.zeros(1, int), DAY_MS)
    )
    rows = item_statistics.items_table([b"a", b"b"], sums, DAY_MS, decays=False, has_times=False).to_pylist()
    nothing = {"recent_popularity": None, "first_time_ms": None, "last_time_ms": None}
    assert rows == [
        {"contentId": "a", "visitors": 0, "popularity": 0.0, "mean_rating": None, **nothing},
        {"contentId": "b", "visitors": 1, "popularity": 1.0, "mean_rating": 1.0, **nothing},
    ]


def test_decay_without_times_is_refused(tmp_path):
    tree = {"source": {"kind": "table", "input": "x.csv"}, "dataset": {"popularity_half_life_days": 3}}
    with pytest.raises(ValueError, match=r"needs source\.time_column"):
        Settings.model_validate(tree)
