"""make's environments: which packages they get, when they are made again, and what is never touched."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from deploy import environment
from deploy.environment import SetupError

ROOT = Path(__file__).parents[2]
DECLARED = {
    "python_requires": ">=3.11,<3.14",
    "install_requires": ["numpy>=1"],
    "extras_require": {"tuning": ["Optuna"]},
}
LOCK = """\
# a comment
numpy==2.4.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via wals-recommender (setup.py)
optuna==4.5 ; python_full_version < '3.14' \\
    --hash=sha256:cc
    # via wals-recommender (setup.py)
zipp==4.1 \\
    --hash=sha256:dd
    # via optuna
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a clone whose environments are made without packages, and the list of what is installed."""
    installed = []

    def run(command, workspace):
        if "venv" in command:
            (command[-1] / "bin").mkdir(parents=True)
        else:
            installed.append((workspace / "packages.lock").read_text())

    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "_run", run)
    monkeypatch.setattr(environment, "_uv", lambda directory, workspace: Path("uv"))
    return tmp_path, installed


def ensure(clone, *extras):
    environment.ensure(clone / ".venv", environment.Wish(extras=extras), DECLARED)


def packages(text):
    return re.findall(r"^(\w+)==", text, re.MULTILINE)


def test_an_environment_has_the_locked_lines_of_what_setup_names(clone):
    root, installed = clone
    ensure(root)
    assert installed == [LOCK[LOCK.index("numpy") : LOCK.index("    # via")]]
    assert json.loads((root / ".venv" / ".ready").read_text())["extras"] == []
    assert [path.name for path in root.iterdir() if path.name.startswith(".venv")] == [".venv"]


def test_nothing_is_done_if_it_is_ready_whatever_the_time_stamps_are(clone):
    root, installed = clone
    ensure(root)
    (root / "requirements.lock").touch()
    ensure(root)
    assert len(installed) == 1


def test_extras_are_added_to_what_is_there_and_stay(clone):
    root, installed = clone
    ensure(root)
    (root / ".venv" / "mine").touch()
    ensure(root, "all")
    ensure(root)
    assert [packages(text) for text in installed] == [["numpy"], ["numpy", "optuna"]]
    assert (root / ".venv" / "mine").exists()
    (root / "requirements.lock").write_text(LOCK + "# changed\n")
    ensure(root)
    assert packages(installed[-1]) == ["numpy", "optuna"] and not (root / ".venv" / "mine").exists()


def test_another_python_makes_it_again(clone, monkeypatch):
    root, installed = clone
    ensure(root)
    monkeypatch.setattr(environment.sys, "version_info", (3, 12, 1))
    ensure(root)
    assert len(installed) == 2
    assert json.loads((root / ".venv" / ".ready").read_text())["python"] == "3.12"


def test_a_link_is_used_as_it_is(clone, capsys):
    root, installed = clone
    (root / "shared").mkdir()
    (root / ".venv").symlink_to("shared")
    ensure(root)
    assert (root / ".venv").is_symlink() and not list((root / "shared").iterdir()) and not installed
    assert ".venv is a link: it is used as it is, and not changed" in capsys.readouterr().err


def test_an_environment_of_somebody_else_is_left_alone(clone):
    root, _ = clone
    (root / ".venv").mkdir()
    with pytest.raises(SetupError, match=r"\.venv was not made by make; move it away"):
        ensure(root)


def test_a_failed_set_up_leaves_the_old_environment(clone, monkeypatch):
    root, _ = clone
    ensure(root)
    before = (root / ".venv" / ".ready").read_text()
    (root / "requirements.lock").write_text(LOCK + "# changed\n")

    def fail(*args):
        raise SetupError("uv failed")

    monkeypatch.setattr(environment, "_install", fail)
    with pytest.raises(SetupError, match="uv failed"):
        ensure(root)
    assert (root / ".venv" / ".ready").read_text() == before
    assert [path.name for path in root.iterdir() if path.name.startswith(".venv")] == [".venv"]


def test_a_part_of_the_program_has_the_packages_that_a_file_names(clone):
    """One of them without what it needs; another file makes it again."""
    root, installed = clone
    wish = environment.Wish(packages="part.in", gigabytes=0.1)
    (root / "part.in").write_text("# a comment\nnumpy\n\nzipp --no-deps\n")
    environment.ensure(root / ".venv-part", wish, DECLARED)
    environment.ensure(root / ".venv-part", wish, DECLARED)
    assert [packages(text) for text in installed] == [["numpy"], ["zipp"]]
    assert (root / ".venv-part" / "bin" / "wals").exists()
    (root / "part.in").write_text("optuna\n")
    environment.ensure(root / ".venv-part", wish, DECLARED)
    assert packages(installed[2]) == ["optuna"]
    (root / "part.in").write_text("unknown\n")
    with pytest.raises(SetupError, match=r"requirements.lock lacks unknown; run make lock"):
        environment.ensure(root / ".venv-part", wish, DECLARED)


@pytest.mark.parametrize(("name", "alone"), [("scoring.in", ["tfx-bsl"]), ("serving.in", [])])
def test_the_lock_has_the_packages_of_each_part(name, alone):
    first, others = environment.Wish(packages=f"deploy/installs/{name}").requirements([], {})
    assert "numpy==" in first.text and "--constraint" in first.flags
    assert others.flags == ["--no-deps"]
    assert [block.partition("==")[0] for block in environment.blocks(others.text)] == alone


def test_a_full_disk_is_found_before_anything_is_installed(clone, monkeypatch, capsys):
    root, installed = clone
    monkeypatch.setattr(
        environment.shutil, "disk_usage", lambda path: environment.shutil._ntuple_diskusage(9e9, 8e9, 1e9)
    )
    with pytest.raises(SetupError, match=r"has no room for \.venv; make room"):
        ensure(root)
    assert not installed
    assert re.search(r"\.venv needs 2\.\d GB on the disk; 1\.0 GB are free", capsys.readouterr().err)


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_an_unsupported_python_gets_one_line(version):
    with pytest.raises(SetupError, match=r"this is Python 3\.1\d; set PYTHON to a Python 3\.11, 3\.12 or 3\.13$"):
        environment.check_python(DECLARED["python_requires"], version)


def test_setup_is_read_without_being_run_and_the_lock_has_all_of_it():
    declared = environment.read_setup(ROOT / "setup.py")
    for minor in (11, 12, 13):
        environment.check_python(declared["python_requires"], (3, minor))
    names = {
        re.match(r"[\w-]+(\[\w+\])?", line)[0]
        for line in environment.direct([*declared["extras_require"].keys() - {"all"}], declared).splitlines()
        if "==" in line
    }
    assert {"tensorflow", "apache-beam[gcp]", "mkdocstrings[python]", "optuna", "pytest"} <= names


def test_a_python_that_does_not_exist_gets_one_line():
    done = subprocess.run(
        ["sh", ROOT / "deploy" / "environment.sh"],
        env={"PYTHON": "python3.99", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: python3.99 is not installed; set PYTHON to a Python 3.11")
