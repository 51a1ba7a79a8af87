"""Copies of remote versions: once per state of a version, and only of the newest two."""

from __future__ import annotations

from pathlib import Path

from serving.models import local_copy


def make(version: Path, text: str) -> str:
    for name in ("assets/vocab_users", "assets.extra/tables/users.npy", "variables/variables.index"):
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(text)
    return str(version)


def test_a_version_is_copied_once_and_the_newest_two_are_kept(tmp_path):
    root = str(tmp_path / "copies")
    copies = [local_copy.of(make(tmp_path / "wals" / str(number), str(number)), root) for number in (1, 2)]
    names = {str(path.relative_to(copies[0])) for path in Path(copies[0]).rglob("*") if path.is_file()}
    assert names == {"assets/vocab_users", "assets.extra/tables/users.npy"}
    (Path(copies[1]) / "mark").touch()
    assert local_copy.of(str(tmp_path / "wals" / "2"), root) == copies[1] and (Path(copies[1]) / "mark").exists()
    changed = local_copy.of(make(tmp_path / "wals" / "2", "other"), root)
    assert changed != copies[1] and (Path(changed) / "assets" / "vocab_users").read_text() == "other"
    assert [Path(copy).exists() for copy in (*copies, changed)] == [False, True, True]
