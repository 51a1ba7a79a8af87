"""Entries held out of a dataset: the rules against plain Python, and that train knows nothing of it."""

from __future__ import annotations

import json
import math
import random
import shlex
import sys
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability import local_job_service

from artifacts import tfrecords
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from configs.settings import Settings, SplitSettings, resolve
from pipeline import preprocess, verify
from pipeline.interactions import sessions, splits
from pipeline.sources import input_files
from tests.support import forkserver
from tests.support.exports import START, event, make_dataset, ratings, settings, write_ndjson

DAY = 86_400_000
NAMES = ["visitorId", "contentId", "amount", "time_ms"]


def views(count: int = 600, seed: int = 0) -> list[tuple[bytes, bytes, float, int]]:
    """Return views in any order, many of a pair, many at the same time."""
    rng = random.Random(seed)
    return [
        (b"v%d" % rng.randrange(40), b"c%d" % rng.randrange(25), float(rng.randrange(1, 99)), rng.randrange(30) * 1000)
        for _ in range(count)
    ]


def to_table(rows) -> pa.Table:
    return pa.table(dict(zip(NAMES, zip(*rows, strict=True), strict=True)), schema=sessions.INTERACTIONS)


def as_pairs(table: pa.Table) -> dict:
    return {(row["visitorId"], row["contentId"]): (row["amount"], row["time_ms"]) for row in table.to_pylist()}


def combined(rows) -> dict:
    """Plain Python: amounts summed, the latest time, a pair."""
    found = {}
    for visitor, content, amount, time in rows:
        before = found.get((visitor, content), (0.0, 0))
        found[visitor, content] = before[0] + amount, max(before[1], time)
    return found


def combine(table: pa.Table):
    return sessions.sum_pairs(table), Counter()


def divided(rows, **settings):
    train, held_out, counts = splits.divide(to_table(rows), combine, SplitSettings(**settings))
    return as_pairs(train), as_pairs(held_out), counts


def mixed(code: int) -> int:
    """Return SplitMix64's mix in Python's integers."""
    mask = (1 << 64) - 1
    code = (code ^ code >> 30) * 0xBF58476D1CE4E5B9 & mask
    code = (code ^ code >> 27) * 0x94D049BB133111EB & mask
    return code ^ code >> 31


def hashed(name: bytes, seed: int) -> int:
    """Return FNV-1a, seeded and mixed, in Python's integers."""
    code = 0xCBF29CE484222325 ^ seed
    for byte in name:
        code = (code ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return mixed(code)


def plain_hash(visitor: bytes, content: bytes, seed: int) -> int:
    """Return the hash of a pair in Python's integers."""
    return mixed(hashed(visitor, seed) * 0x9E3779B97F4A7C15 + hashed(content, seed) & (1 << 64) - 1)


@pytest.mark.parametrize(("n", "min_items"), [(1, 2), (3, 2), (40, 2), (2, 14)])
def test_the_last_items_of_each_visitor_by_a_hash_among_equal_times(n, min_items):
    rows = views() + [(b"single", b"c1", 1.0, 5)]
    pairs, expected = combined(rows), set()
    for visitor in {visitor for visitor, _ in pairs}:
        own = sorted(
            (time, plain_hash(visitor, content, 5), content)
            for (who, content), (_, time) in pairs.items()
            if who == visitor
        )
        if len(own) >= min_items:
            expected |= {(visitor, content) for *_, content in own[max(1, len(own) - n) :]}
    train, held_out, counts = divided(rows, kind="last_n", n=n, min_items=min_items, seed=5)
    assert set(held_out) == expected and train | held_out == pairs and len(train) + len(held_out) == len(pairs)
    who = {visitor for visitor, _ in expected}
    assert counts[splits.VISITORS] == len(who) and counts[splits.WITHOUT] == 41 - len(who)


@pytest.mark.parametrize("share", [0.2, 0.29, 0.9])
def test_a_share_of_each_visitor_by_a_hash(share):
    rows = views()
    pairs, expected = combined(rows), set()
    for visitor in {visitor for visitor, _ in pairs}:
        own = sorted((content for who, content in pairs if who == visitor), key=lambda c: plain_hash(visitor, c, 7))
        size = math.floor(len(own) * round(share * 100) / 100 + 1e-9)
        expected |= {(visitor, content) for content in own[len(own) - size :]}
    train, held_out, _ = divided(rows, kind="random", share=share, seed=7)
    assert set(held_out) == expected and train | held_out == pairs
    random.Random(1).shuffle(rows)
    assert set(divided(rows, kind="random", share=share, seed=7)[1]) == expected
    assert set(divided(rows, kind="random", share=share, seed=8)[1]) != expected


@pytest.mark.parametrize("count", [3, 300])
def test_ids_are_hashed_together_as_each_alone(count):
    """Also among many, of which few are long."""
    rng = np.random.default_rng(0)
    names = [rng.bytes(5000 if number % 100 == 1 else number % 40) for number in range(count)]
    codes = splits.hash_ids(pa.array(names).dictionary_encode(), seed=9)
    assert codes.tolist() == [hashed(name, 9) for name in names]


def test_a_hash_is_spread_evenly():
    names = pa.chunked_array([pa.array([b"%d" % n for n in range(20_000)]).dictionary_encode()])
    found = splits.hashes(names, names, 0) / 2**64
    counts, _ = np.histogram(found, 20, (0, 1))
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000) and len(set(found)) == 20_000


