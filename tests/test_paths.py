"""Names of inputs and outputs: links stay, and what cannot be is refused in one line before any work."""

import os

import pytest
import scipy.sparse as sp

from artifacts import publish, storage
from artifacts.storage import locks
from configs.errors import UserError
from configs.settings import Settings, SourceSettings, TrainingSettings
from pipeline import preprocess, sample
from pipeline.sources import input_files
from report import page
from serving import publish as serving_publish
from tests.support import quick_export
from tests.support.datasets import write_dataset
from tests.support.manifests import dataset_manifest
from trainer import evaluate
from trainer.job import training_job
from trainer.tuning import study


def output(root, text=b"new", replace=True):
    """Publish a dataset that has one file."""
    with publish.staged(str(root), "dataset", replace) as staging:
        storage.write_bytes(f"{staging}/file", text)
        dataset_manifest(1, 1, 1, files={}).write(f"{staging}/manifest.json")


@pytest.mark.parametrize("name", ["plain", "shop [old]* ü", "a b/c"])
def test_an_output_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    output(name)
    assert storage.read_bytes(f"{name}/file") == b"new"
    storage.write_bytes(f"{name}.json", b"x")
    assert [file.path for file in storage.glob(f"{name}.json")] == [f"{name}.json"]
    assert [file.path for file in storage.glob(f"{name}/f*")] == [f"{name}/file"]
    assert [file.path for file in storage.glob(f"{name}/**e")] == [f"{name}/file"]


