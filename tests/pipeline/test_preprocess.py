"""The job that makes a dataset, run whole."""

import datetime
import json
import statistics
import sys

import pytest
import tensorflow as tf
import tensorflow_transform as tft

from artifacts import tfrecords
from artifacts.paths import Dataset
from artifacts.vocabulary import Vocabulary
from configs.errors import UserError
from pipeline import preprocess, sample
from tests.support import forkserver
from tests.support.exports import event, hit, make_dataset, ratings, reads, rejected, session, settings, write_ndjson

ODD_IDS = ["plain", "007", "trailing ", " leading", "tab\there", "a,b", "ß→漢字", "\u00e9", "e\u0301", "x" * 10_000]
ODD_IDS += ['"quoted"', "\\n"]


def files(root):
    """Read every file of a dataset's rows and vocabularies."""
    kept = [path for path in sorted(root.rglob("*")) if "_for_" in path.name or path.name.startswith("vocab")]
    return {path.name: path.read_bytes() for path in kept}


def test_a_small_export_becomes_the_dataset_computed_by_hand(tmp_path):
    dwells = {("a", "x"): 1000, ("a", "y"): 2000, ("b", "x"): 4000, ("c", "x"): 3000, ("c", "z"): 9000}
    by_visitor = {}
    for (visitor, content), dwell in dwells.items():
        by_visitor.setdefault(visitor, {})[content] = dwell
    rows = [reads(visitor, items) for visitor, items in by_visitor.items()]
    write_ndjson(tmp_path / "in" / "one.ndjson", rows[:1])
    write_ndjson(tmp_path / "in" / "two.ndjson.gz", rows[1:])
    manifest = make_dataset(tmp_path / "out", tmp_path / "in" / "*", rating={"preset": "course"})

    median = statistics.median(dwells.values())
    expected = {(v.encode(), c.encode()): min(1.0, 0.3 * d / median) for (v, c), d in dwells.items()}
    for side in ("items_for_user", "users_for_item"):
        found = ratings(tmp_path / "out", side)
        assert found == pytest.approx(expected, rel=1e-6)
    dataset = Dataset(str(tmp_path / "out"))
    # Most interactions first, ties by bytes descending.
    assert Vocabulary.read(dataset.vocab_users).ids == [b"c", b"a", b"b"]
    assert Vocabulary.read(dataset.vocab_items).ids == [b"x", b"z", b"y"]
    counts = {"files_read": 2, "files_outside_window": 0, "rows_read": 3, "rows_rejected": 0}
    counts |= {"interactions": 5, "users": 3, "items": 3}
    assert manifest["counts"] == counts
    assert manifest["median"] == median
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"] == counts
    assert not list(tmp_path.glob("*.partial"))


def test_renderings_layouts_shards_and_compression_agree(tmp_path):
    """NDJSON, Avro and Parquet: byte-identical vocabularies and rows; so do shards and gzip hold equal rows."""
    argv = ["--visitors", "60", "--items", "40", "--days", "2", "--layouts", "ga360", "--output_dir"]
    sample.main([*argv, str(tmp_path / "in"), "--formats", "ndjson", "avro", "parquet"])
    found = {}
    for name in ("ga360", "ga360-avro", "ga360-parquet"):
        make_dataset(tmp_path / name, tmp_path / "in" / name / "*")
        found[name] = files(tmp_path / name)
    assert found["ga360"] == found["ga360-avro"] == found["ga360-parquet"]

    make_dataset(tmp_path / "sharded", tmp_path / "in/ga360/*", dataset={"shards": 3, "gzip": True})
    paths = sorted((tmp_path / "sharded").glob("items_for_user-*"))
    assert [path.name for path in paths] == [f"items_for_user-0000{s}-of-00003.gz" for s in range(3)]
    for shard, path in enumerate(paths):
        keys = [key for key, _, _ in tfrecords.read_rows(str(path))]
        assert keys == sorted(keys)
        assert {key % 3 for key in keys} <= {shard}
    for side in ("items_for_user", "users_for_item"):
        assert ratings(tmp_path / "sharded", side) == ratings(tmp_path / "ga360", side)


def test_ids_survive_byte_for_byte_and_bad_ones_are_kept_aside(tmp_path):
    rows = [event(name, name, 1000 + place) for place, name in enumerate(ODD_IDS)]
    rows += [event("new\nline", "x", 5), event("v", "", 5), event("v", "c\r", 5), event(None, "x", 5)]
    path = write_ndjson(tmp_path / "events.ndjson", rows)
    manifest = make_dataset(tmp_path / "out", path, "ga4", source={"max_reject_fraction": 0.5})
    ids = [name.encode() for name in ODD_IDS]
    assert set(ratings(tmp_path / "out")) == {(name, name) for name in ids}
    assert sorted(Vocabulary.read(Dataset(str(tmp_path / "out")).vocab_users).ids) == sorted(ids)
    assert manifest["rejected"] == {
        "records.visitor_id_newline": 1,
        "records.content_id_newline": 1,
    }
    assert manifest["skipped"] == {"records.no_visitor_id": 1, "records.no_item": 1}
    assert manifest["counts"]["rows_read"] == len(ids) + 3 + 1
    assert [(row["record"], row["reason"]) for row in rejected(tmp_path / "out")] == [
        (13, "visitor_id_newline"),
        (15, "content_id_newline"),
    ]


