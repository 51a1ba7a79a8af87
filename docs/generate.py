"""Write the parts of the documentation that come from code and from benchmarks/results.

MkDocs loads this module as a hook, which adds the pages of settings and commands to the site. As a command,
`python docs/generate.py`, it rewrites the tables that pages mark (see tables/).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    files.append(File.generated(config, "reference/settings.md", content=settings_page()))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def settings_page() -> str:
    """Return the page of all settings with their defaults; each setting's anchor is its name."""
    from configs import reference

    text = (
        "In YAML by sections, as in `configs/local.yaml`; `--set KEY=VALUE` wins over the file, a command's own flag "
        "over both. An unknown key is an error."
    )
    settings = re.sub(r"^### `(.+)`$", r"### `\1` { #\1 }", reference.page(), flags=re.MULTILINE)
    return f"# Settings\n\n{text}\n\n{settings}"


def commands_page() -> str:
    """Return the page with the help of each command."""
    from wals.commands import COMMANDS

    status = (
        "Exit status: 0 is success; 2 is a mistake that you can correct, and one line explains how; 3 is a gate that "
        "did not pass, or a dataset too far from the last good one; 130 is an interrupt; 1 is anything else."
    )
    about = 'In a clone, `python -m MODULE` is the same. `eval "$(wals completion bash)"` makes a shell complete.'
    parts = [f"# Commands\n\n{status} {about}\n"]
    for name, command in COMMANDS.items():
        parts.append(f"## wals {name}\n\n`{command.module}`\n\n```text\n{help_of(command.module)}```\n")
    return "\n".join(parts)


def help_of(name: str) -> str:
    """Return what the command of a module prints for --help, 80 columns wide."""
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        main = importlib.import_module(name).main
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main(["--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return text.getvalue()


def rewrite_tables() -> list[str]:
    """Rewrite each page whose marked tables differ from benchmarks/results; return the names of these pages."""
    import tables

    changed = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (rewritten := tables.rewritten(text)) != text:
            page.write_text(rewritten, encoding="utf-8")
            changed.append(page.name)
    return changed


if __name__ == "__main__":
    print("rewritten:", ", ".join(rewrite_tables()) or "no page; all tables are up to date")
