"""A hook of MkDocs: the pages of the reference that are made of the code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_IS_COMMAND = "sys.exit(commands.run("


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the site."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    files.append(File.generated(config, "reference/settings.md", content=settings_page()))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def settings_page() -> str:
    """Every setting with its default."""
    from configs import reference

    text = (
        "In YAML by sections, as in `configs/local.yaml`; `--set KEY=VALUE` wins over the file, a command's own flag "
        "over both. An unknown key is an error."
    )
    return f"# Settings\n\n{text}\n\n{reference.page()}"


def modules() -> list[str]:
    """The modules that are commands, as `python -m` takes them, sorted."""
    found = []
    for package in ROOT.glob("[a-z]*/__init__.py"):
        for path in package.parent.rglob("*.py"):
            if _IS_COMMAND in path.read_text(encoding="utf-8"):
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return sorted(found)


def commands_page() -> str:
    """The help of each command."""
    status = (
        "Exit status: 0 fine; 2 what you can put right (one line says how); 3 a gate that was not passed, or a dataset "
        "too far from the last good one; 130 interrupted; 1 anything else."
    )
    parts = [f"# Commands\n\n{status}\n"]
    for name in modules():
        parts.append(f"## python -m {name}\n\n```text\n{help_of(name)}```\n")
    return "\n".join(parts)


def help_of(name: str) -> str:
    """What `python -m NAME --help` prints, 80 columns wide."""
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        module = importlib.import_module(name)
        main = getattr(module, "main", None) or importlib.import_module(f"{name}.__main__").main
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main(["--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return text.getvalue()