def test_minimum_counts_leave_out_and_count(tmp_path):
    rows = [reads("a", {"x": 10, "y": 10, "z": 10}), reads("b", {"x": 10, "y": 10}), reads("c", {"x": 10})]
    path = write_ndjson(tmp_path / "in.ndjson", rows)
    manifest = make_dataset(
        tmp_path / "out", path, dataset={"min_items_per_user": 2, "min_users_per_item": 2}, rating={"kind": "binary"}
    )
    assert set(ratings(tmp_path / "out")) == {(v, c) for v in (b"a", b"b") for c in (b"x", b"y")}
    expected = {"items.no_item": 3, "pairs.below_min_items_per_user": 1, "pairs.below_min_users_per_item": 1}
    assert manifest["skipped"] == expected


def test_the_transform_fn_encodes_what_it_is_given(tmp_path):
    export = write_ndjson(tmp_path / "in", [reads("a", {"x": 1000, "y": 3000})])
    make_dataset(tmp_path / "out", export, beam={"runner": "FnApiRunner"})
    output = tft.TFTransformOutput(Dataset(str(tmp_path / "out")).transform_fn)
    assert output.vocabulary_size_by_name("vocab_items") == 2

    def lists(values, dtype):
        return tf.ragged.constant([values], dtype, row_splits_dtype=tf.int64)

    block = {
        "visitorId": lists(["a"], tf.string),
        "visitor_count": lists([1], tf.int64),
        "visitor_place": lists([0], tf.int64),
        "contentId": lists(["x"], tf.string),
        "item_count": lists([1], tf.int64),
        "item_place": lists([0], tf.int64),
        "amount": lists([3000.0], tf.float32),
    }
    encoded = output.transform_features_layer()(block)
    items = Vocabulary.read(Dataset(str(tmp_path / "out")).vocab_items).ids
    assert items[int(encoded["itemId"].values[0])] == b"x"
    assert float(encoded["rating"].values[0]) == pytest.approx(min(1, 3 * 3000 / float(encoded["median"][0])))


def export(tmp_path, name="in.ndjson"):
    return write_ndjson(tmp_path / name, [reads("a", {"x": 10})])


@pytest.mark.parametrize(
    ("rows", "sections", "said"),
    [
        ([], {}, "the files contain no rows"),
        ([reads("a", {"x": 10})], {"source": {"start_date": "20250101"}},
         "no row is in the window 2025-01-01 to ...; the files contain 20240101 to 20240101"),
        ([reads("a", {"x": 10})], {"source": {"item_dimension_index": 7}},
         r"none has the custom dimension 7; seen were 4 \(2\), 10 \(1\); set source.item_dimension_index"),
        ([event("a", "x", 10)], {}, "no row has a fullVisitorId: are these ga360 exports"),
        ([session("a", 1, [hit(1, 0, "x")])], {}, "no interactions in 1 row: pairs.no_dwell 1"),
        ([reads("a", {"x": 10}), b"{oops"], {},
         r"1 of 2 rows were rejected, more than source.max_reject_fraction 0.01: records.malformed 1; "
         r"the first: malformed, .*in.ndjson, record 2"),
        ([reads("a", {"x": 10})], {"dataset": {"min_users_per_item": 2}}, "minimum counts .* leave none of 1"),
    ],
    ids=["empty", "window", "dimension", "ga4", "dwell", "garbage", "minimum counts"],
)  # fmt: skip
def test_a_useless_input_is_refused_and_leaves_nothing(tmp_path, rows, sections, said):
    path = write_ndjson(tmp_path / "in.ndjson", rows)
    with pytest.raises(UserError, match=said):
        make_dataset(tmp_path / "out", path, **sections)
    assert [found.name for found in tmp_path.iterdir()] == ["in.ndjson"]


def test_a_sliding_window_reads_the_tables_of_its_days_alone(tmp_path):
    """Tables outside are not even opened: here they hold garbage."""
    for day in range(1, 6):
        rows = [session("a", day, [hit(1, 0, f"c{day}"), hit(2, 9)], f"2024010{day}")]
        write_ndjson(tmp_path / f"ga_sessions_2024010{day}.ndjson", rows if day in (3, 4) else [b"garbage"])
    write_ndjson(tmp_path / "2024-01-01.ndjson", [session("a", 1, [hit(1, 0, "late"), hit(2, 9)], "20240104")])
    window = {"window_days": 2, "end_date": "2024-01-04"}
    manifest = make_dataset(tmp_path / "out", tmp_path / "*.ndjson", source=window)
    counts = {name: manifest["counts"][name] for name in ("files_read", "files_outside_window", "interactions")}
    assert counts == {"files_read": 3, "files_outside_window": 3, "interactions": 3}
    assert manifest["settings"]["source"]["start_date"] == "2024-01-03"
    later = {"window_days": 2, "end_date": "2024-02-01"}
    with pytest.raises(UserError, match="window 2024-01-31 to 2024-02-01; they are of 2024-01-01 to 2024-01-05"):
        make_dataset(tmp_path / "later", tmp_path / "ga_sessions_*", source=later)


