"""The commands that README and docs print: found, read without running them, and run as printed.

A ```sh fence is either run by `make docs-test`, as printed and in the order of its page, or the line before it has
the reason why not and what shows it instead:

    <!-- needs: Google Cloud; shown by: tests/pipeline/test_dataflow.py -->
    <!-- long: an hour; shown by: tests/trainer/test_tune.py -->
    <!-- server -->    started, and stopped at the end of the page

On the pages in `PRINTED`, each line of a ```text fence is a line that the last command above it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from configs import cli
from configs.errors import UserError
from wals.commands import COMMANDS

ROOT = Path(__file__).parents[2]
NEEDS = (
    "Google Cloud",
    "Docker",
    "Go",
    "Java 17",
    "Java 17 and Maven",
    "files of your own",
    "Airflow",
    "kfp",
    "buildah",
    "hadolint",
    "Kubernetes",
    "systemd",
    "several machines",
    "a wheel",
)
PRINTED = ("docs/tutorial.md", "docs/inspect.md")
_BEAM = ("--runner", "--experiments", "--worker_", "--direct_", "--prism_")
_FENCE = re.compile(r"(?:^<!-- (?P<marker>[^\n]*) -->\n\n?)?^(?P<indent> *)```sh\n(?P<text>.*?)^ *```$", re.M | re.S)
_TEXT = re.compile(r"^```text\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = re.compile(r"\d+(?:\.\d+)? s\b")
_MARKER = re.compile(r"server|(?P<kind>needs|long): (?P<why>[^;]+); shown by: (?P<shown>.+)")
_INDENTED = re.compile(r"\n\n(?: {4}|\t)(?:make |python |curl |gcloud |docker |bq |export |saved_model_cli )")


@dataclass(frozen=True)
class Block:
    """A fence. `line` is its first; `kind` is run, server, needs or long; `output` is what the page shows after it."""

    page: Path
    line: int
    text: str
    kind: str
    why: str = ""
    shown: str = ""
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Return each command's words, without comments; a backslash joins lines, and a pipe parts commands."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
            lexer.whitespace_split, lexer.commenters = True, "#"
            with contextlib.suppress(ValueError):  # a string of several lines, as curl's
                words: list[str] = []
                for word in [*lexer, ";"]:
                    if not set(word) <= set("|;&"):
                        words.append(word)
                    elif words:
                        found.append(words)
                        words = []
        return found


def pages() -> list[Path]:
    """Return the pages that are published: README, CONTRIBUTING and docs."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the ```sh fences of a page.

    Raises:
        ValueError: a marker that states neither why a fence is not run nor what shows it.
    """
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    prints = str(page.relative_to(ROOT)) in PRINTED
    ends = [fence.start() for fence in fences[1:]] + [len(text)]
    for match, end in zip(fences, ends, strict=False):
        line = text.count("\n", 0, match.start("text")) + 1
        marker = match["marker"]
        parts = _MARKER.fullmatch(marker) if marker is not None else None
        if marker is not None and parts is None:
            raise ValueError(f"{page}:{line}: not a marker: {marker}")
        kind = (parts["kind"] or "server") if parts else "run"
        why, shown = (parts["why"] or "", parts["shown"] or "") if parts else ("", "")
        output = _text_lines(text[match.end() : end]) if prints else ()
        yield Block(page, line, match["text"], kind, why, shown, output)


def shown(page: Path) -> tuple[str, ...]:
    """Return the lines of a page's ```text fences."""
    return _text_lines(page.read_text(encoding="utf-8"))


def _text_lines(text: str) -> tuple[str, ...]:
    """Return the lines of the ```text fences in a part of a page."""
    return tuple(line for match in _TEXT.finditer(text) for line in match["text"].splitlines())


