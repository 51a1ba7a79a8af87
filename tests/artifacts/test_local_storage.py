"""Storage on a local disk: writes are atomic, and leave nothing else."""

import os

import pytest

from artifacts import storage
from configs.errors import UserError


def test_a_write_replaces_the_whole_file_and_makes_its_directory(tmp_path):
    path = str(tmp_path / "new" / "deep" / "file")
    for data in (b"one", b"", b"two" * 100_000):
        storage.write_bytes(path, data)
        assert storage.read_bytes(path) == data
    assert os.listdir(tmp_path / "new" / "deep") == ["file"]


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = str(tmp_path / "file")
    storage.write_bytes(path, b"old")
    with pytest.raises(TypeError), storage.open_to_write(path) as file:
        file.writelines([b"half", "no bytes"])
    assert storage.read_bytes(path) == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_removal_that_was_killed_is_finished_by_the_next_one(tmp_path):
    root = str(tmp_path / "out")
    storage.write_bytes(f"{root}.removed/part", b"left by a killed run")
    storage.write_bytes(f"{root}/deep/part", b"x")
    storage.remove(root)
    storage.remove(root)
    assert os.listdir(tmp_path) == []


def test_a_link_is_removed_and_its_target_is_kept(tmp_path):
    storage.write_bytes(str(tmp_path / "kept" / "part"), b"x")
    os.symlink(tmp_path / "kept", tmp_path / "link")
    storage.remove(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["kept"] and storage.read_bytes(str(tmp_path / "kept" / "part")) == b"x"


def test_a_missing_file_is_told_from_a_directory_and_a_file(tmp_path):
    storage.write_bytes(str(tmp_path / "d" / "f"), b"x")
    found = [(storage.exists(str(tmp_path / n)), storage.is_directory(str(tmp_path / n))) for n in ("d", "d/f", "none")]
    assert found == [(True, True), (True, False), (False, False)]
    assert storage.read_if_exists(str(tmp_path / "d" / "f" / "below")) is None
    with pytest.raises(FileNotFoundError):
        storage.open_to_read(str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"s3://bucket/x: its scheme is not supported"):
        storage.read_bytes("s3://bucket/x")


@pytest.mark.parametrize("pattern", ["**.gz", "./**.gz", "deep/**.gz"])
def test_a_relative_pattern_matches_below_the_working_directory(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("deep/er/x.gz", b"x")
    storage.write_bytes("deep/er/y", b"y")
    assert [os.path.normpath(file.path) for file in storage.glob(pattern)] == ["deep/er/x.gz"]
