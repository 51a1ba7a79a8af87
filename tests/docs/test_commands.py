"""Each command that README and docs print is one that its program accepts; `make docs-test` runs them."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from configs import reference
from configs.settings import search
from tests.kits import docs_kit
from tests.support import documents
from tests.support.documents import ROOT

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = ("json", "yaml", "html")  # what is named evaluation.json is not a setting
BLOCKS = [block for page in documents.pages() for block in documents.blocks(page)]


def test_the_site_builds_strictly(tmp_path):
    """--quiet would not do: it also keeps warnings from --strict."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    index = json.loads((tmp_path / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"]}
    settings = [key for _, _, fields in reference.sections() for key, _ in fields]
    assert not [key for key in settings if f"reference/settings.html#{key}" not in found]
    fetched = [page.name for page in tmp_path.rglob("*.html") if re.search(r'src="https?:', page.read_text("utf-8"))]
    assert not fetched, "nothing is fetched from elsewhere"


def test_no_group_of_pages_has_more_than_seven():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    groups = re.findall(r"^  - [^:\n]+:\n((?: {6}- .*\n)+)", navigation, re.MULTILINE)
    assert len(groups) > 4 and max(group.count("\n") for group in groups) <= 7


def test_the_architecture_names_modules_that_exist():
    named = set(re.findall(r"\b\w+\.py\b", ARCHITECTURE))
    assert named <= {path.name for path in ROOT.glob("[a-z]*/**/*.py")}


def test_the_architecture_lists_the_modules_of_each_folder():
    """A folder's modules follow the colon; lines that begin further to the right continue the list."""
    tree = re.sub(r"\n {19,}", " ", ARCHITECTURE.split("```text\n")[1].split("```")[0])
    wrong, path = [], [""]
    for line in tree.splitlines():
        for indent, folder in re.findall(r"^( *)(\w+/)", line):
            path = [*path[: len(indent) // 2], folder]
            base = ROOT.joinpath(*path)
            names = line.rpartition(": ")[2].split("  ")[0].split(", ") if ": " in line else []
            wrong += [str(base / name) for name in names if not _is_module(base / name)]
        for name in re.findall(r"\w+\.py", line):
            wrong += [] if (ROOT / path[0] / name).is_file() else [f"{path[0]}{name}"]
    assert not wrong


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_the_architecture_answers_where_is_what_with_paths_that_exist():
    rows = ARCHITECTURE.split("## Where is what")[1].split("## ")[0]
    paths = re.findall(r"`(\w+/[\w./]*)`", rows)
    assert len(paths) > 15 and not [path for path in paths if not (ROOT / path).exists()]
    defined = re.findall(r"`(\w+)` in `([\w/]+\.py)`", rows)
    assert len(defined) > 8
    for name, path in defined:
        assert re.search(rf"^( *(class|def) )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


@pytest.mark.parametrize("page", [*documents.pages(), ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_each_file_of_the_tree_that_a_page_names_exists(page):
    rooms = "artifacts|benchmarks|configs|deploy|docs|nightly|pipeline|ranking|report|serving|tests|trainer|wals"
    spans = " ".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    assert not [
        path for path in re.findall(rf"(?<![\w./])((?:{rooms})/[\w./-]*\w)", spans) if not (ROOT / path).exists()
    ]


def test_each_setting_that_the_pages_name_exists():
    """Names in backticks that begin with a section: settings, unless they are modules, roles or files."""
    settings = {key for _, _, fields in reference.sections() for key, _ in fields}
    settings |= {f"validation.{key}" for key in search.ValidationSettings.model_fields}
    settings |= {key.rpartition(".")[0] for key in settings}  # source.page.include is in source.page
    sections = {key.split(".")[0] for key in settings if "." in key}
    wrong = []
    for page in [*documents.pages(), ROOT / "SECURITY.md"]:
        for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text(encoding="utf-8")):
            for key in re.findall(r"(?<![\w./])([a-z_]+\.[a-z_]+)(?![\w./*])", span):
                name = key.split(".")
                known = key in settings or _is_module(ROOT.joinpath(*name))
                if name[0] in sections and name[1] not in FILES and not known:
                    wrong.append(f"{page.name}: {key}")
    assert not wrong


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
        ("wals train --config configs/local.yaml --set training.seeds=1", "unknown key training.seeds"),
        ("wals train --config configs/lokal.yaml", "does not exist"),
        ("wals sample --output_dir x --visitorss 3", "unknown option --visitorss"),
        ("wals train --config configs/local.yaml --replace", None),
    ],
)
def test_a_wrong_command_is_found(command, wrong, monkeypatch):
    monkeypatch.chdir(ROOT)
    block = documents.Block(ROOT / "README.md", 1, command + "\n", "run")
    (words,) = block.commands()
    said = documents.read(words)
    assert (said is None) if wrong is None else (wrong in said)


def test_a_line_that_a_command_does_not_print_is_found():
    """Only the seconds may differ."""
    (block,) = [block for block in documents.blocks(ROOT / "docs" / "tutorial.md") if block.text == "make run\n"]
    printed = "\n".join(block.output)
    assert len(block.output) > 15 and documents.not_printed(block.output, printed.replace("8.62 s", "1.5 s")) == []
    assert len(documents.not_printed(block.output, printed.replace("0.687", "0.686"))) == 2


def test_other_pages_show_the_lines_of_the_tutorial():
    """README's and wals.md's part of the output of `make run`; `make docs-test` compares the tutorial's with a run."""
    shown = set(documents.shown(ROOT / "docs" / "tutorial.md"))
    sweeps = [line for line in documents.shown(ROOT / "docs" / "wals.md") if line.startswith("sweep")]
    lines = documents.shown(ROOT / "README.md")
    assert len(sweeps) == 3 and len(lines) > 5 and {*sweeps, *lines} <= shown


@pytest.mark.parametrize(("page", "refused"), [("README.md", True), ("CONTRIBUTING.md", False)])
def test_pages_with_a_server_are_not_run_where_its_port_is_taken(monkeypatch, capsys, page, refused):
    prepared = []
    monkeypatch.setattr(docs_kit, "copy", prepared.append)
    monkeypatch.setattr(docs_kit, "run", lambda block, tree, before="": docs_kit.Done(None, ""))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status = docs_kit.main(["--pages", page, "--port", str(port)])
    said = f"the port of the pages' servers, {port}, is taken" in capsys.readouterr().out
    assert (status, said, len(prepared)) == ((1, True, 0) if refused else (0, False, 1))
