"""The program wals: it finds its commands, imports nothing before it must, and names what was meant."""

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.settings import load_settings
from tests.support import forkserver
from wals import __main__ as program
from wals.commands import COMMANDS, usage

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_with_its_name_and_examples(name, capsys):
    with pytest.raises(SystemExit) as caught:
        program.main([name, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert text.startswith(f"usage: wals {name} ") and f"wals {name}" in text.partition("\n")[2]


def test_the_help_names_all_commands_and_imports_none_of_them():
    code = "import sys, wals.__main__ as m; m.main(['--help']); print({'yaml', 'pydantic', 'rich'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{usage()}set()\n" and all(f"\n  {name} " in done.stdout for name in COMMANDS)


def test_an_unknown_command_names_the_one_that_was_meant(capsys):
    assert program.main(["tain", "--replace"]) == 2
    assert capsys.readouterr().err == "error: wals has no command tain; did you mean train? (wals --help lists them)\n"


@pytest.mark.parametrize(
    ("command", "package", "extra", "start"),
    [
        ("tune", "optuna", "tuning", forkserver),
        ("report", "jinja2", "report", forkserver),
        ("serve", "uvicorn", "serving", subprocess),  # it imports no TensorFlow, so a fork saves nothing
    ],
)
def test_a_command_whose_extra_is_not_installed_names_it(command, package, extra, start):
    """In a process of its own, which has not imported the package."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; from wals.__main__ import main; "
        f"sys.exit(main([{command!r}, '--config', 'configs/local.yaml']))"
    )
    done = start.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {package}") and f"wals-recommender[{extra}]" in done.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["evaluate", "--beat", "popularity"],
            "error: unrecognized arguments: --beat popularity; did you mean --beats? ",
        ),
        (["predict", "--top-kk", "3"], "error: unknown option --top-kk: neither this command nor Beam has it; "),
        (["config", "--set", "training.seeds=1"], "error: --set training.seeds: unknown key training.seeds (known: "),
        (["config", "--set", "training.seed=x"], "error: --set training.seed: training.seed: Input should be a valid "),
        (["preprocess", "--split", "some"], "error: --split: split.kind: Input should be 'none', 'last_n', "),
        (["preprocess", "--set", "split.kind=none", "--start-date", "x"], "error: --start_date: source.start_date: x "),
    ],
)
def test_a_mistake_in_a_flag_is_one_line_that_blames_the_flag(words, line, capsys):
    try:
        status = program.main(words)
    except SystemExit as error:
        status = error.code
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (2, 1) and printed.startswith(line), printed


def test_flags_may_have_dashes_for_underscores(capsys):
    assert program.main(["train", "--model-dir=data/x", "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("-m trainer.task --model-dir=data/x\n")


def test_a_value_that_begins_like_a_flag_is_a_value(capsys):
    assert program.main(["preprocess", "--set", 'split={"kind": "none"}', "--set", "input=x"]) == 2
    assert capsys.readouterr().err.startswith("error: --set input: unknown key input ")


def test_the_config_is_found_without_a_flag(tmp_path, monkeypatch, capsys):
    """wals.yaml here wins over WALS_CONFIG, which wins over the package's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WALS_CONFIG", raising=False)

    def seed():
        assert program.main(["config", "--all"]) == 0
        return yaml.safe_load(capsys.readouterr().out)["training"]["seed"]

    usual = seed()
    (tmp_path / "other.yaml").write_text("training: {seed: 71}")
    monkeypatch.setenv("WALS_CONFIG", "other.yaml")
    assert usual != 71 and seed() == 71
    (tmp_path / "wals.yaml").write_text("extends: other.yaml\ntraining: {max_sweeps: 3}")
    assert seed() == 71
    (tmp_path / "wals.yaml").write_text("training: {seed: 72}")
    assert seed() == 72


def test_config_prints_a_config_with_the_origin_of_each_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text("source: {preset: ga4_shop, input: x}\ntraining: {seed: 7, max_sweeps: 3}")
    (tmp_path / "wals.yaml").write_text("extends: base.yaml\ntraining: {seed: 8}\nsplit: {kind: last_n}")
    assert program.main(["config", "--set", "training.max_sweeps=4"]) == 0
    text = capsys.readouterr().out
    for line in (
        '  preset: "ga4_shop"  # base.yaml',
        "  seed: 8  # wals.yaml",
        "  max_sweeps: 4  # --set training.max_sweeps",
        '  weight: "log"  # follows from other settings',
    ):
        assert f"{line}\n" in text
    (tmp_path / "printed.yaml").write_text(text)
    assert load_settings("printed.yaml") == load_settings("wals.yaml", {"training.max_sweeps": 4})


def test_init_writes_a_config_that_loads_and_keeps_one_that_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert program.main(["init", "--from", "nightly"]) == 0
    assert load_settings("wals.yaml") == load_settings(str(ROOT / "configs" / "nightly.yaml"))
    assert program.main(["init"]) == 2
    assert "wals.yaml exists already; edit it, or pass --replace" in capsys.readouterr().err


def test_init_with_an_export_writes_what_inspect_proposes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text(
        "user,item,stars\n" + "".join(f"u{n % 7},i{n % 5},{n % 5}\n" for n in range(70))
    )
    assert program.main(["init", "ratings.csv"]) == 0
    assert load_settings("wals.yaml").source.kind == "table"


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ([], "preprocess"),
        (["evaluate"], "--require"),
        (["train", "--set"], "training.seed="),
        (["completion"], "--help"),
        (["inspect", "--preset"], "ga4_shop"),
    ],
)
def test_a_shell_gets_the_words_that_may_follow(words, known, monkeypatch, capsys):
    monkeypatch.setenv("WALS_COMPLETE", "1")
    with contextlib.suppress(SystemExit):
        program.main(words)
    assert known in capsys.readouterr().out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_a_word(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    wals = tmp_path / "wals"
    wals.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m wals "$@"\n')
    wals.chmod(0o755)
    # zsh counts words from 0 as bash does where it runs completions of bash.
    begin = "autoload -U +X compinit && compinit -u -D; setopt ksharrays; " if shell == "zsh" else ""
    script = f'{begin}eval "$(wals completion {shell})"; COMP_WORDS=(wals prep); COMP_CWORD=1; _wals; '
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [shell, *(["-f"] if shell == "zsh" else []), "-c", f'{script}echo "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.split()  # zsh chooses among them itself
    assert done.stderr == "" and (words == ["preprocess"] or (shell == "zsh" and "preprocess" in words))


def test_the_modules_of_the_commands_exist():
    assert all(callable(importlib.import_module(command.module).main) for command in COMMANDS.values())