def test_a_cut_in_time_parts_views_not_pairs():
    rows, cut = views(), 15_000
    before, behind = combined(r for r in rows if r[3] < cut), combined(r for r in rows if r[3] >= cut)
    settings = {"kind": "time", "time": "1970-01-01T00:00:15"}
    train, held_out, counts = divided(rows, **settings)
    assert train == before
    assert held_out == {pair: value for pair, value in behind.items() if pair not in before}
    assert counts[splits.IN_TRAIN] == len(set(before) & set(behind)) > 10
    early = splits.on_each_side(to_table(rows), sessions.sum_pairs, SplitSettings(**settings))
    assert len(early) < len(rows)
    again = splits.divide(early, combine, SplitSettings(**settings))
    assert as_pairs(again[0]) == train and as_pairs(again[1]) == held_out
    nothing = splits.divide(to_table(rows), combine, SplitSettings(kind="time", time="2030-01-01"))
    assert nothing[1].num_rows == 0 and as_pairs(nothing[0]) == combined(rows)
    everything = splits.divide(to_table(rows), combine, SplitSettings(kind="time", time="1970-01-01"))
    assert everything[0].num_rows == 0 and as_pairs(everything[1]) == combined(rows)


def write_csv(path, pairs):
    """(visitor, content) -> (duration, time since 2024) as a table with all four columns."""
    lines = [f"{v.decode()},{c.decode()},{amount},{START * 1000 + time}" for (v, c), (amount, time) in pairs.items()]
    path.write_text("visitorId,contentId,dwell,time\n" + "\n".join(lines) + "\n")
    return path


def of_table(root, path, split=None, **dataset):
    source = {"duration_column": "dwell", "time_column": "time", "time_unit": "ms"}
    return make_dataset(
        root, path, "table", source=source, split=split or {}, dataset=dataset, rating={"preset": "course"}
    )


def train_files(root):
    names = ["items_for_user-00000-of-00001", "users_for_item-00000-of-00001", "items.parquet", "statistics.json"]
    names.append("view_days-00000-of-00001.npy")
    paths = [root / name for name in names] + sorted((root / "transform").rglob("vocab_*"))
    return {path.name: path.read_bytes() for path in paths}