def not_printed(lines_of_page: Iterable[str], printed: str) -> list[str]:
    """Return the lines of a page that a command did not print; numbers of seconds do not count."""
    lines = {_SECONDS.sub("N s", line.rstrip()) for line in printed.splitlines()}
    return [line for line in lines_of_page if _SECONDS.sub("N s", line.rstrip()) not in lines]


def indented(page: Path) -> list[int]:
    """Return the lines of commands that are indented, where no test would run them."""
    text = page.read_text(encoding="utf-8")
    return [text.count("\n", 0, match.end()) + 1 for match in _INDENTED.finditer(text)]


_made = re.compile(r"^(?:data|gs://BUCKET)/.*\.yaml$")  # a config that an earlier command makes or copies


class _ReadError(Exception):
    """Everything up to the work itself went well."""


def read(words: list[str]) -> str | None:
    """Read a command as its program does, stop before it does anything, and return what is wrong with it.

    `make TARGET` is read by make itself, and so is each command that make would run; `python -m MODULE` by the module's
    own flags and settings, and so is `wals COMMAND`. Of other commands nothing is said.
    """
    words = words[:]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[:1] == ["make"]:
        done = subprocess.run(
            ["make", "--no-print-directory", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            return done.stderr.strip()
        inner = [line.lstrip("@") for line in done.stdout.replace("\\\n", " ").splitlines()]
        runs = [shlex.split(line) for line in inner if line.startswith(".venv/bin/python -m ")]
        return next((wrong for run in runs if (wrong := read(["python", *run[1:]]))), None)
    if words and words[0] == ".venv/bin/python":
        words[0] = "python"
    if words[:3] == ["python", "-m", "wals"]:
        words = words[2:]
    if words[:1] == ["wals"]:
        name = words[1] if len(words) > 1 else "--help"
        if name in COMMANDS:
            return _read_module(COMMANDS[name].module, _without_redirection(words[2:]))
        return None if name.startswith("-") else f"wals has no command {name}"
    if words[:2] == ["python", "-m"]:
        return _read_module(words[2], _without_redirection(words[3:]))
    if words[:1] == ["python"] and not (ROOT / words[1]).is_file():
        return f"{words[1]} does not exist"
    return None


def _without_redirection(words: list[str]) -> list[str]:
    cut = next((n for n, word in enumerate(words) if set(word) <= set("<>") and word), len(words))
    return words[:cut]


def _read_module(name: str, flags: list[str]) -> str | None:
    if name.split(".")[0] not in {path.parent.name for path in ROOT.glob("*/__init__.py")}:
        return None  # pytest, mkdocs: others' commands
    name = (
        "trainer.task" if name == "deploy.vertex.train" and "configs/gcp.yaml" not in flags else name
    )  # which it becomes
    module = importlib.import_module(name)
    main = getattr(module, "main", None) or importlib.import_module(f"{name}.__main__").main

    def stop(*args: object, **kwargs: object) -> None:
        load(*args, **kwargs)
        raise _ReadError

    load, errors = cli.load_settings, io.StringIO()
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> argparse.Namespace:
        result = parse(parser, *args, **kwargs)
        if not hasattr(result, "config"):  # nothing but flags
            raise _ReadError
        return result

    def refuse_beams_own(parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> tuple:
        result, rest = parse_known(parser, *args, **kwargs)
        unknown = [flag for flag in rest if not flag.startswith(_BEAM)]
        if unknown and parser.prog.startswith(("wals ", "python -m")):
            raise UserError(f"unknown option {unknown[0]}")
        return result, rest

    parse_known = argparse.ArgumentParser.parse_known_args
    patches = (
        mock.patch.object(cli, "load_settings", stop),
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_only),
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", refuse_beams_own),
    )
    with (
        patches[0],
        patches[1],
        patches[2],
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            main([_made.sub("configs/local.yaml", flag) for flag in flags])
        except _ReadError:
            return None
        except UserError as error:
            return str(error)
        except SystemExit as error:
            return None if not error.code else errors.getvalue().strip().splitlines()[-1]
    return f"{name} did its work instead of being read"
