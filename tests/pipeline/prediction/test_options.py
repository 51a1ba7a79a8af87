"""The answers of batch prediction under each option and of each kind, against plain rules over all scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts import tfrecords
from artifacts.features import added_items
from artifacts.manifests import DatasetManifest, ModelManifest
from artifacts.paths import Dataset, Model
from artifacts.vocabulary import Vocabulary
from configs import cli
from configs.errors import UserError
from configs.settings import PredictionSettings, Settings
from pipeline import batch_predict
from pipeline.beam import finalize, progress
from pipeline.interactions import columns
from pipeline.prediction import allowed, audiences, plan, visitors
from pipeline.prediction.asked import Asked
from pipeline.prediction.execution import job
from tests.support.datasets import write_items
from tests.support.manifests import describe_below
from tests.support.oracles import DenseWals
from tests.support.predicted import lines_of, make_world, predict, read_json, table

RULES = {"min_ratings": 20, "min_site_ratings": 100}
DAY_MS = 86_400_000


class Plain:
    """A made world read back without the pipeline: ids, dense ratings, factors and their projections."""

    def __init__(self, root: Path):
        self.root, self.dataset, self.model = root, Dataset(str(root / "dataset")), Model(str(root / "model"))
        self.visitors, self.item_ids = (
            Vocabulary.read(p).ids for p in (self.dataset.vocab_users, self.dataset.vocab_items)
        )
        self.ratings = np.zeros((len(self.visitors), len(self.item_ids)))
        self.has = np.zeros(self.ratings.shape, bool)
        for path in (root / "dataset").glob("items_for_user-*"):
            for key, indices, values in tfrecords.read_rows(str(path)):
                self.ratings[key, indices], self.has[key, indices] = values, True
        self.users, self.items = table(self.model.user_factors), table(self.model.item_factors)
        weights = table(self.model.user_weights)[:, 0], table(self.model.item_weights)[:, 0]
        dense = DenseWals(self.has, self.ratings, *weights, 0.1, 0.2, 0.5)
        self.projected = dense.solve_rows(self.items)
        self.rules = np.where(self.has.sum(1) > RULES["min_ratings"], "factors", "projection")
        self.rules[~self.has.any(1)] = "popularity"
        self.answering = np.where((self.rules == "projection")[:, None], self.projected, self.users)
        self.popularity = self.has.sum(0).astype(float)

    def scores(self, factors: np.ndarray | None = None) -> np.ndarray:
        """Return the score of each visitor with each item, by the rules of cold start, or of the factors given."""
        if factors is None:
            known = (self.rules != "popularity")[:, None]
            return np.where(known, self.answering @ self.items.T, self.popularity)
        return factors @ self.items.T


def best(scores, ids, forbidden, k, least=-np.inf, category=None, most=10**9):
    """For each row of scores: the ids of the k greatest, ties by index, going down the order under a cap."""
    found = []
    for row, without in zip(scores, forbidden, strict=True):
        left = [n for n in range(len(ids)) if not without[n] and row[n] >= least]
        taken: dict[str, int] = {}
        answer = []
        for n in sorted(left, key=lambda n: (-np.float32(row[n]), n)):
            kind = category[n] if category else ""
            taken[kind] = taken.get(kind, 0) + 1
            if len(answer) < k and (not kind or taken[kind] <= most):
                answer.append(ids[n])
        found.append(answer)
    return found


def given(out: Path, asked: str, found: str, one: str) -> dict[bytes, list[bytes]]:
    lines = [json.loads(line) for path in out.glob("*.jsonl") for line in path.read_text().splitlines()]
    return {line[asked].encode(): [entry[one].encode() for entry in line[found]] for line in lines}


def recommended(out: Path) -> dict[bytes, list[bytes]]:
    return {visitor: [name for name, _ in entries] for visitor, entries in read_json(out).items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Plain(make_world(tmp_path_factory.mktemp("world"), 3, cold_start=RULES))


def test_each_visitor_is_answered_by_the_rule_that_cold_start_names(plain, tmp_path):
    content = predict(plain.root, tmp_path / "out", top_k=7)
    expected = best(plain.scores(), plain.item_ids, plain.has, 7)
    assert recommended(tmp_path / "out") == dict(zip(plain.visitors, expected, strict=True))
    lines = [json.loads(line) for line in lines_of(tmp_path / "out", ".jsonl")]
    assert {line["visitorId"].encode(): line["rule"] for line in lines} == dict(
        zip(plain.visitors, plain.rules, strict=True)
    )
    names, counts = np.unique(plain.rules, return_counts=True)
    assert content["rules"] == dict(zip(names.tolist(), counts.tolist(), strict=True)) and len(names) == 3


def test_a_small_site_is_answered_by_popularity(plain, tmp_path):
    root = make_world(tmp_path, 1, cold_start={"min_ratings": 0, "min_site_ratings": 10**6})
    predict(root, tmp_path / "out", top_k=5)
    scores = np.tile(plain.popularity, (len(plain.visitors), 1))
    assert recommended(tmp_path / "out") == dict(
        zip(plain.visitors, best(scores, plain.item_ids, plain.has, 5), strict=True)
    )


def test_projected_factors_are_those_of_the_rows_own_solution(plain, tmp_path):
    content = predict(plain.root, tmp_path / "out", top_k=7, factors="projected", block_size=31)
    scores = plain.scores(plain.projected)
    scores[plain.rules == "popularity"] = plain.popularity
    assert recommended(tmp_path / "out") == dict(
        zip(plain.visitors, best(scores, plain.item_ids, plain.has, 7), strict=True)
    )
    assert content["factors"] == "projected" and set(content["rules"]) == {"projection", "popularity"}


def test_listed_items_and_a_least_score_bound_what_is_given(plain, tmp_path):
    rng = np.random.default_rng(1)
    allow = [name for name in plain.item_ids if rng.random() < 0.6]
    block = [name for name in plain.item_ids if rng.random() < 0.2]
    (tmp_path / "allow").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([*allow, b"unknown"]))
    (tmp_path / "block").write_bytes(b"\n".join(block) + b"\n\n")
    lists = {"allow": str(tmp_path / "allow"), "block": str(tmp_path / "block")}
    content = predict(plain.root, tmp_path / "out", top_k=15, min_score=1.5, **lists)
    banned = np.array([name not in allow or name in block for name in plain.item_ids])
    scores = plain.scores()
    expected = best(scores, plain.item_ids, plain.has | banned, 15, 1.5)
    assert recommended(tmp_path / "out") == dict(zip(plain.visitors, expected, strict=True))
    assert content["counts"]["visitors_without"] == sum(not answer for answer in expected) > 0
    assert (content["counts"]["allow_listed"], content["counts"]["allow_found"]) == (len(allow) + 1, len(allow))
    assert (content["counts"]["block_listed"], content["counts"]["block_found"]) == (len(block), len(block))


def test_a_list_of_which_no_item_is_found_says_so(plain, tmp_path, capsys):
    (tmp_path / "block").write_text("contentId\nnothing\n")
    counts = predict(plain.root, tmp_path / "out", top_k=2, block=str(tmp_path / "block"))["counts"]
    assert (counts["block_listed"], counts["block_found"]) == (1, 0)
    assert f"no id of prediction.block {tmp_path}/block is in the dataset" in capsys.readouterr().out
    (tmp_path / "only").write_text('"visitorId"\n"nobody"\n')
    predict(plain.root, tmp_path / "only-one", top_k=2, only=str(tmp_path / "only"))
    assert set(recommended(tmp_path / "only-one")) == {b"nobody"}


def test_old_items_are_left_out(plain, tmp_path):
    predict(plain.root, tmp_path / "out", top_k=90, max_age_days=9.5, include_seen=True)
    items = pq.read_table(plain.dataset.items)
    first, last = items["first_time_ms"].to_numpy(), items["last_time_ms"].to_numpy()
    young = {name for name, time in zip(plain.item_ids, first, strict=True) if time >= last.max() - 9.5 * DAY_MS}
    assert all(set(answer) == young for answer in recommended(tmp_path / "out").values())
    assert 5 < len(young) < 80


@pytest.mark.parametrize("kinds", [2, 11])
def test_no_category_takes_more_than_its_share(plain, tmp_path, kinds):
    category = ["" if n % 13 == 0 else f"kind {n % kinds}" for n in range(len(plain.item_ids))]
    names = [name.decode() for name in plain.item_ids]
    lines = ["contentId,title,category", *(f"{name},t,{kind}" for name, kind in zip(names, category, strict=True))]
    (tmp_path / "catalogue.csv").write_text("\n".join(lines))
    predict(plain.root, tmp_path / "out", catalogue=tmp_path / "catalogue.csv", top_k=12, max_per_category=3)
    expected = best(plain.scores(), plain.item_ids, plain.has, 12, category=category, most=3)
    assert recommended(tmp_path / "out") == dict(zip(plain.visitors, expected, strict=True))


@pytest.mark.parametrize("written", ["Contentid,title\na,A\n", "contentId,title\na,Thé\n"])
def test_a_catalogue_that_cannot_be_read_is_refused_where_nothing_of_it_is_used(plain, tmp_path, written):
    (tmp_path / "catalogue.csv").write_bytes(written.encode("latin-1"))
    with pytest.raises(UserError, match=r"catalogue .*(no column contentId|Latin-1)"):
        predict(plain.root, tmp_path / "out", catalogue=tmp_path / "catalogue.csv", top_k=2)
    assert not (tmp_path / "out").exists()


def test_categories_are_the_datasets_and_those_of_a_catalogue_win(tmp_path):
    dataset, ids, options = Dataset(str(tmp_path)), ["a", "b", "c", "d"], PredictionSettings(max_per_category=1)
    write_items(dataset, ids, np.ones(4), category=["Tea", None, "Film", "Tea"])
    coded = [name.encode() for name in ids]
    assert allowed.categories(options, coded, dataset, str(tmp_path / "none.csv")).tolist() == [0, -1, 1, 0]
    (tmp_path / "some.csv").write_text("contentId,title,category\na,A,Film\nb,B,Go\nc,C,\n")
    assert allowed.categories(options, coded, dataset, str(tmp_path / "some.csv")).tolist() == [0, 1, 0, 2]
    rows = pa.table({"contentId": pa.array([b"e", b"c"]), "category": ["Tea", "Go"]})
    added_items.add(str(tmp_path / "added.parquet"), rows)
    tables = dataset, None, str(tmp_path / "added.parquet")
    assert allowed.categories(options, [*coded, b"e"], *tables).tolist() == [0, -1, 1, 0, 0]  # the dataset's wins


def test_only_those_listed_are_answered_and_unknown_ids_get_what_is_popular(plain, tmp_path):
    asked = [*plain.visitors[3:40:5], b"unknown", b"zebra"]
    (tmp_path / "only").write_bytes(b"\n".join(asked))
    content = predict(plain.root, tmp_path / "out", top_k=4, only=str(tmp_path / "only"), explanation=2)
    expected = dict(zip(plain.visitors, best(plain.scores(), plain.item_ids, plain.has, 4), strict=True))
    popular = best(plain.popularity[None], plain.item_ids, np.zeros((1, 90), bool), 4)[0]
    expected |= {b"unknown": popular, b"zebra": popular}
    assert recommended(tmp_path / "out") == {name: expected[name] for name in asked}
    assert content["counts"]["visitors"] == len(asked) and content["counts"]["visitors_unknown"] == 2


def test_reasons_are_the_greatest_parts_of_the_projected_score(plain, tmp_path):
    predict(plain.root, tmp_path / "out", top_k=3, explanation=90, formats=["jsonl", "parquet"])
    number = {name: n for n, name in enumerate(plain.item_ids)}
    for line in map(json.loads, lines_of(tmp_path / "out", ".jsonl")):
        row = plain.visitors.index(line["visitorId"].encode())
        for entry in line["recommendations"]:
            parts = [part["contribution"] for part in entry["explanation"]]
            assert parts == sorted(parts, reverse=True)
            if line["rule"] == "popularity":
                assert parts == []
                continue
            because = {number[part["contentId"].encode()] for part in entry["explanation"]}
            assert because == set(np.flatnonzero(plain.has[row]).tolist())
            score = plain.projected[row] @ plain.items[number[entry["contentId"].encode()]]
            assert sum(parts) == pytest.approx(score, abs=1e-4)
    predict(plain.root, tmp_path / "two", top_k=3, explanation=2)
    whole, two = (
        {line["visitorId"]: line for line in map(json.loads, lines_of(tmp_path / name, ".jsonl"))}
        for name in ("out", "two")
    )
    for line in whole.values():
        for entry in line["recommendations"]:
            entry["explanation"] = entry["explanation"][:2]
    assert whole == two


@pytest.mark.parametrize("more", [{}, {"explanation": 2}, {"kind": "audiences"}])
def test_parquet_says_what_json_lines_say(plain, tmp_path, more):
    predict(plain.root, tmp_path / "out", top_k=4, formats=["jsonl", "parquet"], block_size=29, **more)
    for path in (tmp_path / "out").glob("*.parquet"):
        lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
        assert round_scores(pq.read_table(path).to_pylist()) == round_scores(lines)
    assert list((tmp_path / "out").glob("*.parquet"))


def round_scores(tree):
    if isinstance(tree, float):
        return np.float32(tree)
    if isinstance(tree, dict):
        return {name: round_scores(value) for name, value in tree.items()}
    return [round_scores(value) for value in tree] if isinstance(tree, list) else tree


def expected_audiences(plain, k, factors=None, forbidden=None, **more):
    scores = plain.scores(plain.answering if factors is None else factors).T
    found = best(scores, plain.visitors, plain.has.T if forbidden is None else forbidden, k, **more)
    return dict(zip(plain.item_ids, found, strict=True))


@pytest.mark.parametrize("size", [4096, 7])
def test_any_block_of_visitors_gives_the_same_audiences(plain, size):
    options = {"kind": "audiences", "top_k": 6, "block_size": 40}
    tree = {"dataset_dir": plain.dataset.root, "model_dir": plain.model.root, "prediction": options}
    made, _ = plan.make(Settings.model_validate(tree))
    asked, tables = Asked(made), {}
    for shard in range(3):
        for block in visitors.read(made, asked.items, shard, size, None):
            for number, best_ones in audiences.best_of_block(made, asked, block):
                tables.setdefault(number, []).append(best_ones)
    found = {}
    for number, parts in tables.items():
        ids = asked.ids[number * 40 : (number + 1) * 40]
        merged = columns.from_bytes(iter([audiences.merge(parts, 6)]))
        answers = audiences.as_answers(ids, ["factors"] * len(ids), merged, 6)
        for name, row in zip(ids, answers.best.indices, strict=True):
            found[name] = [answers.names.ids[index] for index in row if index >= 0]
    assert found == expected_audiences(plain, 6)


def test_audiences_are_the_best_visitors_of_each_item(plain, tmp_path):
    content = predict(plain.root, tmp_path / "out", kind="audiences", top_k=6, block_size=40)
    assert given(tmp_path / "out", "contentId", "audience", "visitorId") == expected_audiences(plain, 6)
    assert content["counts"]["items"] == 90 and content["counts"]["audiences"] == 90 * 6
    assert {path.name.split("-")[0] for path in (tmp_path / "out").glob("*-*")} == {"audiences"}


def test_audiences_take_the_options_the_other_way_round(plain, tmp_path):
    (tmp_path / "block").write_bytes(b"\n".join(plain.visitors[::3]))
    (tmp_path / "only").write_bytes(b"\n".join([*plain.item_ids[5:50:4], b"fresh"]))
    options = {"kind": "audiences", "top_k": 9, "min_score": 2.0, "factors": "projected"}
    lists = {"block": str(tmp_path / "block"), "only": str(tmp_path / "only")}
    predict(plain.root, tmp_path / "out", **options, **lists)
    blocked = np.isin(np.arange(150), np.arange(0, 150, 3))
    expected = expected_audiences(plain, 9, plain.projected, plain.has.T | blocked, least=2.0)
    mean = plain.projected @ plain.items.astype("f").mean(0, dtype="d")
    fresh = best(mean[None], plain.visitors, blocked[None], 9, 2.0)[0]
    found = given(tmp_path / "out", "contentId", "audience", "visitorId")
    assert found == {name: expected[name] for name in plain.item_ids[5:50:4]} | {b"fresh": fresh}
    rules = {line["contentId"]: line["rule"] for line in map(json.loads, lines_of(tmp_path / "out", ".jsonl"))}
    assert rules.pop("fresh") == "mean item" and set(rules.values()) == {"factors"}


@pytest.mark.parametrize("kind", ["recommendations", "audiences"])
def test_who_watches_sees_how_far_it_is(plain, tmp_path, monkeypatch, kind):
    seen, take = [], finalize.take_summary

    def look(staging: str) -> dict:
        seen.append(progress.count(staging, due[0]) == due[1])
        return take(staging)

    tree = {"dataset_dir": str(plain.root / "dataset"), "model_dir": str(plain.root / "model")}
    due = job.files_due(plan.make(Settings.model_validate(tree | {"prediction": {"kind": kind}}))[0])
    monkeypatch.setattr(finalize, "take_summary", look)
    predict(plain.root, tmp_path / "out", kind=kind)
    assert seen == [True] and due[1] == {"recommendations": 3 * 2, "audiences": 3}[kind]
    assert all(path.is_file() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_similar_items_and_visitors(plain, tmp_path, metric):
    def like(vectors, ids):
        if metric == "cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return dict(zip(ids, best(vectors @ vectors.T, ids, np.eye(len(ids), dtype=bool), 5), strict=True))

    predict(plain.root, tmp_path / "c", kind="similar_items", metric=metric, top_k=5)
    assert given(tmp_path / "c", "contentId", "similar_items", "contentId") == like(plain.items, plain.item_ids)
    (tmp_path / "only").write_bytes(b"\n".join(plain.visitors[::4]))
    predict(plain.root, tmp_path / "v", kind="similar_visitors", metric=metric, top_k=5, only=str(tmp_path / "only"))
    expected = like(plain.answering, plain.visitors)
    found = given(tmp_path / "v", "visitorId", "similar_visitors", "visitorId")
    assert found == {name: expected[name] for name in plain.visitors[::4]}
    rules = {line["visitorId"].encode(): line["rule"] for line in map(json.loads, lines_of(tmp_path / "v", ".jsonl"))}
    projected = {name for name, rule in zip(plain.visitors, plain.rules, strict=True) if rule == "projection"}
    assert {name for name, rule in rules.items() if rule == "projection"} == projected & set(rules)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": "/nowhere"}, r"prediction.only /nowhere does not exist"),
        ({"block": "EMPTY"}, "has no ids; write one per line"),
        ({"allow": "UNKNOWN"}, "leave no items; widen them"),
        ({"max_per_category": 1}, "has a category; set source.attributes or a catalogue"),
        ({"kind": "similar_items", "only": "UNKNOWN"}, "has no id of the dataset"),
        ({"kind": "audiences", "top_k": 151}, "top_k 151 is larger than the dataset of 150 visitors"),
        ({"kind": "audiences", "only": "ONE", "max_age_days": 1}, "nothing is left to answer"),
    ],
)
def test_an_option_that_cannot_be_met_is_said_in_one_line(plain, tmp_path, options, said):
    files = {"EMPTY": "\n\n", "UNKNOWN": "nobody\n", "ONE": plain.item_ids[0].decode()}
    files = {name: write(tmp_path / name, text) for name, text in files.items()}
    options = {name: files.get(value, value) for name, value in options.items()}
    with pytest.raises(UserError, match=said) as caught:
        predict(plain.root, tmp_path / "out", **{"top_k": 2} | options)
    assert len(str(caught.value).splitlines()) == 1 and not list(tmp_path.glob("out*"))


def test_ages_without_times_are_refused(tmp_path):
    root = make_world(tmp_path, 1)
    dataset = Dataset(str(root / "dataset"))
    names = Vocabulary.read(dataset.vocab_items).texts()
    write_items(dataset, names, np.ones(90), first_time_ms=[None] * 90, last_time_ms=[None] * 90)
    made = DatasetManifest.read(dataset.manifest)
    made.files |= describe_below(root / "dataset", dataset.items)
    made.write(dataset.manifest)
    trained = ModelManifest.read(Model(str(root / "model")).manifest)
    trained.dataset.fingerprint = made.fingerprint()
    trained.write(Model(str(root / "model")).manifest)
    with pytest.raises(UserError, match=r"the dataset has no times; set source\.time_column"):
        predict(root, tmp_path / "out", top_k=2, max_age_days=3)


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        ({"kind": "audiences", "explanation": 1}, "explanation is for recommendations"),
        ({"kind": "audiences", "max_per_category": 1}, "max_per_category is for items"),
        ({"kind": "similar_visitors", "max_age_days": 1}, "max_age_days is for items"),
        ({"explanation": 1, "formats": ["text"]}, "explanation needs jsonl or parquet"),
        ({"kind": "best"}, "kind"),
    ],
)
def test_options_that_do_not_go_together_are_refused(prediction, said):
    with pytest.raises(ValueError, match=said):
        Settings.model_validate({"prediction": prediction})


def test_the_command_takes_a_kind_and_goes_to_its_directory(plain, tmp_path, capsys):
    config = write(
        tmp_path / "config.yaml", f"beam: {{runner: FnApiRunner}}\naudiences_dir: {tmp_path / 'audiences'}\n"
    )
    places = ["--dataset_dir", str(plain.root / "dataset"), "--model_dir", str(plain.root / "model")]
    assert cli.run(batch_predict.main, ["--config", config, *places, "--kind", "audiences", "--top_k", "3"]) == 0
    assert "items per second" in capsys.readouterr().out
    assert json.loads((tmp_path / "audiences" / "manifest.json").read_text())["kind"] == "audiences"
    assert cli.run(batch_predict.main, ["--config", config, *places]) == 2
    assert "pass --output_dir" in capsys.readouterr().err


def test_a_large_k_is_answered_in_smaller_blocks(plain):
    options = PredictionSettings(top_k=100_000)
    made = plan.Plan(None, None, 1, 1, 1, 1, 1, False, options, None, None, False, None, None, (), None)
    assert made.block_size == 10