def test_train_is_what_it_would_be_if_the_rest_had_never_been(tmp_path):
    """Vocabularies, ratings by the median, rows, popularity and statistics: byte for byte."""
    pairs = combined((*view, time * 10_000) for *view, time in views(700, seed=3))  # over four days
    pairs |= {(b"v1", b"new"): (5.0, 10 * DAY), (b"v2", b"new"): (5.0, 10 * DAY), (b"v3", b"new"): (70.0, 9 * DAY)}
    path = write_csv(tmp_path / "all.csv", pairs)
    manifest = of_table(tmp_path / "split", path, {"kind": "last_n", "n": 2}, popularity_half_life_days=3)
    held = {}
    dataset = Dataset(str(tmp_path / "split"))
    users, items = Vocabulary.read(dataset.vocab_users).ids, Vocabulary.read(dataset.vocab_items).ids
    for key, indices, values in tfrecords.read_rows(f"{dataset.held_out}-00000-of-00001"):
        held |= {(users[key], items[i]): value for i, value in zip(indices.tolist(), values.tolist(), strict=True)}
    train, out, _ = splits.divide(
        to_table([(*pair, *value) for pair, value in pairs.items()]), combine, SplitSettings(kind="last_n", n=2)
    )
    train, out = as_pairs(train), as_pairs(out)
    plain = of_table(tmp_path / "plain", write_csv(tmp_path / "train.csv", train), popularity_half_life_days=3)
    assert train_files(tmp_path / "split") == train_files(tmp_path / "plain")
    assert manifest["median"] == plain["median"] and manifest["counts"] == plain["counts"] | {"rows_read": len(pairs)}
    days = iter(np.load(tmp_path / "split/view_days-00000-of-00001.npy").tolist())
    for key, indices, _ in tfrecords.read_rows(f"{dataset.items_for_user}-00000-of-00001"):
        expected = [(START * 1000 + train[users[key], items[i]][1]) // DAY for i in indices]
        assert list(islice(days, len(indices))) == expected
    known = {pair: value for pair, value in out.items() if pair[1] != b"new"}
    expected = {pair: min(1.0, 0.3 * amount / plain["median"]) for pair, (amount, _) in known.items()}
    assert held == pytest.approx(expected, rel=1e-6)
    assert manifest["split"] == {
        "kind": "last_n",
        "held_out": len(known),
        "visitors_with": 40,
        "visitors_without": 0,
        "already_in_train": 0,
        "unknown_visitor": 0,
        "unknown_item": 3,
    }
    assert (
        plain["split"]["kind"] == "none"
        and not any(list(plain["split"].values())[1:])
        and not list((tmp_path / "plain").glob("held_out*"))
    )
    verify.main([str(tmp_path / "split")])


SPLITS = {
    "last_n": {"kind": "last_n", "n": 2},
    "random": {"kind": "random", "share": 0.3, "seed": 5},
    "time": {"kind": "time", "time": "2024-01-01T00:00:15"},
}


def _start_worker(line: str, shell: bool, env: dict) -> forkserver.Popen:
    """Start a worker of Beam, with the libraries imported."""
    return forkserver.Popen([sys.executable, *shlex.split(line)[1:]], env=env)


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("last_n", []),
        ("time", []),
        ("random", ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]),
    ],
)
def test_a_split_is_the_same_in_any_order_and_on_workers_of_their_own(tmp_path, monkeypatch, kind, flags):
    """One file in memory, against the same views backwards in three files, with processes or without: byte for byte."""
    layout = {"split": SPLITS[kind], "dataset": {"shards": 2}}
    events = [
        event(visitor.decode(), content.decode(), int(amount), event_timestamp=str((1_704_067_200_000 + time) * 1000))
        for visitor, content, amount, time in views()
    ]
    make_dataset(tmp_path / "one", write_ndjson(tmp_path / "in", events), "ga4", **layout)
    for part in range(3):
        write_ndjson(tmp_path / "cut" / f"events_2024010{part + 1}", events[::-1][part::3])
    if flags:
        layout["beam"] = {"runner": "FnApiRunner"}
    other = settings(tmp_path / "other", tmp_path / "cut" / "events_*", "ga4", **layout)
    monkeypatch.setattr(local_job_service, "subprocess", SimpleNamespace(Popen=_start_worker))
    preprocess.preprocess(other, flags, replace=False)
    for pattern in ("held_out-*", "items_for_user-*", "users_for_item-*", "items.parquet", "statistics.json"):
        one, same = (
            {path.name: path.read_bytes() for path in (tmp_path / name).glob(pattern)} for name in ("one", "other")
        )
        assert one and one == same, pattern