def test_a_link_to_an_output_stays_and_its_target_is_replaced(tmp_path):
    output(tmp_path / "real", b"old")
    os.symlink("real", tmp_path / "link")
    output(tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "real"
    assert (tmp_path / "real" / "file").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_a_link_to_nothing_is_written_through(tmp_path):
    os.symlink("real", tmp_path / "link")
    output(tmp_path / "link")
    os.symlink("new.json", tmp_path / "link.json")
    storage.write_bytes(str(tmp_path / "link.json"), b"x")
    assert (tmp_path / "real" / "file").exists() and (tmp_path / "new.json").read_bytes() == b"x"
    assert os.path.islink(tmp_path / "link") and os.path.islink(tmp_path / "link.json")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    publish.check_file(str(tmp_path / "pipe"))
    storage.write_bytes(str(tmp_path / "pipe"), b"x")
    assert os.read(reader, 9) == b"x" and os.listdir(tmp_path) == ["pipe"]
    os.close(reader)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("directory", "directory is a directory; name a file"),
        ("none/", "none/ is a directory; name a file"),
        ("file/below", "cannot be written: (File exists|Not a directory)"),
        ("n" * 300, "cannot be written: File name too long"),
        ("n" * 250, "cannot be written: File name too long"),
        ("loop", "cannot be written: Too many levels of symbolic links"),
        ("/proc/none/x", "/proc/none/x cannot be written: No such file or directory"),
        ("s3://bucket/x", "s3://bucket/x: its scheme is not supported; name a local path or a gs:// URL"),
        ("file:///x", "its scheme is not supported"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    os.mkdir("directory")
    storage.write_bytes("file", b"x")
    os.symlink("loop", "loop")
    before = sorted(os.listdir())
    with pytest.raises(UserError, match=said):
        publish.check_file(name)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", "file is a file; name a directory for the dataset"),
        ("file/below", "cannot be written: (File exists|Not a directory)"),
        ("n" * 300, "cannot be written: File name too long"),
        ("n" * 250, "cannot be written: File name too long"),
        ("loop", "cannot be written: Too many levels of symbolic links"),
        ("round/below", "cannot be written: (File exists|Too many levels of symbolic links)"),
        ("/", "/ cannot be an output; name a directory below it"),
        ("s3://bucket/x", "its scheme is not supported"),
        ("file:///x", "its scheme is not supported"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_and_blocks_nothing(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("file", b"x")
    for link, target in (("loop", "loop"), ("round", "trip"), ("trip", "round")):
        os.symlink(target, link)
    for refuse in (output, lambda root: publish.check_output(root, "dataset", replace=True)):  # a dry run, too
        with pytest.raises(UserError, match=said):
            refuse(name)
        assert sorted(os.listdir()) == ["file", "loop", "round", "trip"]


def test_a_dry_run_tells_what_a_run_would_need(tmp_path):
    root = str(tmp_path / "a" / "b")
    assert publish.check_output(root, "dataset", replace=False) is None and os.listdir(tmp_path) == []
    assert publish.check_output("gs://bucket/x", "dataset", replace=False) is None
    output(root)
    assert publish.check_output(root, "dataset", replace=True) is None
    assert "is not empty: a run needs --replace" in str(publish.check_output(root, "dataset", replace=False))
    os.remove(f"{root}/manifest.json")
    with pytest.raises(UserError, match="contains files but no dataset"):
        publish.check_output(root, "dataset", replace=True)


def test_a_lock_of_another_service_is_refused():
    with pytest.raises(UserError, match="its scheme is not supported"), locks.claim("s3://bucket/x"):
        pass


@pytest.mark.parametrize("name", ["shop [old]", "a*", "why?", "a\\b"])
def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused_where_it_reads(tmp_path, name):
    root = str(tmp_path / name / "x")
    settings = Settings.model_validate({"source": {"input": "none"}, "dataset_dir": root})
    for job in (
        lambda: preprocess.preprocess(settings, [], False),
        lambda: training_job.train(settings.training, str(tmp_path), root, False),
        lambda: serving_publish.publish(str(tmp_path), root, "wals"),
    ):
        with pytest.raises(UserError, match="TensorFlow cannot read below a name with"):
            job()
    assert os.listdir(tmp_path) == []


def test_commands_write_through_links(tmp_path, monkeypatch):
    """A model's directory and a search's may be links, also to what does not exist yet."""
    os.symlink("real", tmp_path / "link")
    data = write_dataset(tmp_path / "data", sp.random(9, 7, 0.5, random_state=1))
    settings = TrainingSettings(embedding_dimension=2, max_sweeps=2)
    with quick_export.without_graphs():
        for replace in (False, True):
            training_job.train(settings, data, str(tmp_path / "link"), replace)
    assert (tmp_path / "real" / "manifest.json").exists() and os.path.islink(tmp_path / "link")
    os.symlink("searches", tmp_path / "study")
    for replace in (False, True):
        study.Study(str(tmp_path / "study")).make_room(replace)
    assert (tmp_path / "searches").is_dir() and os.path.islink(tmp_path / "study")


@pytest.mark.parametrize("url", ["s3://bucket/x", "gs://bucket/x", "file:///x"])
def test_a_sample_is_local(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="name a local directory"):
        sample.main(["--output_dir", url])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("module", [evaluate, page])
def test_a_result_file_is_checked_before_the_work(tmp_path, monkeypatch, module):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("dataset_dir: none\nmodel_dir: none\n")
    flag = "--output_json" if module is evaluate else "--output"
    with pytest.raises(UserError, match=r"c.yaml/x cannot be written"):
        module.main(["--config", "c.yaml", flag, "c.yaml/x"])
    with pytest.raises(UserError, match="none"):  # a file in the working directory is right
        module.main(["--config", "c.yaml", flag, "e.json"])
    assert os.listdir(tmp_path) == ["c.yaml"]


@pytest.mark.parametrize(
    ("pattern", "kept", "said"),
    [
        ("events_*", ["events_20240103"], None),
        ("shop [old] ü/events_*", ["events_20240104"], None),
        ("days/events_*", None, "no file matches days/events_.*, only directories do; name their files, e.g. 'days/"),
        ("days", None, "only directories do"),
        ("days/*/*", ["part-0"], None),
        ("days/**", ["part-0"], None),
        ("days/**/part-*", ["part-0"], None),
        ("days/events_20240105/**/part-*", ["part-0"], None),
        ("linked/*/*", ["part-0"], None),
        ("s3://bucket/x*", None, "its scheme is not supported"),
        ("file:///x*", None, "its scheme is not supported"),
        ("broken", None, "no file matches broken"),
        ("days/events_20240105/part-0.bak", ["part-0.bak"], None),
    ],
)
def test_inputs_of_any_name_are_found_without_strays(tmp_path, monkeypatch, pattern, kept, said):
    monkeypatch.chdir(tmp_path)
    strays = [
        "part-0.bak",
        "part-0.tmp",
        "part-0.partial",
        "part-0._COPYING_",
        "_SUCCESS",
        ".part-0.crc",
        "part-0.crc",
        "part-0~",
        "_temporary/0/part-1",
        ".hidden/part-2",
    ]
    names = ["events_20240103", "shop [old] ü/events_20240104", "days/events_20240105/part-0"]
    for name in [*names, *(f"days/events_20240105/{stray}" for stray in strays)]:
        storage.write_bytes(name, b"{}")
    os.symlink("days", "linked")
    os.symlink("nothing", "broken")
    source = SourceSettings(kind="ga4", input=pattern)
    if said:
        with pytest.raises(UserError, match=said):
            input_files.match_files(source)
    else:
        assert [os.path.basename(path) for path in input_files.match_files(source).files] == kept


def test_a_file_and_a_link_to_it_are_read_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("events_20240103", "other/x", "events_20240104"):
        storage.write_bytes(name, b"{}")
    os.symlink("events_20240104", "a_link")
    os.symlink("events_20240104", "latest")
    os.symlink("other/x", "to_x")
    os.symlink("other/x", "to_x_too")
    files = input_files.match_files(SourceSettings(kind="ga4", input="*")).files
    assert files[:2] == ["events_20240103", "events_20240104"] and len(files) == 3 and files[2].startswith("to_x")
    assert input_files.match_files(SourceSettings(kind="ga4", input="latest")).files == ["latest"]
