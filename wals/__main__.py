"""The program `wals`: it imports the module of the command that is named, and nothing before."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from wals.commands import COMMANDS, usage


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0].replace("_", "-") if words else "--help"
    if name in COMMANDS:
        return _run(name, words[1:])
    if "WALS_COMPLETE" in os.environ:
        print("\n".join(COMMANDS))
        return 0
    if name in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if name == "--version":
        from wals import __version__

        print(f"wals {__version__}")
        return 0
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    print(f"error: wals has no command {name}{meant} (wals --help lists them)", file=sys.stderr)
    return 2


def _run(name: str, words: list[str]) -> int:
    from configs import cli

    # Imported inside run: a package that is not installed is an error of one line.
    return cli.run(lambda flags: importlib.import_module(_module(COMMANDS[name].module)).main(flags), words)


def _module(name: str) -> str:
    """Return the name of a module here: an installed wheel has the rooms inside the package wals."""
    from configs import PREFIX

    return name if name.startswith("wals.") else f"{PREFIX}{name}"


if __name__ == "__main__":
    sys.exit(main())