def test_statistics_are_counts_of_train(tmp_path):
    events = [
        event("a", f"c{n}", 1000 * (n + 1), event_timestamp=str((1_704_067_200 + 43_200 * n) * 10**6)) for n in range(6)
    ]
    manifest = make_dataset(tmp_path / "d", write_ndjson(tmp_path / "in", events), "ga4", rating={"kind": "linear"})
    found = json.loads((tmp_path / "d" / "statistics.json").read_text())
    assert found["interactions_by_day"] == {"2024-01-01": 2, "2024-01-02": 2, "2024-01-03": 2}
    counts, edges = found["ratings"]["counts"], found["ratings"]["edges"]
    expected, _ = np.histogram(list(ratings(tmp_path / "d").values()), edges)
    assert counts == expected.tolist() and sum(counts) == 6 == manifest["counts"]["interactions"]
    counts, edges = found["amounts"]["counts"], found["amounts"]["edges"]
    expected, _ = np.histogram([1000 * (n + 1) for n in range(6)], edges)
    assert counts == expected.tolist() and counts[0] and counts[-1] and sum(counts) == 6
    assert np.ptp(np.diff(np.log2(edges))) < 1e-4, "as many bins for each doubling"
    assert manifest["files"]["statistics.json"]["bytes"] == (tmp_path / "d" / "statistics.json").stat().st_size


def test_a_published_split(tmp_path):
    """Test pairs in files of their own: shared ones are an error or dropped, unknown ids are counted."""
    train = {(b"a", b"x"): (9, 0), (b"a", b"y"): (5, 0), (b"b", b"x"): (2, 0), (b"b", b"z"): (3, 0)}
    test = {(b"a", b"z"): (4, 9), (b"b", b"x"): (1, 9), (b"b", b"new"): (8, 9), (b"who", b"x"): (1, 9)}
    one, other = write_csv(tmp_path / "train.csv", train), write_csv(tmp_path / "test.csv", test)
    split = {"test_input": str(other)}
    with pytest.raises(UserError, match=r"^1 pairs of .*test.csv are in train too.*split.drop_shared=true"):
        of_table(tmp_path / "d", one, split)
    assert not (tmp_path / "d").exists()
    manifest = of_table(tmp_path / "d", one, split | {"drop_shared": True})
    assert set(ratings(tmp_path / "d")) == set(train)
    assert manifest["counts"]["files_read"] == 2 and manifest["counts"]["rows_read"] == 8
    about = {"held_out": 1, "already_in_train": 1, "unknown_visitor": 1, "unknown_item": 1}
    assert manifest["split"] | about == manifest["split"] and manifest["split"]["kind"] == "test_input"


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"kind": "time", "time": "2030-01-01"}, "nothing could be held out: no view is at or after split.time"),
        ({"kind": "time", "time": "1970-01-01"}, "no view is before split.time 1970-01-01 00:00:00: nothing is left"),
        ({"kind": "last_n", "min_items": 9}, r"nothing could be held out: no visitor has split.min_items \(9\)"),
        ({"test_input": "{tmp}/none*"}, "no file matches .*none"),
        ({"test_input": "{tmp}/*.csv"}, "matches both source.input and split.test_input"),
        ({"test_input": "{tmp}/unknown_ids"}, "the visitor or the item of 1 pair is not in train; are the ids"),
    ],
)
def test_a_split_that_holds_out_nothing_is_refused(tmp_path, split, said):
    path = write_csv(tmp_path / "in.csv", {(b"a", b"x"): (9, DAY), (b"a", b"y"): (9, DAY)})
    write_csv(tmp_path / "unknown_ids", {(b"s", b"t"): (9, DAY)})
    split = {key: value.format(tmp=tmp_path) if key == "test_input" else value for key, value in split.items()}
    with pytest.raises(UserError, match=said):
        of_table(tmp_path / "out", path, split)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"split": {"kind": "last"}}, "split.kind"),
        ({"split": {"kind": "time"}}, "kind time and either `time` or `days` go together"),
        ({"split": {"kind": "random", "time": "2024-01-01"}}, "go together"),
        ({"split": {"kind": "time", "time": "2024-01-01", "days": 1}}, "give time or days, not both"),
        ({"split": {"kind": "time", "days": 1}}, "counts back from source.end_date"),
        ({"split": {"kind": "random", "share": 1.0}}, "less than 1"),
        ({"split": {"kind": "random", "test_input": "t"}}, "test_input is a split of its own"),
        ({"split": {"drop_shared": True}}, "drop_shared needs test_input"),
        ({"split": {"kind": "last_n"}, "source": {"kind": "table"}}, "split.kind last_n needs source.time_column"),
    ],
)
def test_settings_that_make_no_split(tree, said):
    with pytest.raises(ValueError, match=said):
        Settings.model_validate(tree)