def test_ratings_decay_with_the_age_of_the_last_view(tmp_path):
    """Counted back from the end of the window, whatever the kind of rating; the median is of what was dwelt."""
    start = 1704067200  # 2024-01-01T00:00:00Z
    rows = [session("a", start, [hit(1, 0, "x"), hit(2, 1000, "y"), hit(3, 4000)])]
    rows.append(session("b", start + 2 * 86400, [hit(1, 0, "x"), hit(2, 2000)], "20240103"))
    path = write_ndjson(tmp_path / "in.ndjson", rows)
    sections = {"source": {"end_date": "2024-01-03"}, "rating": {"kind": "linear", "half_life_days": 2}}
    make_dataset(tmp_path / "out", path, **sections)
    age = {(b"a", b"x"): 3.0, (b"a", b"y"): 3 - 1 / 86400, (b"b", b"x"): 1.0}
    dwell = {(b"a", b"x"): 1000, (b"a", b"y"): 3000, (b"b", b"x"): 2000}
    expected = {pair: dwell[pair] * 0.5 ** (age[pair] / 2) for pair in age}
    assert ratings(tmp_path / "out") == pytest.approx(expected, rel=1e-6)


def test_a_broken_file_among_good_ones_is_named_and_the_old_dataset_stays(tmp_path):
    make_dataset(tmp_path / "out", export(tmp_path, "a.ndjson"))
    before = files(tmp_path / "out")
    broken = export(tmp_path, "b.ndjson")
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"b.ndjson, after record 0: the last record, 1, ends within its JSON"):
        make_dataset(tmp_path / "out", tmp_path / "*.ndjson", replace=True)
    assert files(tmp_path / "out") == before
    assert not (tmp_path / "out.partial").exists()


def test_an_occupied_output_is_kept_unless_it_may_be_replaced(tmp_path):
    path = export(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="theirs is not empty; name another directory or pass --replace"):
        make_dataset(tmp_path / "theirs", path)
    with pytest.raises(UserError, match="contains files but no dataset; --replace would lose them"):
        make_dataset(tmp_path / "theirs", path, replace=True)
    assert (tmp_path / "theirs" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--input", "{tmp}/none*"], "no file matches .*none"),
        (["--input", "{tmp}/ga_sessions_intraday_*"], "no file matches .*; 1 intraday or fresh files do"),
        (["--input", "{tmp}/*", "--datasetdir", "x"], "unknown option --datasetdir"),
        (["--input", "{tmp}/*", "--set", "source.inputs=a"], "unknown key source.inputs"),
        (["--input", "{tmp}/*", "--source", "ga5"], "source.kind"),
        ([], "no input: pass --input GLOB"),
        (["--input", "{tmp}/*", "{tmp}/b"], "unexpected argument .*/b: quote a glob"),
        (
            ["--input", "{tmp}/*", "--set", "source.include_intraday=true", "--runner", "Foo"],
            "Unexpected pipeline runner",
        ),
        (["--input", "{tmp}"], "no file matches .*, only directories do; name their files, e.g. '.*/\\*'"),
        (
            ["--input", "{tmp}/*", "--set", "source.include_intraday=true", "--dataset_dir", "/proc/none"],
            "/proc/none cannot be written: No such file or directory",
        ),
    ],
)
def test_a_mistake_on_the_command_line(tmp_path, argv, said):
    export(tmp_path, "ga_sessions_intraday_20240101")
    config = tmp_path / "config.yaml"
    config.write_text(f"dataset_dir: {tmp_path}/out\nbeam: {{runner: FnApiRunner}}\n")
    with pytest.raises(UserError, match=said):
        preprocess.main(["--config", str(config), *(arg.format(tmp=tmp_path) for arg in argv)])
    assert not (tmp_path / "out").exists()


def test_intraday_files_are_read_when_asked(tmp_path):
    export(tmp_path, "ga_sessions_intraday_20240101")
    manifest = make_dataset(tmp_path / "out", tmp_path / "ga_*", source={"include_intraday": True})
    assert manifest["counts"]["interactions"] == 1


def test_the_command_says_errors_in_one_line_and_exits_with_2(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("dataset_dir: out\n")
    command = [sys.executable, "-m", "pipeline.preprocess", "--config", str(config), "--input", str(tmp_path / "no*")]
    done = forkserver.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: no file matches {tmp_path}/no*"
    assert "Traceback" not in done.stderr


def test_settings_reach_the_manifest(tmp_path):
    chosen = settings(tmp_path / "out", export(tmp_path), source={"start_date": "20240101"})
    manifest = preprocess.preprocess(chosen, [], False)
    assert manifest.settings.source.start_date == datetime.date(2024, 1, 1)
    assert (manifest.days.first, manifest.days.last) == ("20240101", "20240101")
