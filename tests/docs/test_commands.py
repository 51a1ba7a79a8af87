"""Each command that README and docs print is one that its program accepts; `make docs-test` runs them."""

import os
import re
import socket
import subprocess
import sys

import pytest

from tests.kits import docs_kit
from tests.support import documents
from tests.support.documents import ROOT

BLOCKS = [block for page in documents.pages() for block in documents.blocks(page)]


def test_the_site_builds_strictly(tmp_path):
    """--quiet would not do: it also keeps warnings from --strict."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "training.unobserved_weight" in settings


def test_the_architecture_names_modules_that_there_are():
    named = set(re.findall(r"\b\w+\.py\b", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    assert named <= {path.name for path in ROOT.glob("[a-z]*/**/*.py")}


@pytest.mark.parametrize("page", documents.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_stand_in_fences(page):
    assert not documents.indented(page)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.why], ids=str)
def test_what_is_not_run_says_why_and_what_shows_it(block):
    if block.kind == "needs":
        assert block.why in documents.NEEDS
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for name in re.split(", | and ", block.shown):
        assert name.removeprefix("make ") in targets if name.startswith("make ") else (ROOT / name).exists(), name


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_each_command_is_one_that_its_program_takes(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True, capture_output=True)
    wrong = {" ".join(words): said for words in block.commands() if (said := documents.read(words))}
    assert not wrong


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("make no-such-target", "No rule to make target"),
        ("make train ARGS='--dataset_dirr x'", "unknown option --dataset_dirr"),
        ("make predict ARGS='--kinds audiences'", "unknown option --kinds"),
        ("make evaluate ARGS='--beat popularity'", "unknown option --beat"),
        ("python -m trainer.task --config configs/local.yaml --set training.seeds=1", "unknown key training.seeds"),
        ("python -m trainer.task --config configs/lokal.yaml", "does not exist"),
        ("python -m pipeline.sample --output_dir x --visitorss 3", "unknown option --visitorss"),
        ("python -m trainer.task --config configs/local.yaml --replace", None),
    ],
)
def test_a_wrong_command_is_found(command, wrong, monkeypatch):
    monkeypatch.chdir(ROOT)
    block = documents.Block(ROOT / "README.md", 1, command + "\n", "run")
    (words,) = block.commands()
    said = documents.read(words)
    assert (said is None) if wrong is None else (wrong in said)


@pytest.mark.parametrize(("page", "refused"), [("README.md", True), ("CONTRIBUTING.md", False)])
def test_pages_with_a_server_are_not_run_where_its_port_is_taken(monkeypatch, capsys, page, refused):
    prepared = []
    monkeypatch.setattr(docs_kit, "copy", prepared.append)
    monkeypatch.setattr(docs_kit, "run", lambda block, tree: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status = docs_kit.main(["--pages", page, "--port", str(port)])
    said = f"the port of the pages' servers, {port}, is taken" in capsys.readouterr().out
    assert (status, said, len(prepared)) == ((1, True, 0) if refused else (0, False, 1))