def test_a_cut_counts_back_from_the_end_of_the_window():
    tree = {"source": {"end_date": "2024-01-31"}, "split": {"kind": "time", "days": 2}}
    split = resolve(Settings.model_validate(tree)).split
    assert split.time_ms == 1_706_572_800_000 and split.model_dump(mode="json")["time"] == "2024-01-30T00:00:00"
    assert SplitSettings(kind="time", time=20240130).time_ms == split.time_ms
    assert SplitSettings(kind="time", time="2024-01-30T01:00+01:00").time_ms == split.time_ms


def test_the_test_files_have_no_window(tmp_path):
    for name in ("events_20240101", "events_20240105"):
        write_ndjson(tmp_path / name, [event("a", name, 5)])
    tree = {"kind": "ga4", "input": f"{tmp_path}/events_20240101", "end_date": "2024-01-01"}
    settings = Settings.model_validate({"source": tree, "split": {"test_input": f"{tmp_path}/events_20240105"}})
    assert input_files.match_test_files(settings).files == [f"{tmp_path}/events_20240105"]


def test_what_may_be_recommended_again_is_held_out_though_train_has_it():
    """Views after the cut of an item that only unmarked rows of train rule out."""
    rng = random.Random(3)
    rows = [(*row, rng.random() < 0.7) for row in views()]
    table = to_table([row[:4] for row in rows]).append_column(sessions.MARK, pa.array([row[4] for row in rows]))
    cut = 15_000
    train, held_out, counts = splits.divide(table, combine, SplitSettings(kind="time", time="1970-01-01T00:00:15Z"))
    before = {row[:2]: [] for row in rows if row[3] < cut}
    for row in rows:
        if row[3] < cut:
            before[row[:2]].append(row[4])
    after = {row[:2] for row in rows if row[3] >= cut}
    ruled_out = {pair for pair, marks in before.items() if not all(marks)}
    marked = {(row["visitorId"], row["contentId"]) for row in train.to_pylist() if row["again"]}
    assert as_pairs(train).keys() == before.keys() and marked == before.keys() - ruled_out
    assert as_pairs(held_out).keys() == after - ruled_out and after & marked
    assert counts[splits.IN_TRAIN] == len(after & ruled_out) > 0
